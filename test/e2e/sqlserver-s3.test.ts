// Backups that a SQL Server hands over in a bucket: on Ceph, into which the small server of the
// tests writes in parts as the real one's S3 connector does. What counts is that nothing stays
// there, not even what no listing shows, and that no key gets where it must not.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { inspect } from 'node:util';
import {
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutBucketPolicyCommand,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import type { Finding } from '../../src/engines/engine.ts';
import { parseConnectionUrl } from '../../src/engines/sqlserver/connection-url.ts';
import type { Exchange } from '../../src/engines/sqlserver/exchange.ts';
import { followLog, releaseLog } from '../../src/engines/sqlserver/log-archive.ts';
import { CairnError, isErrorKind } from '../../src/model/errors.ts';
import type { Connection } from '../../src/model/instance.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import type { ObjectStore } from '../fixtures/object-store.ts';
import { startObjectStore } from '../fixtures/object-store.ts';
import { never } from '../fixtures/repositories.ts';
import { useCredentials } from '../fixtures/s3-storages.ts';
import { SqlServerLog } from '../fixtures/sqlserver-log-stream.ts';
import type { SqlServerScene } from '../fixtures/sqlserver-scene.ts';
import { createSqlServerScene } from '../fixtures/sqlserver-scene.ts';
import { sqlError } from '../fixtures/tds/sql-messages.ts';
import { until } from '../fixtures/until.ts';

const bucket = 'exchange';
/** What the server calls the store; where it really is, only the fixtures know. */
const host = 'store.example:9000';

let store: ObjectStore;
let settings: string;
/** Of the user that the server is given. */
let ownSecret: string;
let ownClient: S3Client;
let scene: SqlServerScene;
let url: string;

before(async () => {
  store = await startObjectStore('ceph');
  await store.makeBucket(bucket);
  settings = await mkdtemp(join(tmpdir(), 'cairn-aws-'));
  const credentials = join(settings, 'credentials');
  const own = await store.makeUser('mssql');
  await allow('mssql');
  ownSecret = own['AWS_SECRET_ACCESS_KEY'] ?? '';
  const id = own['AWS_ACCESS_KEY_ID'] ?? '';
  ownClient = new S3Client({
    ...{ endpoint: store.endpoint, region: 'us-east-1', forcePathStyle: true },
    credentials: { accessKeyId: id, secretAccessKey: ownSecret },
  });
  await writeFile(
    credentials,
    profile('mssql', { id, secret: ownSecret }) +
      profile('same', { id: store.accessKey, secret: store.secretKey }) +
      profile('wrong', { id: 'nobody', secret: 'knows' }),
  );
  useCredentials({ ...store.environment, AWS_SHARED_CREDENTIALS_FILE: credentials });
});
/** What `docs/storage.md` says is enough, for all prefixes of this test. */
async function allow(user: string): Promise<void> {
  const text = await readFile(join(import.meta.dirname, '../../docs/storage.md'), 'utf8');
  const [, json = ''] = /```json\n([^`]*"Statement"[^`]*)```/.exec(text) ?? [];
  const policy: { Statement: object[] } = JSON.parse(
    json.replaceAll('BUCKET', bucket).replaceAll('PREFIX', 't-*'),
  );
  const Principal = { AWS: [`arn:aws:iam:::user/${user}`] };
  const Statement = policy.Statement.map((statement) => ({ ...statement, Principal }));
  const Policy = JSON.stringify({ ...policy, Statement });
  await store.client.send(new PutBucketPolicyCommand({ Bucket: bucket, Policy }));
}

const profile = (name: string, { id, secret }: { id: string; secret: string }): string =>
  `[${name}]\naws_access_key_id = ${id}\naws_secret_access_key = ${secret}\n`;

after(async () => {
  ownClient.destroy();
  await store[Symbol.asyncDispose]();
  await rm(settings, { recursive: true });
});

beforeEach(async () => {
  url = `s3://${host}/${bucket}/t-${randomBytes(6).toString('hex')}`;
  scene = await createSqlServerScene({ store: { host, client: store.client } });
});
afterEach(() => scene[Symbol.asyncDispose]());

function connect(options: Readonly<Record<string, string>> = {}): Connection {
  const query = new URLSearchParams({
    ...{ encrypt: 'false', backupUrl: url, backupEndpoint: store.endpoint },
    ...options,
  });
  return parseConnectionUrl(
    `sqlserver://backup:pw@localhost:${scene.server.port}/?${String(query)}`,
  );
}

const openExchange = async (options = {}): Promise<Exchange> =>
  await scene.ground.openExchange(connect(options));

const giveCredential = (name = url): void => {
  scene.server.world.credentials.set(name, 'S3 Access Key');
};

const prefixOf = (): string => url.slice(`s3://${host}/${bucket}/`.length);

async function listStore(): Promise<{ objects: string[]; uploads: string[] }> {
  const target = { Bucket: bucket, Prefix: prefixOf() };
  const { Contents = [] } = await store.client.send(new ListObjectsV2Command(target));
  const { Uploads = [] } = await store.client.send(new ListMultipartUploadsCommand(target));
  const names = (found: readonly { Key?: string | undefined }[]) =>
    found.map(({ Key = '' }) => Key.slice(prefixOf().length + 1));
  return { objects: names(Contents), uploads: names(Uploads) };
}

const isEmpty = async (): Promise<void> =>
  assert.deepEqual(await listStore(), { objects: [], uploads: [] });

async function* pieces(...parts: readonly Buffer[]): AsyncGenerator<Uint8Array> {
  yield* parts;
}

async function collect(bytes: AsyncIterable<Uint8Array> | undefined): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(bytes ?? []));
}

