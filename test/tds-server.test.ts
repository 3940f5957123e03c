// Sessions of ours against a server that speaks TDS, and that server against a client which is not
// ours. No SQL Server is there to ask: this shows that client and protocol are handled well.
import assert from 'node:assert/strict';
import type { AddressInfo, Socket } from 'node:net';
import { createServer } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { parseConnectionUrl } from '../src/engines/sqlserver/connection-url.ts';
import type { SqlSession } from '../src/engines/sqlserver/session.ts';
import { openSession } from '../src/engines/sqlserver/session.ts';
import type { SqlStatement } from '../src/engines/sqlserver/statement.ts';
import { isErrorKind } from '../src/model/errors.ts';
import { Secret } from '../src/model/secret.ts';
import { makeCertificate } from './fixtures/tds/certificate.ts';
import type { Column, Value } from './fixtures/tds/columns.ts';
import { runTsql } from './fixtures/tds/freetds.ts';
import type { TdsServer, TdsServerOptions } from './fixtures/tds/server.ts';
import { startTdsServer } from './fixtures/tds/server.ts';
import type { Answer } from './fixtures/tds/session.ts';
import type { Certificate } from './fixtures/tds/tls-in-prelogin.ts';
import { until } from './fixtures/until.ts';

const password = 'p@ss-wörd';
const signal = AbortSignal.timeout(60_000);
const folder = '&backupFolder=/b';

function statement(text: string, parameters: SqlStatement['parameters'] = []): SqlStatement {
  return { name: text.split(' ', 1)[0] ?? '', text, parameters };
}

/** What each word at the beginning of a statement does. */
const answers: Readonly<Record<string, Answer>> = {
  set: async () => undefined,
  echo: async ({ parameters, declaration }, reply) => {
    const rows = [...parameters].map(([name, value]) => [name, show(value)]);
    reply.rows(textColumns('name', 'value'), [...rows, ['declaration', declaration]]);
  },
  types: async (_request, reply) =>
    reply.rows(typedColumns, [typedValues, typedColumns.map(() => null)]),
  many: async (_request, reply) => {
    const rows = Array.from({ length: 20_000 }, (_, index) => [`row ${index}`, 'x'.repeat(40)]);
    reply.rows(textColumns('name', 'value'), rows);
  },
  slow: async (_request, reply, context) => {
    for (let percent = 10; percent <= 100; percent += 10) {
      reply.info(3211, `${percent} percent processed.`);
      await delay(30, undefined, { signal: context.signal });
    }
    reply.info(3014, 'BACKUP DATABASE successfully processed 1 pages.');
  },
  silent: async (_request, _reply, context) => {
    await delay(30_000, undefined, { signal: context.signal });
  },
  stubborn: async () => await delay(1000),
  fail: async (_request, reply) => {
    reply.info(4035, 'Processed 0 pages.');
    reply.error(
      3201,
      `Cannot open backup device '/b'. Operating system error 5(Access is denied.).`,
    );
    reply.error(3013, 'BACKUP DATABASE is terminating abnormally.');
  },
  secret: async ({ text }, reply) => reply.error(102, `Incorrect syntax near '${text}'.`, 15),
  drop: async (_request, reply) => {
    reply.info(3211, '10 percent processed.');
    await delay(20);
    reply.drop();
  },
};

const typedColumns: readonly Column[] = [
  { name: 'int', type: { kind: 'integer', sizeBytes: 4 } },
  { name: 'bigint', type: { kind: 'integer', sizeBytes: 8 } },
  { name: 'bit', type: { kind: 'bit' } },
  { name: 'float', type: { kind: 'float' } },
  { name: 'text', type: { kind: 'nvarchar', lengthMax: 100 } },
  { name: 'long', type: { kind: 'nvarchar', lengthMax: 'max' } },
  { name: 'bytes', type: { kind: 'varbinary', lengthMax: 100 } },
  { name: 'guid', type: { kind: 'uniqueidentifier' } },
  { name: 'at', type: { kind: 'datetime2', scale: 7 } },
  { name: 'lsn', type: { kind: 'numeric', precision: 25 } },
];
const guid = '01020304-0506-0708-090A-0B0C0D0E0F10';
const at = new Date(Date.UTC(1999, 11, 31, 23, 59, 59, 997));
const typedValues: readonly Value[] = [
  ...[-5, 2n ** 62n, true, 1.25, 'Köln 🙂', 'lang'.repeat(20_000)],
  ...[Buffer.from([0, 1, 255]), guid, at, 34_000_000_017_600_037n],
];

