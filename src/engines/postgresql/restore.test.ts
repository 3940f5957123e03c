import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import type { FileSource } from '../engine.ts';
import { toEngineNotes } from './backup-notes.ts';
import { restoreFiles } from './restore.ts';

const notes = toEngineNotes({
  ...{ version: 1, blockSizeBytes: 8192, walSegmentBytes: 16_777_216, timeline: 1 },
  ...{ systemIdentifier: '7', dataChecksums: true, fromStandby: false, superuser: 'postgres' },
  startClockMs: null,
  serverStartMs: null,
  ...{ tablespaces: [], settings: {} },
});

function sourceThatFailsAt(failingPath: string | null, order: string[]): FileSource {
  const meta = { mode: 0o600, modifiedAt: new Date(0), sizeBytes: 1, pageSizeBytes: 8192 };
  const paths = ['PG_VERSION', 'global/pg_control', 'base/1/1259', 'backup_label'];
  return {
    serverVersion: '18.1',
    notes,
    directories: () => ['global', 'base', 'base/1'].map((path) => ({ path, mode: 0o700 })),
    files: () => paths.map((path) => ({ path, ...meta })),
    async extract(files) {
      for (const { path, targetPath } of files) {
        if (path === failingPath) throw new Error('the power went');
        await writeFile(targetPath, 'x');
        order.push(path);
      }
    },
  };
}

it('writes pg_control last, so that half a restore never starts', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'cairn-restore-'));
  try {
    const options = {
      ...{ tablespaceDirs: {}, tablespaceParentDir: join(folder, 'tablespaces') },
      ...{ onProgress: () => undefined, signal: new AbortController().signal },
    };
    const order: string[] = [];
    const targetDir = join(folder, 'whole');
    await restoreFiles({ ...options, targetDir, source: sourceThatFailsAt(null, order) });
    assert.equal(order.length, 4);
    assert.equal(order.at(-1), 'global/pg_control');
    const cut = join(folder, 'cut');
    const source = sourceThatFailsAt('backup_label', []);
    await assert.rejects(restoreFiles({ ...options, targetDir: cut, source }), /power/);
    assert.equal(existsSync(join(cut, 'global/pg_control')), false);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
