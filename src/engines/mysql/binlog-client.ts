// Receives the binary log as a replica does (MySQL documentation, "Replication Protocol",
// COM_BINLOG_DUMP): after the login a few session variables, then one request, which the server
// answers with events for as long as the connection lasts. `mysql2` has no door for this, but takes
// any object that has a command's `execute`; it joins the packets of an event of 16 MiB and more.
import type { Duplex } from 'node:stream';
import type { Connection as Client } from 'mysql2';
import { CairnError } from '../../model/errors.ts';
import type { Connection } from '../../model/instance.ts';
import type { Clock } from '../../platform/clock.ts';
import { abortError } from '../guard.ts';
import type { Query } from './connection.ts';
import { cutConnection, openConnection, runQuery } from './connection.ts';
import type { Flavor } from './flavor.ts';

export type DumpConnection = {
  /** The server's own number of it. */
  readonly threadId: number;
  readonly query: Query;
  /** Asks for the log: afterwards the connection is of no other use. Ends only by failing. */
  receive(request: DumpRequest): Promise<never>;
  [Symbol.dispose](): void;
};

export type DumpRequest = {
  readonly flavor: Flavor;
  readonly file: string;
  /** Where an event begins: 4 for the first of a file. */
  readonly offsetBytes: number;
  /** A second one with the same id ends the first. */
  readonly serverId: number;
  /** Called with each event, which is a view; a promise stops the server until it is fulfilled. */
  readonly onEvent: (bytes: Uint8Array) => undefined | Promise<void>;
  /** The server says that it lives four times as often. */
  readonly silenceTimeoutMs: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
};

/** What `mysql2` hands to a command; of its own packet no more than this is used. */
type Packet = { readonly buffer: Buffer; readonly start: number; readonly end: number };
type CommandHost = {
  addCommand(command: DumpCommand): void;
  writePacket(packet: OutgoingPacket): void;
  _resetSequenceId(): void;
  pause(): void;
  resume(): void;
  readonly stream: Duplex;
};
type OutgoingPacket = {
  readonly buffer: Buffer;
  length(): number;
  writeHeader(sequence: number): void;
};

const packetHeaderBytes = 4;
const dumpCommand = 0x12;
/** MariaDB: the statements that row events came from are sent too, or positions have holes. */
const sendAnnotateRows = 0x02;
/** MariaDB: whoever knows GTIDs gets events as they are in the file. */
const gtidCapability = 4;
const answers = { event: 0x00, end: 0xfe, error: 0xff } as const;
const offsetMax = 2 ** 32 - 1;

/** @throws engine-unreachable, engine-refused, cancelled */
export async function openDump(
  connection: Connection,
  { signal }: { readonly signal: AbortSignal },
): Promise<DumpConnection> {
  const client = await openConnection(connection, { signal });
  const abort = (): void => cutConnection(client);
  signal.addEventListener('abort', abort, { once: true });
  const query: Query = (sql, values) => runQuery(client, sql, values, { signal });
  return {
    threadId: client.threadId ?? 0,
    query,
    async receive(request) {
      await query(sessionStatement(request));
      return await receiveEvents(client, request);
    },
    [Symbol.dispose]() {
      signal.removeEventListener('abort', abort);
      cutConnection(client);
    },
  };
}

/** Both names of what newer servers have renamed. */
function sessionStatement({ flavor, silenceTimeoutMs }: DumpRequest): string {
  const heartbeatNs = BigInt(Math.round(silenceTimeoutMs / 4)) * 1_000_000n;
  const common = [
    '@master_binlog_checksum = @@global.binlog_checksum',
    `@master_heartbeat_period = ${heartbeatNs}`,
  ];
  const own =
    flavor === 'mariadb'
      ? [`@mariadb_slave_capability = ${gtidCapability}`]
      : [
          '@source_binlog_checksum = @@global.binlog_checksum',
          `@source_heartbeat_period = ${heartbeatNs}`,
        ];
  return `set ${[...common, ...own].join(', ')}`;
}

async function receiveEvents(client: Client, request: DumpRequest): Promise<never> {
  const { signal } = request;
  const command = new DumpCommand(request);
  const over = new AbortController();
  const onAbort = (): void => command.fail(abortError(signal));
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    if (signal.aborted) throw abortError(signal);
    (client as unknown as CommandHost).addCommand(command);
    return await Promise.race([command.failed, watchSilence(command, request, over.signal)]);
  } finally {
    over.abort();
    signal.removeEventListener('abort', onAbort);
    cutConnection(client);
  }
}