function textColumns(...names: readonly string[]): Column[] {
  return names.map((name) => ({ name, type: { kind: 'nvarchar', lengthMax: 4000 } }));
}

function show(value: Value): string {
  return value instanceof Date ? value.toISOString() : String(value);
}

async function startServer(options: Partial<TdsServerOptions> = {}): Promise<TdsServer> {
  return await startTdsServer({
    users: new Map([['backup', password]]),
    hasDatabase: (name) => name === 'master',
    answer: async (request, reply, context) => {
      const word = /^\s*(\w+)/.exec(request.text)?.[1]?.toLowerCase() ?? '';
      await answers[word]?.(request, reply, context);
    },
    ...options,
  });
}

async function startMute(): Promise<AsyncDisposable & { readonly port: number }> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => sockets.push(socket.on('error', () => undefined)));
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((done) => server.close(done));
    },
  };
}

function urlOf(
  server: { readonly port: number },
  query: string,
  options: { user?: string; secret?: string } = {},
) {
  const { user = 'backup', secret = password } = options;
  const login = `${user}:${encodeURIComponent(secret)}`;
  return parseConnectionUrl(`sqlserver://${login}@localhost:${server.port}/?${query}${folder}`);
}

async function open(server: TdsServer, query = 'encrypt=false'): Promise<SqlSession> {
  return await openSession(urlOf(server, query), { signal });
}

async function rejection(work: Promise<unknown>): Promise<Error> {
  return await work.then(
    () => assert.fail('it was not refused'),
    (error) => error,
  );
}

