// Users, projects and access keys from the command line, as an operator meets them.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { exitCodes } from '../../src/cli/exit-codes.ts';
import type { CliResult, TestService } from '../fixtures/service.ts';
import { runCairn, startService } from '../fixtures/service.ts';

const scene = new AsyncDisposableStack();
let service: TestService;
before(async () => {
  service = scene.use(await startService());
});
after(() => scene.disposeAsync());

async function cairn(...args: readonly string[]): Promise<CliResult> {
  const result = await service.cli(...args);
  assert.equal(result.exitCode, 0, result.stdout + result.stderr);
  return result;
}

async function withInput(input: string, ...args: readonly string[]): Promise<CliResult> {
  const { environment, dataDir } = service;
  return await runCairn([...args, '--data', dataDir], { environment, input });
}

suite('users', () => {
  test('are added, granted, revoked and removed', async () => {
    const added = await cairn('user', 'add', 'anna', '--role', 'viewer', '--project', 'cairn');
    assert.match(added.stdout, /^[0-9a-f]{32}\npassword: \S{20,}\n$/);
    const list = await cairn('user', 'list');
    assert.match(list.stdout, /anna +\S+ +viewer of cairn\n/);
    assert.match(list.stdout, /admin +\S+ +owner of every project\n/);
    for (const unclear of [
      ['user', 'grant', 'anna', '--role', 'owner'],
      ['user', 'grant', 'anna', '--role', 'owner', '--all-projects', '--project', 'cairn'],
      ['user', 'add', 'other', '--role', 'owner'],
      ['user', 'revoke', 'anna'],
    ]) {
      const refused = await service.cli(...unclear);
      assert.equal(refused.exitCode, exitCodes.usage, unclear.join(' '));
      assert.match(refused.stderr, /either --project NAME or --all-projects/);
    }
    assert.match((await cairn('user', 'list')).stdout, /anna +\S+ +viewer of cairn\n/);
    await cairn('user', 'grant', 'anna', '--role', 'operator', '--all-projects');
    const revoked = await cairn('user', 'revoke', 'anna', '--project', 'cairn', '--json');
    const { grants } = revoked.json<{ grants: object[] }>();
    assert.deepEqual(grants, [{ project_id: null, role: 'operator' }]);
    await cairn('user', 'remove', 'anna');
    assert.doesNotMatch((await cairn('user', 'list')).stdout, /anna/);
  });
  test('a password is read from standard input, whole, and never an argument', async () => {
    const password = '  two blanks in front  ';
    const added = await withInput(`${password}\n`, 'user', 'add', 'bert', '--password-stdin');
    assert.equal(added.exitCode, 0, added.stderr);
    assert.ok(!added.stdout.includes('password'));
    const body = {
      auth: {
        identity: { methods: ['password'], password: { user: { name: 'bert', password } } },
      },
    };
    const response = await fetch(`${service.endpoint}/v3/auth/tokens`, {
      method: 'POST',
      body: JSON.stringify(body),
    });
    assert.equal(response.status, 201);
    const weak = await withInput('weak\n', 'user', 'password', 'bert', '--password-stdin');
    assert.equal(weak.exitCode, exitCodes.usage, weak.stdout);
    assert.match(weak.stderr, /12 to 128 characters/);
  });
  test('one’s own password is changed in the credentials too: the next command works', async () => {
    const changed = await cairn('user', 'password');
    const [, password = ''] = /password: (\S+)/.exec(changed.stdout) ?? [];
    const path = join(service.dataDir, 'credentials.json');
    const record = JSON.parse(await readFile(path, 'utf8'));
    assert.equal(record.password, password);
    assert.match(record.access_key, /^[0-9A-F]{20}$/);
    await cairn('user', 'list');
  });
  test('the last owner stays', async () => {
    const result = await service.cli('user', 'remove', 'admin');
    assert.equal(result.exitCode, exitCodes.conflict, result.stderr);
    assert.match(result.stderr, /last owner/);
  });
});

suite('projects and access keys', () => {
  test('a project is added and removed; that of the credentials is not', async () => {
    const id = (await cairn('project', 'add', 'eu-de_team')).stdout.trim();
    assert.match((await cairn('project', 'list')).stdout, new RegExp(`${id} +eu-de_team`));
    await cairn('project', 'remove', 'eu-de_team');
    const own = await service.cli('project', 'remove', 'cairn');
    assert.notEqual(own.exitCode, 0);
    assert.match(own.stderr, /project of these credentials/);
  });
  test('an access key is shown once, and removed', async () => {
    const added = await cairn('key', 'add');
    const [, accessKey = ''] =
      /^access key: ([0-9A-F]{20})\nsecret key: [0-9a-f]{40}\n$/.exec(added.stdout) ?? [];
    assert.match((await cairn('key', 'list')).stdout, new RegExp(accessKey));
    await cairn('key', 'remove', accessKey);
    assert.ok(!(await cairn('key', 'list')).stdout.includes(accessKey));
    const kit = (await cairn('key', 'export')).stdout;
    assert.equal(kit.match(/^ {4}[1-4]( {1,2}[0-9a-f]{4}){4} {2}- [0-9a-f]{4}$/gm)?.length, 4, kit);
  });
});

test('the version is that of the package', async () => {
  const { version } = JSON.parse(await readFile('package.json', 'utf8'));
  assert.equal((await runCairn(['--version'])).stdout, `${version}\n`);
});