describe('backups of SQL Server through a bucket', () => {
  it('are stored in the repository, restore, and leave nothing in the bucket', async () => {
    giveCredential();
    const connection = connect({ backupRegion: 'eu-west-1' });
    scene.write('shop', 3, 4);
    const { source } = await scene.backUp({ connection });
    const wanted = scene.database('shop').digest();
    await isEmpty();
    const devices = scene.server.world.history.flatMap((set) => set.devices);
    assert.ok(devices.length === 2 && devices.every((device) => device.startsWith(`${url}/`)));
    await scene.driver.restoreDatabases(connection, {
      ...{ source, databases: [{ oldName: 'shop', newName: 'copy' }], recovery: null },
      ...{ replace: false, missingRoles: 'refuse', tag: 'test', signal: never },
      ...{ onProgress: () => undefined, log: silentLogger },
    });
    assert.equal(scene.database('copy').digest(), wanted);
    await isEmpty();
  });

  it('leave no unfinished upload when they fail, are cancelled, or lose the server', async () => {
    giveCredential();
    const connection = connect();
    let seen: string[] = [];
    const noteUploads = async (): Promise<void> => {
      seen = (await listStore()).uploads;
    };
    scene.at('BACKUP DATABASE', 40, async () => {
      await noteUploads();
      throw sqlError(3202, url, '87(The parameter is incorrect.)');
    });
    await assert.rejects(scene.backUp({ connection }), (error) =>
      isErrorKind(error, 'engine-refused'),
    );
    assert.equal(seen.length, 1, 'the server has begun no upload');
    await isEmpty();
    const controller = new AbortController();
    scene.at('BACKUP DATABASE', 40, () => controller.abort());
    await assert.rejects(scene.backUp({ connection, signal: controller.signal }), (error) =>
      isErrorKind(error, 'cancelled'),
    );
    await isEmpty();
    scene.at('BACKUP DATABASE', 40, () => scene.server.dropAll());
    await assert.rejects(scene.backUp({ connection }), (error) =>
      isErrorKind(error, 'engine-unreachable'),
    );
    await isEmpty();
  });

  it('find what a dead attempt has left in the bucket, uploads too', async () => {
    giveCredential();
    const exchange = await openExchange();
    const left = { name: 'cairn-x-1', stripes: 2 };
    await exchange.put(left, 1, { sizeBytes: 3, bytes: pieces(Buffer.from('abc')) }, never);
    scene.at('BACKUP DATABASE', 40, () => {
      throw sqlError(3202, url, '5(Access is denied.)');
    });
    const name = `cairn-x-2`;
    const statement = `BACKUP DATABASE [shop] TO URL = N'${url}/${name}.1of1.bak' WITH FORMAT`;
    await assert.rejects(scene.run({ name: 'by-hand', text: statement, parameters: [] }));
    assert.deepEqual(await exchange.list('cairn-x-', never), [left, { name, stripes: 1 }]);
    assert.equal(await exchange.open({ name, stripes: 1 }, 0, never), null);
    await exchange.remove({ name, stripes: 1 }, never);
    assert.deepEqual((await listStore()).uploads, []);
    assert.deepEqual(await exchange.list('cairn-x-', never), [left]);
    await exchange.remove(left, never);
    await isEmpty();
  });

  it('hand over the log, and only when it is stored nothing is left of it', async () => {
    giveCredential();
    const connection = connect();
    await scene.backUp({ connection });
    scene.write('shop', 1, 2);
    const log = new SqlServerLog();
    const controller = new AbortController();
    const limits = { intervalMs: 50, tickMs: 1, appearTries: 2, appearWaitMs: 1 };
    const ended = followLog(
      connection,
      {
        ...{ keeperName: 'cairn_test', resume: null, log: silentLogger },
        ...{ sink: log.openSink((error) => controller.abort(error)), onLag: () => undefined },
        signal: controller.signal,
      },
      { ...scene.ground, clock: systemClock },
      limits,
    ).catch((error: unknown) => error);
    const pages = (): number =>
      log.archived().reduce((sum, { header }) => sum + header.records.length, 0);
    await until('the first log is stored', () => pages() === 2, 20_000);
    scene.write('shop', 3);
    await until('the next log is stored', () => pages() === 3, 20_000);
    const isTaken = async (): Promise<boolean> => (await listStore()).objects.length === 0;
    await until('all that is stored is taken out', isTaken, 20_000);
    controller.abort();
    await ended;
    await log.settle();
    await releaseLog(connection, 'cairn_test', never, scene.ground);
    await isEmpty();
  });
});

