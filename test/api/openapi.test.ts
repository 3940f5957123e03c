import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { renderOpenapi } from '../../src/api/openapi.ts';
import { openApiScene } from './api-scene.ts';

test('openapi.json is what the code declares (else: npm run openapi)', async () => {
  await using scene = await openApiScene();
  const committed = await readFile(new URL('../../openapi.json', import.meta.url), 'utf8');
  assert.equal(committed, renderOpenapi(scene.app));
});

test('every operation has a name of its own, and its failures are described', async () => {
  await using scene = await openApiScene();
  const response = await scene.call('GET', '/openapi.json', { token: null });
  const { paths, components } = response.json();
  const names = new Set<string>();
  for (const [path, operations] of Object.entries<Record<string, Operation>>(paths)) {
    for (const [method, operation] of Object.entries(operations)) {
      const name = `${method} ${operation.operationId}`;
      assert.ok(operation.operationId, `${method} ${path}`);
      assert.ok(!names.has(name), name);
      names.add(name);
      assert.ok(operation.responses['4XX'], path);
    }
  }
  assert.ok(names.has('post createManualBackup'));
  assert.ok(components.schemas.CreateBackupRequest);
  assert.ok(!JSON.stringify(response.json()).includes('def-'));
});

type Operation = { readonly operationId?: string; readonly responses: Record<string, unknown> };
