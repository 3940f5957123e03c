// `cairn restore --backup ID --database OLD=NEW --into INSTANCE`: databases of a backup of single
// databases, into a server that runs.
import { CairnError } from '../model/errors.ts';
import { findInstance } from './find-instance.ts';
import { followJob } from './follow-job.ts';
import type { CommonOptions } from './options.ts';
import { openService } from './options.ts';
import type { Output } from './output.ts';
import type { Program } from './program.ts';

export type DatabaseOptions = CommonOptions & {
  readonly backup?: string;
  readonly database?: readonly string[];
  readonly withRoles?: boolean;
};

export async function restoreDatabasesInto(
  options: DatabaseOptions,
  target: string,
  { program, output }: { readonly program: Program; readonly output: Output },
): Promise<void> {
  if (options.backup === undefined)
    throw new CairnError('invalid', '--into needs --backup ID, or --time TIME');
  const service = await openService(options, program);
  const { id, name } = await findInstance(service, target);
  const body = {
    backup_id: options.backup,
    databases: (options.database ?? []).map(parseDatabase),
    with_roles: options.withRoles ?? false,
  };
  const path = `/instances/${id}/databases/restore`;
  const { job_id } = await service.cairn<{ job_id: string }>('POST', path, body);
  const job = await followJob(service, job_id, { output, clock: program.clock });
  if (options.json) return output.json(job);
  if (job.result?.kind !== 'restored-databases') return;
  for (const { old_name, new_name, tables, rows } of job.result.databases) {
    const counts = tables === null ? '' : `: ${tables} tables, ${rows} rows`;
    output.print(`${old_name} is ${new_name} in ${name}${counts}\n`);
  }
}

/** `OLD` or `OLD=NEW`; the last `=` counts, since a name may hold one. */
export function parseDatabase(text: string): { old_name: string; new_name: string } {
  const at = text.lastIndexOf('=');
  if (at < 0) return { old_name: text, new_name: text };
  const [old_name, new_name] = [text.slice(0, at), text.slice(at + 1)];
  if (old_name !== '' && new_name !== '') return { old_name, new_name };
  throw new CairnError('invalid', `--database ${text} is neither OLD nor OLD=NEW`);
}
