/** Of an error of the file system: no room, or no more for this user. */
export function isDiskFull(code: unknown): boolean {
  return code === 'ENOSPC' || code === 'EDQUOT';
}