describe('a bucket as the place where backups are handed over', () => {
  it('keeps bytes as they are, in pieces, from any place on', async () => {
    const exchange = await openExchange();
    const backup = { name: 'cairn-test-a', stripes: 1 };
    const bytes = randomBytes(20 * 1024 * 1024 + 17);
    const parts = [bytes.subarray(0, 5), bytes.subarray(5, 9_000_000), bytes.subarray(9_000_000)];
    await exchange.put(backup, 0, { sizeBytes: 3, bytes: pieces(Buffer.from('old')) }, never);
    await exchange.put(backup, 0, { sizeBytes: bytes.length, bytes: pieces(...parts) }, never);
    const file = await exchange.open(backup, 0, never);
    assert.equal(file?.sizeBytes, bytes.length);
    for (const from of [0, 8 * 1024 * 1024 + 1, bytes.length - 1, bytes.length]) {
      assert.ok((await collect(file?.read(from, never))).equals(bytes.subarray(from)), `${from}`);
    }
    const { devices } = { devices: exchange.devices(backup) };
    assert.deepEqual(devices, {
      ...{ kind: 's3', urls: [`${url}/cairn-test-a.1of1.bak`], region: null },
    });
    // It is shorter now than it was when it was opened.
    const Key = `${prefixOf()}/cairn-test-a.1of1.bak`;
    await store.client.send(new PutObjectCommand({ Bucket: bucket, Key, Body: 'short' }));
    await assert.rejects(collect(file?.read(0, never)), (error) =>
      isErrorKind(error, 'storage-unavailable'),
    );
    await exchange.remove(backup, never);
    assert.equal(await exchange.open(backup, 0, never), null);
    await isEmpty();
  });

  it('keeps half a file for no file', async () => {
    const exchange = await openExchange();
    const backup = { name: 'cairn-test-b', stripes: 1 };
    const big = randomBytes(9 * 1024 * 1024);
    async function* failing(): AsyncGenerator<Uint8Array> {
      yield big;
      yield big;
      throw new CairnError('repository-damaged', 'a pack is cut', {
        details: { failure: 'range' },
      });
    }
    await assert.rejects(
      exchange.put(backup, 0, { sizeBytes: 3 * big.length, bytes: failing() }, never),
      (error) => isErrorKind(error, 'repository-damaged') && error.message === 'a pack is cut',
    );
    await assert.rejects(
      exchange.put(backup, 0, { sizeBytes: big.length + 1, bytes: pieces(big) }, never),
    );
    assert.equal(await exchange.open(backup, 0, never), null);
    await isEmpty();
  });

  it('says what to do in words of the connection, not of the repository', async () => {
    const hintOf = async (connection: Connection): Promise<string> => {
      const exchange = await scene.ground.openExchange(connection);
      const error: CairnError = await exchange.list('a', never).then(
        () => assert.fail('it was listed'),
        (reason) => reason,
      );
      assert.ok(isErrorKind(error, 'storage-unavailable'), inspect(error));
      return error.hint ?? '';
    };
    assert.match(await hintOf(connect({ backupUrl: `s3://${host}/absent` })), /backupUrl/);
    assert.match(await hintOf(connect({ backupProfile: 'wrong' })), /backupProfile/);
  });
});

