// `cairn restore --backup ID --database OLD=NEW --into INSTANCE`: databases of a backup, into a
// server that runs. Of SQL Server also to a moment: `--instance FROM --time TIME --into INSTANCE`.
import { CairnError } from '../model/errors.ts';
import { databasesNote } from './facts-of-restore.ts';
import { findInstance } from './find-instance.ts';
import { findStoredInstance } from './find-stored-instance.ts';
import { followJob } from './follow-job.ts';
import type { CommonOptions } from './options.ts';
import { openService } from './options.ts';
import type { Output } from './output.ts';
import type { Program } from './program.ts';
import type { TargetOptions } from './restore-target.ts';
import { presentTarget, readRestoreTarget } from './restore-target.ts';
import type { ServiceClient } from './service-client.ts';

export type DatabaseOptions = CommonOptions &
  TargetOptions & {
    readonly database?: readonly string[];
    readonly withRoles?: boolean;
    readonly replace?: boolean;
    readonly yes?: boolean;
  };

export async function restoreDatabasesInto(
  options: DatabaseOptions,
  target: string,
  { program, output }: { readonly program: Program; readonly output: Output },
): Promise<void> {
  const service = await openService(options, program);
  const { id, name } = await findInstance(service, target);
  if (options.replace && !options.yes) {
    throw new CairnError('invalid', `databases of ${name} would make room for those restored`, {
      hint: 'say --yes with --replace; without both, a name that exists is refused',
    });
  }
  const body = {
    ...(await readSource(service, options, id)),
    databases: (options.database ?? []).map(parseDatabase),
    with_roles: options.withRoles ?? false,
    replace: options.replace ?? false,
  };
  const path = `/instances/${id}/databases/restore`;
  const { job_id } = await service.cairn<{ job_id: string }>('POST', path, body);
  const job = await followJob(service, job_id, { output, clock: program.clock });
  if (options.json) return output.json(job);
  if (job.result?.kind === 'restored-databases') output.print(databasesNote(job.result, name));
}

/** Of a moment: that of the instance itself, unless another is named. */
async function readSource(
  service: ServiceClient,
  options: DatabaseOptions,
  targetId: string,
): Promise<object> {
  const { backup, instance } = options;
  if (!isPoint(options)) {
    if (backup !== undefined) return { backup_id: backup };
    throw new CairnError('invalid', '--into needs --backup ID, or --time TIME');
  }
  const from = instance === undefined ? targetId : await findStoredInstance(service, instance);
  const point = presentTarget(readRestoreTarget({ ...options, instance: from }));
  return { restore_point: { instance_id: from, ...point } };
}

/** Whether more is said than a backup. */
export function isPoint({ time, latest, name }: TargetOptions): boolean {
  return [time, latest, name].some((given) => given !== undefined);
}

/** `OLD` or `OLD=NEW`; the last `=` counts, since a name may hold one. */
export function parseDatabase(text: string): { old_name: string; new_name: string } {
  const at = text.lastIndexOf('=');
  if (at < 0) return { old_name: text, new_name: text };
  const [old_name, new_name] = [text.slice(0, at), text.slice(at + 1)];
  if (old_name !== '' && new_name !== '') return { old_name, new_name };
  throw new CairnError('invalid', `--database ${text} is neither OLD nor OLD=NEW`);
}
