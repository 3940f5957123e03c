// The file of the master key, and what lies beside it while the key is changed: `….next` is the new
// key until it is in use, `….<id>.retired` an old one until it is retired. None is ever lost: the
// new key is durable before anything is wrapped with it, the old one before it is replaced.
import { link, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { MasterKey } from './master-key.ts';
import { ensurePrivateFile, readFileIfPresent, writePrivateFile } from './private-file.ts';
import type { Random } from './random.ts';
import { syncFolder } from './sync-folder.ts';

export class MasterKeyFile {
  readonly path: string;
  readonly #random: Random;

  constructor(path: string, random: Random) {
    this.path = path;
    this.#random = random;
  }

  get nextPath(): string {
    return `${this.path}.next`;
  }

  retiredPath(id: string): string {
    return `${this.path}.${id}.retired`;
  }

  /** Null when there is none. @throws invalid when it holds no key */
  async read(path: string): Promise<MasterKey | null> {
    const text = await readFileIfPresent(path);
    return text === null ? null : MasterKey.parse(text);
  }

  /** A key to change to, the same for all who make one at a time; durable when it answers. */
  async makeNext(): Promise<MasterKey> {
    const made = `${MasterKey.generate().reveal()}\n`;
    return MasterKey.parse(await ensurePrivateFile(this.nextPath, made, this.#random));
  }

  /** Puts the key in the place of the one that is there, which is kept beside it. Atomic. */
  async switchTo(next: MasterKey): Promise<void> {
    const current = await this.read(this.path);
    if (current !== null && current.id !== next.id) {
      await linkUnlessThere(this.path, this.retiredPath(current.id));
      await writePrivateFile(this.path, `${next.reveal()}\n`, this.#random);
    }
    await rm(this.nextPath, { force: true });
  }

  /** Removes what lies beside the file of the key of that id. */
  async forget(id: string): Promise<void> {
    await rm(this.retiredPath(id), { force: true });
    if ((await this.read(this.nextPath))?.id === id) await rm(this.nextPath);
    await syncFolder(dirname(this.path));
  }
}

async function linkUnlessThere(path: string, other: string): Promise<void> {
  await link(path, other).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
  await syncFolder(dirname(other));
}
