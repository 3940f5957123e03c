// What a backup and its log say of themselves, read back: the inverse of `stored-notes.ts`.
import { Type } from 'typebox';
import { Value } from 'typebox/value';
import { CairnError } from '../../model/errors.ts';
import type { EngineNotes } from '../engine.ts';
import type { StoredLog, StoredNotes } from './stored-notes.ts';

const text = Type.String({ minLength: 1 });
const record = Type.Record(Type.String(), Type.Unknown());
const thumbprint = Type.Union([text, Type.Null()]);
const backupSet = Type.Object({
  paths: Type.Array(text, { minItems: 1 }),
  record,
  encryptorThumbprint: thumbprint,
});
const notesSchema = Type.Object({
  format: Type.Literal(1),
  server: Type.Object({
    majorVersion: Type.Integer(),
    edition: text,
    engineEdition: Type.Integer(),
    platform: Type.Union([Type.Literal('windows'), Type.Literal('linux')]),
    collation: text,
    offsetMinutes: Type.Integer(),
  }),
  databases: Type.Array(
    Type.Object({
      name: text,
      recoveryModel: Type.Union(
        (['SIMPLE', 'FULL', 'BULK_LOGGED'] as const).map((model) => Type.Literal(model)),
      ),
      full: backupSet,
      differential: Type.Union([backupSet, Type.Null()]),
    }),
  ),
  skipped: Type.Array(Type.Object({ name: text, why: Type.String() })),
  findings: Type.Array(Type.String()),
});
const logSchema = Type.Object({ database: text, record, encryptorThumbprint: thumbprint });

const hint = 'it was changed, or written by a newer version of Cairn';

/** @throws repository-damaged */
export function readNotes(notes: EngineNotes): StoredNotes {
  if (Value.Check(notesSchema, notes)) return notes;
  throw new CairnError('repository-damaged', 'the notes of the backup make no sense', { hint });
}

/** The file beside a backup of log. @throws repository-damaged */
export function readStoredLog(bytes: Uint8Array, name: string): StoredLog {
  const value = parse(bytes);
  if (Value.Check(logSchema, value)) return value;
  throw new CairnError('repository-damaged', `${name} in the archive of log makes no sense`, {
    hint,
  });
}

function parse(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch {
    // Not JSON at all: the caller says so.
    return null;
  }
}