describe('a session with SQL Server', () => {
  let server: TdsServer;
  before(async () => {
    server = await startServer();
  });
  after(async () => await server[Symbol.asyncDispose]());

  it('gives values as they are, and no rounded ones', async () => {
    await using session = await open(server);
    const [row, nothing] = await session.run(statement('types'), { signal });
    assert.deepEqual(Object.keys(row ?? {}).length, typedColumns.length - 1);
    assert.equal(row?.['lsn'], undefined);
    const { int, bigint, bit, float, text, long, bytes } = row ?? {};
    assert.deepEqual([int, bigint, bit, float], [-5, String(2n ** 62n), true, 1.25]);
    assert.deepEqual([text, long, row?.['guid']], ['Köln 🙂', 'lang'.repeat(20_000), guid]);
    assert.deepEqual([bytes, row?.['at']], [Buffer.from([0, 1, 255]), at]);
    assert.deepEqual(new Set(Object.values(nothing ?? {})), new Set([null]));
  });

  it('sends parameters as what they are', async () => {
    await using session = await open(server);
    const rows = await session.run(
      statement('echo', [
        { name: 'database', type: 'sysname', value: "a]'; DROP DATABASE [x" },
        { name: 'device', type: 'nvarchar', lengthMax: 259, value: '\\\\host\\ä 🙂.bak' },
        { name: 'stopat', type: 'varchar', lengthMax: 23, value: '2026-11-24T21:00:00.123' },
        { name: 'number', type: 'int', value: -1 },
        { name: 'at', type: 'datetime2', value: at },
      ]),
      { signal },
    );
    assert.deepEqual(Object.fromEntries(rows.map(({ name, value }) => [name, value])), {
      '@database': "a]'; DROP DATABASE [x",
      '@device': '\\\\host\\ä 🙂.bak',
      '@stopat': '2026-11-24T21:00:00.123',
      '@number': '-1',
      '@at': at.toISOString(),
      declaration:
        '@database nvarchar(128), @device nvarchar(259), @stopat varchar(23), @number int,' +
        ' @at datetime2(7)',
    });
  });

  it('reads 20000 rows, also in small packets', async () => {
    await using small = await startServer({ packetBytesMax: 512 });
    for (const one of [server, small]) {
      await using session = await open(one);
      const rows = await session.run(statement('many'), { signal });
      assert.equal(rows.length, 20_000);
      assert.equal(rows.at(-1)?.['name'], 'row 19999');
    }
  });

  it('hears of progress while the statement runs', async () => {
    await using session = await open(server);
    const heardMs: number[] = [];
    const onInfo = ({ number }: { readonly number: number }): void => {
      if (number === 3211) heardMs.push(performance.now());
    };
    await session.run(statement('slow'), { signal, onInfo });
    const endedMs = performance.now();
    assert.equal(heardMs.length, 10);
    assert.ok(endedMs - (heardMs[0] ?? endedMs) > 200, 'the first message came with the last');
    await session.run(statement('slow'), { signal });
    assert.equal(heardMs.length, 10, 'messages went to a statement that had ended');
  });

  it('is stopped by its signal, and can go on', async () => {
    await using session = await open(server);
    const controller = new AbortController();
    const onInfo = (): void => controller.abort();
    const work = session.run(statement('slow'), { signal: controller.signal, onInfo });
    assert.ok(isErrorKind(await rejection(work), 'cancelled'));
    const rows = await session.run(statement('many'), { signal });
    assert.equal(rows.length, 20_000);
  });

  it('waits until a statement that is slow to stop has stopped', async () => {
    await using session = await open(server);
    const startedMs = performance.now();
    const work = session.run(statement('stubborn'), { signal: AbortSignal.timeout(100) });
    assert.ok(isErrorKind(await rejection(work), 'cancelled'));
    assert.ok(performance.now() - startedMs > 900, 'the statement was still running');
  });

  it('waits for that no longer than it may', async () => {
    const options = { signal, cancelTimeoutMs: 200 };
    await using session = await openSession(urlOf(server, 'encrypt=false'), options);
    const startedMs = performance.now();
    const work = session.run(statement('stubborn'), { signal: AbortSignal.timeout(100) });
    assert.ok(isErrorKind(await rejection(work), 'cancelled'));
    assert.ok(performance.now() - startedMs < 800, 'it waited until the statement had stopped');
    const later = await rejection(session.run(statement('echo'), { signal }));
    assert.ok(isErrorKind(later, 'engine-unreachable'), 'it goes on in the middle of an answer');
  });

  it('does not wait for ever for a server that never greets', async () => {
    await using mute = await startMute();
    const options = { signal, connectTimeoutMs: 200 };
    const error = await rejection(openSession(urlOf(mute, 'encrypt=false'), options));
    assert.match(error.message, /it does not answer/);
    const hurried = { signal: AbortSignal.timeout(50) };
    const stopped = await rejection(openSession(urlOf(mute, 'encrypt=false'), hurried));
    assert.ok(isErrorKind(stopped, 'cancelled'));
  });

  it('gives up on a server that sends nothing, not on one that is slow', async () => {
    await using session = await open(server);
    const error = await rejection(session.run(statement('silent'), { signal, silenceMaxMs: 150 }));
    assert.match(error.message, /sent nothing for 150 ms during silent/);
    assert.ok(isErrorKind(error, 'engine-unreachable'));
    await session.run(statement('slow'), { signal, silenceMaxMs: 200 });
  });

  it('reports the cause of a failure, not its end', async () => {
    await using session = await open(server);
    const error = await rejection(session.run(statement('fail'), { signal }));
    assert.match(error.message, /cannot open the backup: .*Access is denied.*\(3201\)/);
    assert.ok(isErrorKind(error, 'engine-refused'));
    assert.equal(error.details['number'], 3201);
    assert.match(String(error.cause), /terminating abnormally/);
  });

  it('shows nothing of a statement that holds a secret', async () => {
    await using session = await open(server);
    const secret = {
      name: 'create-credential',
      text: new Secret('secret AKIA:xyz'),
      parameters: [],
    };
    const error = await rejection(session.run(secret, { signal }));
    assert.match(error.message, /create-credential/);
    assert.doesNotMatch(`${error.message} ${error.cause}`, /AKIA|xyz/);
  });

  it('takes no second statement while one runs', async () => {
    await using session = await open(server);
    const first = session.run(statement('slow'), { signal });
    assert.ok(isErrorKind(await rejection(session.run(statement('many'), { signal })), 'bug'));
    await first;
  });

  it('fails when the connection breaks, and stays failed', async () => {
    await using session = await open(server);
    const broken = await rejection(session.run(statement('drop'), { signal }));
    assert.ok(isErrorKind(broken, 'engine-unreachable'), broken.message);
    const later = await rejection(session.run(statement('many'), { signal }));
    assert.ok(isErrorKind(later, 'engine-unreachable'), later.message);
  });

  it('leaves no connection behind', async () => {
    await using session = await open(server);
    await session[Symbol.asyncDispose]();
    await until('the session has ended', () => server.countSessions() === 0, 5000);
  });

  it('says what is wrong with a login, without the password', async () => {
    const refused = async (secret: string, database = ''): Promise<Error> => {
      const connection = { ...urlOf(server, 'encrypt=false', { secret }) };
      const chosen = database === '' ? connection : { ...connection, database };
      return await rejection(openSession(chosen, { signal }));
    };
    const wrong = await refused('wrong-password');
    assert.match(wrong.message, /user backup or its password was not accepted/);
    assert.doesNotMatch(`${wrong.message} ${wrong.cause}`, /wrong-password/);
    assert.match((await refused(password, 'absent')).message, /cannot be opened: .*\(4060\)/);
  });
});