/** A server that is waited for by nobody but us has died, or the network has. */
async function watchSilence(
  command: DumpCommand,
  { clock, silenceTimeoutMs }: DumpRequest,
  signal: AbortSignal,
): Promise<never> {
  for (;;) {
    const silentMs = clock.monotonicMs() - command.heardMs;
    const leftMs = command.isWaiting ? silenceTimeoutMs : silenceTimeoutMs - silentMs;
    if (leftMs <= 0) {
      const text = `the server has not sent anything for ${silenceTimeoutMs} ms`;
      throw new CairnError('engine-unreachable', text, {
        hint: 'check the network between here and the server',
      });
    }
    await clock.sleep(leftMs, signal);
  }
}

class DumpCommand {
  readonly #request: DumpRequest;
  readonly #failed = Promise.withResolvers<never>();
  #isAsked = false;
  #isOver = false;
  heardMs: number;
  /** The sink is slow, not the server. */
  isWaiting = false;

  constructor(request: DumpRequest) {
    this.#request = request;
    this.heardMs = request.clock.monotonicMs();
    this.#failed.promise.catch(() => undefined);
  }

  get failed(): Promise<never> {
    return this.#failed.promise;
  }

  fail(error: unknown): void {
    this.#isOver = true;
    this.#failed.reject(error);
  }

  /** Called by `mysql2` when the connection ends. */
  onResult(error: unknown): void {
    this.fail(error);
  }

  /** Called by `mysql2`: first without a packet, then with each. True: there is no more to come. */
  execute(packet: Packet | undefined, host: CommandHost): boolean {
    if (this.#isOver) return true;
    this.heardMs = this.#request.clock.monotonicMs();
    try {
      if (this.#isAsked && packet) this.#take(packet, host);
      else this.#ask(host);
    } catch (error) {
      this.fail(error);
    }
    return this.#isOver;
  }

  #ask(host: CommandHost): void {
    this.#isAsked = true;
    host._resetSequenceId();
    host.writePacket(dumpPacket(this.#request));
  }

  #take({ buffer, start, end }: Packet, host: CommandHost): void {
    const payload = buffer.subarray(start + packetHeaderBytes, end);
    switch (payload[0]) {
      case answers.event: {
        const wait = this.#request.onEvent(payload.subarray(1));
        if (wait) this.#waitFor(wait, host);
        return;
      }
      case answers.error:
        throw serverError(payload);
      case answers.end:
        throw new CairnError('engine-unreachable', 'the server has ended its log', {
          hint: 'look into the server log: it was stopped, or the connection was killed',
        });
      default:
        throw new CairnError('engine-refused', `the server answered with ${payload[0]}`, {
          hint: 'check that the connection leads to MySQL or MariaDB itself',
        });
    }
  }

  #waitFor(wait: Promise<void>, host: CommandHost): void {
    host.pause();
    this.isWaiting = true;
    const done = (): void => {
      this.isWaiting = false;
      this.heardMs = this.#request.clock.monotonicMs();
      if (!this.#isOver) host.resume();
    };
    wait.then(done, (error: unknown) => this.fail(error));
  }
}

/** u8 command, u32 offset, u16 flags, u32 server id, file. */
function dumpPacket({ flavor, file, offsetBytes, serverId }: DumpRequest): OutgoingPacket {
  if (offsetBytes > offsetMax) throw new CairnError('bug', `no dump begins at ${offsetBytes}`);
  const name = Buffer.from(file, 'utf8');
  const buffer = Buffer.alloc(packetHeaderBytes + 11 + name.length);
  buffer.writeUInt8(dumpCommand, 4);
  buffer.writeUInt32LE(offsetBytes, 5);
  buffer.writeUInt16LE(flavor === 'mariadb' ? sendAnnotateRows : 0, 9);
  buffer.writeUInt32LE(serverId, 11);
  name.copy(buffer, 15);
  return {
    buffer,
    length: () => buffer.length,
    writeHeader(sequence) {
      buffer.writeUIntLE(buffer.length - packetHeaderBytes, 0, 3);
      buffer.writeUInt8(sequence, 3);
    },
  };
}

/** 0xff, u16 number, `#` and five characters of state, text. */
function serverError(payload: Buffer): Error {
  const errno = payload.readUInt16LE(1);
  const textStart = payload[3] === 0x23 ? 9 : 3;
  const error = new Error(payload.toString('utf8', textStart));
  return Object.assign(error, { errno, code: `ER_${errno}` });
}
