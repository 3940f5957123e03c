// Why no log arrives, as the result of a job whose stream has not begun.
import { errorKinds } from '../../model/errors.ts';
import type { JobPayload } from '../../model/job.ts';
import type { LogTrouble } from '../../model/log-stream.ts';

export function formatLogTrouble({ kind, message, hint, since }: LogTrouble): JobPayload {
  return { trouble: { kind, message, hint, since: since.getTime() } };
}

/** Null: it tells of none. */
export function parseLogTrouble(result: JobPayload | null): LogTrouble | null {
  const trouble = result?.['trouble'];
  if (typeof trouble !== 'object' || trouble === null) return null;
  const { kind, message, hint, since } = trouble as Readonly<Record<string, unknown>>;
  const known = errorKinds.find((each) => each === kind);
  if (!known || typeof message !== 'string' || typeof since !== 'number') return null;
  return {
    kind: known,
    message,
    hint: typeof hint === 'string' ? hint : null,
    since: new Date(since),
  };
}
