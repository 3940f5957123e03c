import type { Readable } from 'node:stream';
import type { Static } from 'typebox';
import { Type } from 'typebox';
import { named, nullable } from './define.ts';

export const ListBackupFilesQuerySchema = Type.Object({
  backup_id: Type.String({
    minLength: 1,
    description: 'Of a completed backup; unknown: 404 DBS.201010, another state: 400 DBS.201208',
  }),
});

const BackupFileSchema = Type.Object({
  name: Type.String({ examples: ['nightly-0105.tar.zst'] }),
  size: Type.Integer({ description: 'kB of the file as it is downloaded, rounded up' }),
  download_link: Type.String({
    description: 'A full URL. Whoever has it may fetch the file, without a login, until it expires',
  }),
  link_expired_time: Type.String({
    description: 'Downloads that began before go on after it',
    examples: ['2026-01-05T03:15:00+0000'],
  }),
  database_name: nullable(Type.String({ description: 'Null: the file is of the whole server' })),
});

export const BackupFilesSchema = named(
  'BackupFiles',
  Type.Object({ files: Type.Array(BackupFileSchema), bucket: Type.String() }),
);
export type BackupFilesWire = Static<typeof BackupFilesSchema>;

export const DownloadPathSchema = Type.Object({
  projectId: Type.String(),
  backupId: Type.String(),
  fileName: Type.String(),
});

export const DownloadQuerySchema = Type.Object({
  expires: Type.Optional(Type.String({ description: 'Seconds since 1970' })),
  signature: Type.Optional(Type.String({ description: '64 hex digits' })),
});

const bytes = Type.Unsafe<Readable | undefined>({ type: 'string', format: 'binary' });

/** Bytes, not JSON; HEAD has none. */
export const fileAnswer = {
  description: 'The file, or the wanted range of it',
  content: {
    'application/zstd': { schema: bytes },
    'application/octet-stream': { schema: bytes },
  },
};

/** A link that is absent, altered or too old says no more than that: 403. */
export const downloadRefusals =
  'Without a link that is valid now: 403 DBS.280015. Backup deleted meanwhile: 404 DBS.201010. ' +
  'Range outside the file: 416. Too many downloads at once: 429 with Retry-After.';
