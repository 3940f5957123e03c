import { open } from 'node:fs/promises';

const tailBytes = 64 * 1024;

/** What a file holds behind the offset, at most the last 64 KiB of it; empty when unreadable. */
export async function readTextTail(path: string, fromBytes = 0): Promise<string> {
  try {
    await using file = await open(path, 'r');
    const { size } = await file.stat();
    const length = Math.max(0, Math.min(size - fromBytes, tailBytes));
    const buffer = Buffer.alloc(length);
    const { bytesRead } = await file.read(buffer, 0, length, size - length);
    return buffer.toString('utf8', 0, bytesRead);
  } catch {
    return '';
  }
}
