// The last net before the engine door: whatever a step threw leaves as one of our errors.
import { CairnError, toCairnError } from '../model/errors.ts';

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

/** The signal's reason as one of our errors. */
export function abortError({ reason }: AbortSignal): CairnError {
  return reason instanceof CairnError
    ? reason
    : new CairnError('cancelled', 'the work was cancelled', { cause: reason });
}

/** @throws the signal's reason, as `abortError` */
export function throwIfAborted(signal: AbortSignal): void {
  if (signal.aborted) throw abortError(signal);
}

/** What the file system says names the path already. */
function toFileError(error: unknown): CairnError | null {
  if (!(error instanceof Error) || !('code' in error)) return null;
  switch (error.code) {
    case 'ENOSPC':
    case 'EDQUOT':
      return new CairnError(
        'storage-full',
        `there is no space left for the files: ${error.message}`,
        { hint: 'free some space, or choose a folder on a larger disk', cause: error },
      );
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
    case 'ENOTDIR':
      return new CairnError('invalid', `a folder cannot be used: ${error.message}`, {
        hint: 'choose a folder that Cairn may write to',
        cause: error,
      });
    default:
      return null;
  }
}