describe('TLS to SQL Server', () => {
  let certificate: Certificate;
  let server: TdsServer;
  before(async () => {
    certificate = makeCertificate();
    server = await startServer({ certificate });
  });
  after(async () => await server[Symbol.asyncDispose]());

  async function withCa(query: string, caPem: string | null): Promise<SqlSession> {
    return await openSession({ ...urlOf(server, query), tlsCaPem: caPem }, { signal });
  }

  it('is used and verified without being asked for', async () => {
    await using session = await withCa('', certificate.certPem);
    const rows = await session.run(statement('many'), { signal });
    assert.equal(rows.length, 20_000);
    assert.equal(server.logins.at(-1)?.isEncrypted, true);
    assert.equal(session.isEncrypted, true);
  });

  it('is refused with a certificate that nobody has signed, or of another host', async () => {
    const count = server.logins.length;
    const unknown = await rejection(withCa('', null));
    assert.ok(isErrorKind(unknown, 'engine-refused'), unknown.message);
    assert.match(`${unknown.message} ${unknown.hint}`, /TLS with .*name the authority/);
    const other = makeCertificate('elsewhere.example');
    await using elsewhere = await startServer({ certificate: other });
    const connection = { ...urlOf(elsewhere, ''), tlsCaPem: other.certPem };
    const wrongName = await rejection(openSession(connection, { signal }));
    assert.match(wrongName.message, /TLS with .* failed/);
    assert.equal(server.logins.length + elsewhere.logins.length, count, 'a password was sent');
    await using trusting = await withCa('trustServerCertificate=true', null);
    await trusting.run(statement('echo'), { signal });
  });

  it('never gives the password to a server that says it has none', async () => {
    await using plain = await startServer();
    for (const query of ['', 'trustServerCertificate=true']) {
      const error = await rejection(openSession(urlOf(plain, query), { signal }));
      assert.match(error.message, /does not offer TLS, and no password was sent/);
    }
    assert.deepEqual(plain.logins, []);
  });

  it('is not left out where the server wants it', async () => {
    const error = await rejection(open(server, 'encrypt=false'));
    assert.match(error.message, /takes no connection without TLS/);
  });
});

describe('the test server, for FreeTDS', () => {
  it('speaks TDS 7.4, with and without TLS', async () => {
    const certificate = makeCertificate();
    for (const one of [null, certificate]) {
      await using server = await startServer({ certificate: one });
      const caPem = one?.certPem ?? null;
      const login = { port: server.port, user: 'backup', password, caPem };
      const output = await runTsql('types', login);
      assert.match(output, /-5\t4611686018427387904\t1\t1\.25\tKöln 🙂\t/);
      assert.match(output, /\t34000000017600037\n/);
      assert.match(await runTsql('fail', login), /Msg 3201 \(severity 16.*\n.*\n.*Msg 3013/);
      assert.match(await runTsql('many', login), /\(20000 rows affected\)/);
      assert.match(await runTsql('many', { ...login, password: 'wrong' }), /18456/);
      assert.ok(server.logins.every(({ isEncrypted }) => isEncrypted === (one !== null)));
    }
  });
});
