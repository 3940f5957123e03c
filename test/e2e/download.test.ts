// A backup with a tablespace, downloaded as anybody would with a link, in pieces and whole,
// unpacked by tar and zstd, and started with the commands that the archive brings.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmod, chown, mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import type { BackupFilesWire } from '../../src/api/schema/download.ts';
import type { Identity } from '../../src/platform/child-process.ts';
import { runCommand, spawnBase } from '../../src/platform/child-process.ts';
import { findServerIdentity } from '../../src/platform/server-user.ts';
import type { PostgresVersion, TestServer } from '../fixtures/postgres-server.ts';
import { findFreePort, startPostgres } from '../fixtures/postgres-server.ts';
import type { TestService } from '../fixtures/service.ts';
import { startService } from '../fixtures/service.ts';
import { backUp, register } from '../fixtures/service-calls.ts';
import { atPort, tableSums } from '../fixtures/table-sums.ts';

const versions: readonly PostgresVersion[] = ['15', '17'];
const timeoutMs = 120_000;

async function run(program: string, args: readonly string[], identity: Identity | null = null) {
  const env = { PATH: process.env.PATH ?? '' };
  const done = await runCommand(program, args, { timeoutMs, identity, env });
  assert.equal(done.exitCode, 0, `${program} ${args.join(' ')}\n${done.stdout}${done.stderr}`);
  return done.stdout;
}

/** In a shell, in that folder; a server that it starts must not hold our pipes. */
async function runShell(line: string, cwd: string, identity: Identity | null): Promise<void> {
  const env = { PATH: process.env.PATH ?? '' };
  const options = { ...spawnBase({ identity, cwd, env }), stdio: 'ignore' } as const;
  const child = spawn('sh', ['-c', line], options);
  const code = await new Promise<number | null>((done, fail) => {
    child.on('error', fail).on('exit', done);
  });
  const log = await readFile(join(cwd, 'data/server.log'), 'utf8').catch(() => '');
  assert.equal(code, 0, `${line}\n${log}`);
}

