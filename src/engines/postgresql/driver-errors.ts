// The last net before the engine door: whatever a step threw leaves as one of our errors.
import { CairnError, toCairnError } from '../../model/errors.ts';
import { abortError } from './connection.ts';
import { errorCode } from './connection-error.ts';

/** @throws CairnError only; cancelled, or the signal's own reason, when the signal has fired */
export async function guard<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof CairnError) throw error;
    if (signal.aborted) throw abortError(signal);
    throw toFileError(error) ?? toCairnError(error);
  }
}

/** What the file system says names the path already. */
function toFileError(error: unknown): CairnError | null {
  const text = error instanceof Error ? error.message : '';
  switch (errorCode(error)) {
    case 'ENOSPC':
    case 'EDQUOT':
      return new CairnError('storage-full', `there is no space left for the files: ${text}`, {
        hint: 'free some space, or choose a folder on a larger disk',
        cause: error,
      });
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
    case 'ENOTDIR':
      return new CairnError('invalid', `a folder cannot be used: ${text}`, {
        hint: 'choose a folder that Cairn may write to',
        cause: error,
      });
    default:
      return null;
  }
}
