// Copies that share their blocks with the original until one of the two is written (reflinks),
// where the file system can: XFS, Btrfs, bcachefs, APFS. They cost neither reading nor room.
import { constants } from 'node:fs';
import { copyFile } from 'node:fs/promises';
import { runBounded } from './bounded.ts';

export type Clone = { readonly fromPath: string; readonly toPath: string };

const atOnce = 4;
/** ioctl_ficlone(2): the file system cannot, or the two files are on different ones. */
const cannot = new Set(['ENOTSUP', 'EOPNOTSUPP', 'EXDEV', 'EINVAL', 'ENOSYS', 'ENOTTY']);
/** The original went, or another file lies there: that one is not cloned. */
const notThisOne = new Set(['ENOENT', 'EEXIST', 'ENOTDIR', 'EISDIR', 'ETXTBSY']);

/**
 * Clones what can be cloned; the rest is left to the caller, who looks whether a file is there.
 * Answers how many there are now. Who writes to an original meanwhile may leave a clone that is
 * half old and half new. @throws file system errors other than that it cannot
 */
export async function cloneFiles(clones: readonly Clone[], signal: AbortSignal): Promise<number> {
  let count = 0;
  let isPossible = true;
  await runBounded(clones, atOnce, async ({ fromPath, toPath }) => {
    signal.throwIfAborted();
    if (!isPossible) return;
    try {
      await copyFile(fromPath, toPath, constants.COPYFILE_FICLONE_FORCE | constants.COPYFILE_EXCL);
      count++;
    } catch (error) {
      const { code = '' } = error as NodeJS.ErrnoException;
      if (cannot.has(code)) isPossible = false;
      else if (!notThisOne.has(code)) throw error;
    }
  });
  return count;
}