for (const version of versions) {
  suite(`a backup of PostgreSQL ${version} as a file`, () => {
    const scene = new AsyncDisposableStack();
    let server: TestServer;
    let service: TestService;
    let identity: Identity | null;
    let sums: Record<string, string>;
    let backupId: string;
    let file: BackupFilesWire['files'][number];
    let whole: Buffer;
    let targetDir: string;

    before(async () => {
      identity = await findServerIdentity(null);
      server = scene.use(await startPostgres({ version }));
      service = scene.use(
        await startService({ versions: [version], environment: { CAIRN_LOG_LEVEL: 'debug' } }),
      );
      await chmod(service.folder, 0o755);
      const folder = join(service.folder, 'far away');
      await mkdir(folder, { mode: 0o700 });
      if (identity) await chown(folder, identity.uid, identity.gid);
      await server.query(`create tablespace far location '${folder}'`);
      await server.query(
        `create table orders as
         select g as id, md5(g::text) as code from generate_series(1, 60000) g`,
      );
      await server.query(
        'create table far tablespace far as select * from orders where id % 3 = 0',
      );
      await server.query('create index on far (id) tablespace far');
      sums = await tableSums(server.url);
      const backup = await backUp(service, await register(service, server.url), 'to-download');
      backupId = backup.id;
      const path = `/v3/{p}/backup-files?backup_id=${backupId}`;
      const answer = await service.request<BackupFilesWire>('GET', path);
      assert.equal(answer.status, 200, JSON.stringify(answer.body));
      [file] = answer.body.files as [typeof file];
      targetDir = join(service.folder, 'unpacked');
    });
    after(() => scene.disposeAsync());

    test('the link gives the whole without a login, with its length', async () => {
      const response = await fetch(file.download_link);
      assert.equal(response.status, 200);
      whole = Buffer.from(await response.arrayBuffer());
      assert.equal(response.headers.get('content-length'), String(whole.byteLength));
      assert.equal(file.size, Math.ceil(whole.byteLength / 1024));
    });

    test('random ranges one after another are the whole', async () => {
      const pieces: Buffer[] = [];
      for (let at = 0; at < whole.byteLength; ) {
        const last = at + Math.floor(Math.random() * 9_000_000);
        const headers = { range: `bytes=${at}-${last}` };
        const response = await fetch(file.download_link, { headers });
        assert.equal(response.status, 206);
        pieces.push(Buffer.from(await response.arrayBuffer()));
        at += pieces.at(-1)?.byteLength ?? 0;
      }
      assert.ok(Buffer.concat(pieces).equals(whole), 'the ranges do not fit together');
    });

    test('curl goes on with a part of it', async () => {
      const path = join(service.folder, 'by-curl.tar.zst');
      await writeFile(path, whole.subarray(0, 5_000_001));
      await run('curl', ['-sS', '--fail', '-C', '-', '-o', path, file.download_link]);
      assert.ok((await readFile(path)).equals(whole));
    });

    test('the command line fetches it, and says how to unpack it', async () => {
      const path = join(service.folder, "it's here.tar.zst");
      const fetched = await service.cli('backup', 'download', backupId, '--to', path);
      assert.equal(fetched.exitCode, 0, fetched.stderr);
      assert.ok((await readFile(path)).equals(whole));
      assert.match(fetched.stdout, /zstd -dc .* \| tar -xp/);
      const again = await service.cli('backup', 'download', backupId, '--to', path);
      assert.equal(again.exitCode, 2, again.stdout);
      assert.match(again.stderr, /exists already/);
      const line = /^ {2}(mkdir .*)$/m.exec(fetched.stdout)?.[1] ?? '';
      await runShell(line.replaceAll('restored', 'unpacked'), service.folder, null);
      const { mode } = await stat(join(targetDir, 'data/global/pg_control'));
      assert.equal(mode & 0o777, 0o600);
      assert.equal((await stat(join(targetDir, 'data'))).mode & 0o777, 0o700);
    });

    // The others come without the tool.
    if (version === '15') {
      test('every file is the one that the server sent', async () => {
        const tool = '/usr/lib/postgresql/15/bin/pg_verifybackup';
        await run(tool, ['--ignore', 'tablespace_map', join(targetDir, 'data')]);
      });
    }

    test('a server starts on it by its own page and has every row', async () => {
      if (identity) await run('chown', ['-R', `${identity.uid}:${identity.gid}`, targetDir]);
      const page = await readFile(join(targetDir, 'START.txt'), 'utf8');
      const commands = [...page.matchAll(/^ {2}(.+)$/gm)].map((match) => match[1] ?? '');
      const start = commands.at(-1) ?? '';
      assert.match(start, /-w start$/);
      const bin = `'<bin folder of PostgreSQL ${version}>'`;
      const port = await findFreePort();
      const here = start.replace(bin, server.binDir).replace("-o '", `-o '-p ${port} `);
      const stop = `${server.binDir}/pg_ctl -D data -m fast -w stop`;
      // As unpacked, with relative links, and then as the page advises.
      for (const advised of [[], commands.slice(0, -1)]) {
        for (const line of advised) await runShell(line, targetDir, identity);
        await runShell(here, targetDir, identity);
        try {
          assert.deepEqual(await tableSums(atPort(server.url, port)), sums);
        } finally {
          await runShell(stop, targetDir, identity);
        }
      }
      const relation = await server.query("select pg_relation_filepath('far') as path");
      const [, , , database, node] = String(relation[0]?.path).split('/');
      const inFar = await run('find', [join(targetDir, 'tablespaces'), '-name', String(node)]);
      assert.match(inFar, new RegExp(`/${database}/${node}\n`));
    });

    test('the page has made the links absolute, as PostgreSQL makes them', async () => {
      const [link] = (await run('find', [join(targetDir, 'data/pg_tblspc'), '-type', 'l'])).split(
        '\n',
      );
      const target = await run('readlink', [link ?? '']);
      assert.match(target, new RegExp(`^${targetDir}/tablespaces/\\d+\n$`));
    });

    test('neither log nor unknown holders get at the link', async () => {
      assert.match(service.log, /\/cairn\/v1\/downloads\//);
      assert.doesNotMatch(service.log, /signature/);
      const altered = file.download_link.replace(backupId, `0${backupId.slice(1)}`);
      assert.equal(
        (await fetch(altered === file.download_link ? `${altered}0` : altered)).status,
        403,
      );
    });

    test('after the deletion of the backup the link opens nothing', async () => {
      const removed = await service.cli('backup', 'delete', backupId, '--wait');
      assert.equal(removed.exitCode, 0, removed.stderr);
      const response = await fetch(file.download_link);
      assert.equal(response.status, 404);
      await rm(targetDir, { recursive: true });
    });
  });
}
