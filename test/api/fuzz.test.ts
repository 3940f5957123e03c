// Whatever arrives, the answer is JSON and never a 5xx. The seed is fixed, so a failure comes
// again; a failing run also prints the path to its counterexample.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import type { ApiScene, Call, Method } from './api-scene.ts';
import { openApiScene, projectId } from './api-scene.ts';

const seed = 20_260_105;
const runs = { seed, numRuns: 60 };

let scene: ApiScene;
before(async () => {
  scene = await openApiScene();
  await scene.addBackup(await scene.addInstance());
});
after(() => scene[Symbol.asyncDispose]());

type Route = readonly [Method, path: string];

/** Every route that the document shows, so that a new one is never left out. */
function listRoutes(): Route[] {
  const { paths } = scene.app.swagger();
  return Object.entries(paths ?? {}).flatMap(([path, operations]) =>
    Object.keys(operations ?? {}).map((method): Route => [method.toUpperCase() as Method, path]),
  );
}

/** The project is the real one, all other parameters are the given text. */
function urlOf(path: string, id: string): string {
  return path.replace('{projectId}', projectId).replaceAll(/\{[^}]+\}/g, () => id);
}

const words = fc.constantFrom(
  ...['instance_id', 'name', 'description', 'databases', 'restore_point', 'backup_id', 'type'],
  ...['auth', 'identity', 'methods', 'password', 'scope', 'url', 'engine', 'host', 'port', 'user'],
  ...['limit', 'offset', 'begin_time', 'end_time', 'id', 'status', 'backup_type', 'constructor'],
  ...['backup_policy', 'keep_days', 'start_time', 'period', 'reserve_backups', 'backup_ids'],
  ...[
    'source',
    'target',
    'restore_time',
    'database_name',
    'tags',
    'action',
    'key',
    'value',
    'date',
  ],
  ...['policy_para', 'destination_region', 'instance_ids', 'role', 'project_id', 'expires'],
);
const values = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.constantFrom('', 'backup', 'timestamp', 'password', 'postgresql', '-1', '1e400', '\u0000'),
  fc.constantFrom('postgres://', 'postgres://u@h:99999/d', '2026-01-05T03:00:00 0800'),
  fc.constantFrom('08:15-09:15', '1,2,3', '2026-02-30', 'create', 'owner', 'k=v,=', 'bytes=0-'),
  fc.integer().map(String),
);

/** JSON that looks like ours from afar. */
const alike = fc.letrec((tie) => ({
  tree: fc.oneof(
    { maxDepth: 4 },
    values,
    fc.jsonValue({ maxDepth: 2 }),
    fc.array(tie('tree'), { maxLength: 3 }),
    fc.dictionary(words, tie('tree'), { maxKeys: 6 }),
  ),
})).tree;
const payloads = fc.oneof(
  alike.map((value) => JSON.stringify(value)),
  alike.map((value) => JSON.stringify(value).slice(0, -1)),
  fc.string({ unit: 'binary' }),
  fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
);
const queries = fc.oneof(
  fc
    .array(fc.tuple(words, values), { maxLength: 5 })
    .map((pairs) => pairs.map((pair) => pair.map(encodeText).join('=')).join('&')),
  fc.stringMatching(/^[!-~]{0,60}$/).map((text) => text.replaceAll('#', '')),
);
const ids = fc.oneof(values.map(encodeText), fc.constantFrom('..', '%2e%2e', '%00', '%ff', 'x'));

/** A lone surrogate has no UTF-8 form. */
function encodeText(text: string): string {
  return encodeURIComponent(text.toWellFormed());
}

async function assertDigested(method: Method, url: string, call: Call): Promise<void> {
  const response = await scene.call(method, url, call);
  const { statusCode, body: text } = response;
  const label = `${method} ${url} ${String(call.payload)} → ${statusCode} ${text}`;
  assert.ok(response.statusCode < 500, label);
  if (response.body === '') return;
  assert.match(String(response.headers['content-type']), /^application\/json/, label);
  const body: unknown = JSON.parse(response.body);
  if (response.statusCode < 300) return;
  assert.ok(typeof body === 'object' && body !== null && 'error_code' in body, label);
  assert.equal(typeof body.error_code, 'string', label);
}

describe('whatever arrives is digested', () => {
  test('by every route', async (context) => {
    const routes = listRoutes();
    assert.ok(routes.length >= 60, `only ${routes.length} routes`);
    for (const [method, path] of routes) {
      await context.test(`${method} ${path}`, async () => {
        await fc.assert(
          fc.asyncProperty(payloads, queries, ids, async (payload, query, id) => {
            const url = `${urlOf(path, id)}${query === '' ? '' : `?${query}`}`;
            const hasBody = method === 'POST' || method === 'PUT';
            await assertDigested(method, url, hasBody ? { payload } : {});
          }),
          runs,
        );
      });
    }
  });
  test('headers of any kind', async () => {
    const text = fc.stringMatching(/^[ -~]{0,80}$/);
    const names = fc.constantFrom(
      ...['authorization', 'x-auth-token', 'x-project-id', 'x-sdk-date', 'x-language', 'host'],
      ...['content-type', 'x-subject-token', 'x-sdk-content-sha256', 'x-request-id'],
    );
    const signatures = text.map((value) => `SDK-HMAC-SHA256 ${value}`);
    await fc.assert(
      fc.asyncProperty(
        fc.dictionary(names, fc.oneof(text, signatures), { maxKeys: 5 }),
        async (headers) => {
          await assertDigested('GET', scene.rds('/instances'), { headers, token: null });
        },
      ),
      { seed, numRuns: 200 },
    );
  });
});
