// A conversation over the streaming replication protocol (PostgreSQL documentation, chapter
// "Frontend/Backend Protocol", "Streaming Replication Protocol"). `pg` connects and logs in; then
// this class takes the socket over, because `pg` gathers every message whole. While the receiver of
// copied data waits, the socket is paused, so the kernel's window and with it the server slow down.
// Silence is noticed by a watchdog, except while we pause.
import type { Duplex } from 'node:stream';
import { CairnError, toCairnError } from '../../model/errors.ts';
import type { Connection } from '../../model/instance.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Logger } from '../../platform/logger.ts';
import { abortError } from '../guard.ts';
import type { ResultSet, ServerReport } from './backend-messages.ts';
import {
  copyDataHeader,
  copyDoneMessage,
  parseColumns,
  parseReport,
  parseRow,
  queryMessage,
} from './backend-messages.ts';
import { closeClient, openClient, socketOf } from './connection.ts';
import { MessageFramer } from './message-framer.ts';
import { lendReads } from './receive-socket.ts';

/** Takes the CopyData messages of one query. What it throws or rejects with fails the query. */
export interface CopyReceiver {
  /** The result sets that came before the first byte of the copy. */
  begin(results: readonly ResultSet[]): void;
  messageBegin(bodyBytes: number): void;
  messagePiece(bytes: Buffer): undefined | Promise<void>;
}

export type QueryOptions = {
  /** What the connection is used for, for the error texts: `the base backup`. */
  readonly purpose: string;
  readonly receiver?: CopyReceiver;
  /**
   * What the server gets when it asks for a copy: each piece is one CopyData message. Not read on
   * once the server has refused it. What it throws fails the query, and ends the connection.
   */
  readonly copyIn?: AsyncIterable<Uint8Array>;
  /** Silence before the first copied byte; the server may be writing a checkpoint. */
  readonly firstByteTimeoutMs: number;
  /** Silence at any later time. */
  readonly silenceTimeoutMs: number;
};

export type StreamOptions = {
  /** `sql`: an ordinary connection, for queries and COPY. */
  readonly protocol?: 'replication' | 'sql';
  readonly signal: AbortSignal;
  readonly clock: Clock;
  readonly log: Logger;
};

type Conversation = {
  readonly options: QueryOptions;
  readonly results: ResultSet[];
  readonly done: PromiseWithResolvers<readonly ResultSet[]>;
  readonly stopWatch: AbortController;
  copyBegun: boolean;
  /** The server copies to us and we to it, until it says that it is done. */
  isCopyBoth: boolean;
  error: ServerReport | null;
};

const noticesMax = 200;
const watchIntervalMs = 1000;

export class ReplicationStream {
  readonly #socket: Duplex;
  readonly #options: StreamOptions;
  readonly #connection: Connection;
  readonly #framer: MessageFramer;
  readonly #close: () => void;
  readonly #notices: ServerReport[] = [];
  #current: Conversation | null = null;
  /** Why nothing more can be asked; set once. */
  #failure: CairnError | null = null;
  #lastByteMs: number;
  #isPaused = false;

  static async open(connection: Connection, options: StreamOptions): Promise<ReplicationStream> {
    const replication = options.protocol !== 'sql';
    const openOptions = { signal: options.signal, replication, takenOver: true };
    const client = await openClient(connection, openOptions);
    return new ReplicationStream(connection, options, socketOf(client), () => closeClient(client));
  }

