import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { renderOpenapi } from '../../src/api/openapi.ts';
import { openApiScene } from './api-scene.ts';

test('openapi.json is what the code declares (else: npm run openapi)', async () => {
  await using scene = await openApiScene();
  const committed = await readFile(new URL('../../openapi.json', import.meta.url), 'utf8');
  assert.ok(committed === renderOpenapi(scene.app), 'openapi.json is stale');
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

test('the reference at /docs needs no login and nothing from elsewhere', async () => {
  await using scene = await openApiScene();
  const page = await scene.call('GET', '/docs', { token: null });
  const at = page.statusCode === 302 ? String(page.headers.location) : '/docs';
  const html = await scene.call('GET', at, { token: null });
  assert.equal(html.statusCode, 200, html.body);
  assert.match(String(html.headers['content-type']), /^text\/html/);
  assert.match(String(html.headers['content-security-policy']), /default-src 'self'/);
  const assets = [...html.body.matchAll(/(?:src|href)="([^"]+)"/g)].map((match) => match[1] ?? '');
  assert.ok(assets.length >= 4);
  for (const asset of assets) {
    const { pathname, host } = new URL(asset, 'http://cairn.test/docs/');
    assert.equal(host, 'cairn.test', asset);
    assert.equal((await scene.call('GET', pathname, { token: null })).statusCode, 200, asset);
  }
  const document = await scene.call('GET', '/docs/json', { token: null });
  assert.ok(document.json().paths['/v3/{projectId}/backups']);
});