describe('the credential of the server', () => {
  it('is made of keys that are for it, once, and shown to nobody', async () => {
    await scene[Symbol.asyncDispose]();
    scene = await createSqlServerScene({ store: { host, client: ownClient } });
    const connection = connect({ backupProfile: 'mssql' });
    const { credentials } = scene.server.world;
    const credential = find(await look(connection), 'credential');
    assert.match(credential.message, /the first backup makes the credential/);
    assert.equal(credentials.size, 0, 'an inspection has made it');
    await scene.backUp({ connection });
    assert.deepEqual([...credentials.keys()], [url]);
    const findings = await look(connection);
    assert.equal(find(findings, 'exchange').severity, 'fine', inspect(findings));
    assert.doesNotMatch(inspect(findings), new RegExp(ownSecret));
    assert.equal(scene.server.world.secrets.get(url)?.split(':')[1], ownSecret);
  });

  it('is left alone where there is one for a part of the bucket', async () => {
    giveCredential(`s3://${host}/${bucket}`);
    giveCredential(`s3://${host}/${bucket}/t-other`);
    await scene.backUp({ connection: connect({ backupProfile: 'mssql' }) });
    assert.equal(scene.server.world.credentials.size, 2);
    const found = find(await look(connect()), 'credential');
    assert.match(found.message, new RegExp(`has the credential s3://${host}/${bucket}$`));
  });

  it('is never made of the keys of the repository, nor of keys that do not last', async () => {
    const { denied, credentials } = scene.server.world;
    for (const [options, why] of [
      [{}, /backupProfile names no keys/],
      [{ backupProfile: 'same' }, /profile same has no lasting keys of its own/],
    ] as const) {
      const credential = find(await look(connect(options)), 'credential');
      assert.equal(credential.severity, 'blocking');
      assert.match(credential.message, why);
      const shape = `CREATE CREDENTIAL [${url}] WITH IDENTITY = 'S3 Access Key', SECRET = '<key`;
      assert.ok(credential.hint?.startsWith(shape), credential.hint ?? '');
    }
    for (const options of [{}, { backupProfile: 'same' }]) {
      await assert.rejects(scene.backUp({ connection: connect(options) }), (error) =>
        isErrorKind(error, 'engine-refused'),
      );
    }
    denied.add('ALTER ANY CREDENTIAL');
    const refused = find(await look(connect({ backupProfile: 'mssql' })), 'credential');
    assert.match(refused.message, /the login may not make one/);
    denied.add('VIEW ANY DEFINITION');
    const hidden = find(await look(connect({ backupProfile: 'mssql' })), 'credential');
    assert.deepEqual([hidden.severity, /hidden/.test(hidden.message)], ['warning', true]);
    assert.equal(credentials.size, 0);
  });
});

async function look(connection: Connection): Promise<readonly Finding[]> {
  const { findings } = await scene.driver.inspect(connection, never);
  await isEmpty();
  return findings;
}

function find(findings: readonly Finding[], check: string): Finding {
  const found = findings.find((finding) => finding.check === check);
  assert.ok(found, `${check} in ${inspect(findings)}`);
  return found;
}