  private constructor(
    connection: Connection,
    options: StreamOptions,
    socket: Duplex,
    close: () => void,
  ) {
    this.#connection = connection;
    this.#options = options;
    this.#socket = socket;
    this.#close = close;
    this.#lastByteMs = options.clock.monotonicMs();
    this.#framer = new MessageFramer({
      message: (type, body) => this.#onMessage(type, body),
      copyBegin: (bodyBytes) => this.#receiver().messageBegin(bodyBytes),
      copyPiece: (bytes) => this.#receiver().messagePiece(bytes),
    });
    socket.removeAllListeners('data');
    lendReads(socket);
    socket.on('data', (chunk: Buffer) => this.#onData(chunk));
    socket.on('error', () => undefined);
    socket.on('close', () => this.#onClose());
    options.signal.addEventListener('abort', this.#onAbort, { once: true });
    if (options.signal.aborted) this.#onAbort();
  }

  /** Warnings of the server since the connection was opened, the first two hundred. */
  get notices(): readonly ServerReport[] {
    return this.#notices;
  }

  /** @throws engine-unreachable, engine-refused, cancelled, and whatever the receiver throws */
  async query(text: string, options: QueryOptions): Promise<readonly ResultSet[]> {
    if (this.#failure) throw this.#failure;
    if (this.#current) throw new CairnError('bug', 'a query is already running');
    const conversation: Conversation = {
      options,
      results: [],
      done: Promise.withResolvers<readonly ResultSet[]>(),
      stopWatch: new AbortController(),
      copyBegun: false,
      isCopyBoth: false,
      error: null,
    };
    this.#current = conversation;
    this.#lastByteMs = this.#options.clock.monotonicMs();
    void this.#watch(conversation);
    this.#socket.write(queryMessage(text));
    try {
      return await conversation.done.promise;
    } finally {
      conversation.stopWatch.abort();
      this.#current = null;
    }
  }

  /**
   * Sends one CopyData message while the server copies in both directions; does nothing before and
   * after. The bytes are taken over. Meant for a few small messages: nothing holds the sender back.
   */
  send(bytes: Uint8Array): void {
    if (!this.#current?.isCopyBoth || this.#failure) return;
    this.#socket.write(copyDataHeader(bytes.length));
    this.#socket.write(bytes);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#options.signal.removeEventListener('abort', this.#onAbort);
    const isBroken = this.#failure !== null;
    this.#failure ??= new CairnError('bug', 'the replication connection is closed');
    this.#current?.done.reject(this.#failure);
    if (isBroken) this.#socket.destroy();
    else this.#close();
  }

  readonly #onAbort = (): void => this.#fail(abortError(this.#options.signal));

  #receiver(): CopyReceiver {
    const receiver = this.#current?.options.receiver;
    if (!receiver) throw new CairnError('engine-unreachable', 'the server sent unasked-for data');
    return receiver;
  }

  #onData(chunk: Buffer): void {
    if (this.#failure) return;
    this.#lastByteMs = this.#options.clock.monotonicMs();
    try {
      const wait = this.#framer.push(chunk);
      if (wait) this.#pauseUntil(wait);
    } catch (error) {
      this.#fail(toCairnError(error));
    }
  }

  #pauseUntil(wait: Promise<void>): void {
    this.#isPaused = true;
    this.#socket.pause();
    wait.then(
      () => {
        this.#isPaused = false;
        this.#lastByteMs = this.#options.clock.monotonicMs();
        this.#socket.resume();
      },
      (error) => this.#fail(toCairnError(error)),
    );
  }

  #onMessage(type: string, body: Buffer): void {
    if (type === 'N') return this.#takeNotice(parseReport(body));
    const conversation = this.#current;
    if (type === 'E') {
      const report = parseReport(body);
      if (conversation) conversation.error ??= report;
      if (report.severity !== 'ERROR') this.#fail(this.#refusal(report));
      return;
    }
    if (!conversation) return;
    if (type === 'T') conversation.results.push({ columns: parseColumns(body), rows: [] });
    if (type === 'D') conversation.results.at(-1)?.rows.push(parseRow(body));
    if (type === 'H' || type === 'W') {
      conversation.copyBegun = true;
      conversation.isCopyBoth = type === 'W';
      this.#receiver().begin(conversation.results);
    }
    if (type === 'G') {
      conversation.copyBegun = true;
      this.#copyIn(conversation).catch((error: unknown) => this.#fail(toCairnError(error)));
    }
    if (type === 'c' && conversation.isCopyBoth) {
      conversation.isCopyBoth = false;
      this.#socket.write(copyDoneMessage);
    }
    if (type !== 'Z') return;
    if (conversation.error) conversation.done.reject(this.#refusal(conversation.error));
    else conversation.done.resolve(conversation.results);
  }

  #takeNotice(notice: ServerReport): void {
    if (this.#notices.length < noticesMax) this.#notices.push(notice);
    this.#options.log.warn({ severity: notice.severity }, `server: ${notice.message}`);
  }

  #onClose(): void {
    const during = this.#current ? ` during ${this.#current.options.purpose}` : '';
    this.#fail(
      new CairnError('engine-unreachable', `the server closed the connection${during}`, {
        hint: 'look into the server log: it was stopped, it crashed, or the network was cut',
      }),
    );
  }

  /** Sends all of `copyIn`, as fast as the server takes it. */
  async #copyIn(conversation: Conversation): Promise<void> {
    const { copyIn } = conversation.options;
    if (!copyIn) throw new CairnError('engine-unreachable', 'the server wants unannounced data');
    const isOver = (): boolean =>
      this.#failure !== null || this.#current !== conversation || conversation.error !== null;
    for await (const bytes of copyIn) {
      if (isOver()) return;
      this.#socket.write(copyDataHeader(bytes.length));
      if (!this.#socket.write(bytes)) await this.#drained();
      if (isOver()) return;
      this.#lastByteMs = this.#options.clock.monotonicMs();
    }
    this.#socket.write(copyDoneMessage);
  }

  /** Answers when the socket takes more, or is closed; silence is the watchdog's business. */
  async #drained(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#socket.once('drain', resolve);
    this.#socket.once('close', resolve);
    await promise;
    this.#socket.off('drain', resolve);
    this.#socket.off('close', resolve);
  }

  /** Ends everything: the first reason counts. */
  #fail(error: CairnError): void {
    if (this.#failure) return;
    this.#failure = error;
    this.#socket.destroy();
    this.#current?.done.reject(error);
  }

  #refusal(report: ServerReport): CairnError {
    const purpose = this.#current?.options.purpose ?? 'an idle connection';
    if (/^(57P|08)/.test(report.sqlState)) {
      const text = `the server closed the connection during ${purpose}: ${report.message}`;
      return new CairnError('engine-unreachable', text, { details: { code: report.sqlState } });
    }
    return new CairnError(
      'engine-refused',
      `the server refused ${purpose}: ${report.message} (${report.sqlState})`,
      {
        ...(report.hint === null ? {} : { hint: report.hint }),
        details: { code: report.sqlState, user: this.#connection.user },
      },
    );
  }

  /** Runs beside a query and fails it when the server is silent for too long. */
  async #watch(conversation: Conversation): Promise<void> {
    const { clock } = this.#options;
    const { options, stopWatch } = conversation;
    while (!stopWatch.signal.aborted) {
      await clock.sleep(watchIntervalMs, stopWatch.signal).catch(() => undefined);
      const limitMs = conversation.copyBegun
        ? options.silenceTimeoutMs
        : options.firstByteTimeoutMs;
      const silentMs = clock.monotonicMs() - this.#lastByteMs;
      if (stopWatch.signal.aborted || this.#isPaused || silentMs < limitMs) continue;
      const text = `the server was silent for ${Math.round(silentMs / 1000)} s`;
      this.#fail(new CairnError('engine-unreachable', `${text} during ${options.purpose}`));
    }
  }
}
