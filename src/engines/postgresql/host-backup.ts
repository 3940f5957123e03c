// A base backup from whichever server of an instance it burdens least: a standby that keeps up, or
// else the primary.
import { CairnError, isErrorKind } from '../../model/errors.ts';
import type { Connection } from '../../model/instance.ts';
import type { BaseBackupOptions, BaseBackupResult, FileSink } from '../engine.ts';
import { throwIfAborted } from '../guard.ts';
import { listContents } from './backup-contents.ts';
import type { BaseBackupParts } from './base-backup.ts';
import { describeServer } from './connection-error.ts';
import { lookAtAll } from './host-look.ts';
import type { BackupHosts } from './plan-hosts.ts';
import { planBackupHosts } from './plan-hosts.ts';
import { takeBackup } from './take-backup.ts';

/**
 * The notes say which server it was, as `host`, and why none before it, as `hostReasons`.
 * @throws as `takeBackup`
 */
export async function takeHostBackup(
  connection: Connection,
  options: BaseBackupOptions,
  parts: BaseBackupParts,
): Promise<BaseBackupResult> {
  const { signal, log } = options;
  const { hosts, reasons } = await chooseHosts(connection, signal);
  const told = [...reasons];
  for (const [index, { connection: host, name }] of hosts.entries()) {
    const watched = watchBegin(options.sink);
    try {
      log.info({ host: name, reasons: told }, 'the base backup is taken from this server');
      const result = await takeBackup(host, { ...options, sink: watched.sink }, parts);
      const contents = await listContents(host, { signal, log });
      return { ...result, contents, notes: { ...result.notes, host: name, hostReasons: told } };
    } catch (error) {
      throwIfAborted(signal);
      const isOfServer =
        isErrorKind(error, 'engine-refused') || isErrorKind(error, 'engine-unreachable');
      if (!isOfServer || watched.hasBegun() || index === hosts.length - 1) throw error;
      log.warn({ err: error, host: name }, 'the server gives no base backup, the next is asked');
      told.push(`${name}: ${error.message}`);
    }
  }
  throw new CairnError('bug', 'no server was asked for a backup');
}

async function chooseHosts(connection: Connection, signal: AbortSignal): Promise<BackupHosts> {
  if (connection.standbys.length > 0)
    return planBackupHosts(await lookAtAll(connection, { signal }));
  return { hosts: [{ connection, name: describeServer(connection) }], reasons: [] };
}

/** Tells whether anything has reached the sink: then no other server can take over. */
function watchBegin(sink: FileSink): { readonly sink: FileSink; hasBegun(): boolean } {
  let hasBegun = false;
  const begin = <Meta, Begun>(pass: (meta: Meta) => Begun): ((meta: Meta) => Begun) => {
    return (meta) => {
      hasBegun = true;
      return pass(meta);
    };
  };
  return {
    hasBegun: () => hasBegun,
    sink: {
      directory: begin((meta) => sink.directory(meta)),
      beginFile: begin((meta) => sink.beginFile(meta)),
      beginIncrement: begin((meta) => sink.beginIncrement(meta)),
      write: (bytes) => sink.write(bytes),
      keep: (sizeBytes) => sink.keep(sizeBytes),
      endFile: () => sink.endFile(),
      beginGrowing: begin((meta) => sink.beginGrowing(meta)),
      renameFile: (path, newPath) => sink.renameFile(path, newPath),
      removeFile: (path) => sink.removeFile(path),
    },
  };
}
