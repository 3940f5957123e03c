// Runs a backup program that streams (MariaDB documentation, "mariadb-backup Options"). Its exit
// code is not proof enough: success is also its last words. It ignores SIGTERM and runs on to its
// end, so that it is interrupted, and killed when it does not end; the server then drops its
// session and with it every lock. The password goes through the environment, which nobody but root
// and the program's user can read; arguments can be read by everybody.
import { basename } from 'node:path';
import type { ErrorKind } from '../../model/errors.ts';
import { CairnError } from '../../model/errors.ts';
import type { Connection } from '../../model/instance.ts';
import type { Identity } from '../../platform/child-process.ts';
import type { StreamedResult } from '../../platform/child-stream.ts';
import { runStreaming } from '../../platform/child-stream.ts';
import { redact } from './connection-error.ts';

export type ToolRun = {
  /** Absolute. */
  readonly program: string;
  readonly args: readonly string[];
  /** Whose password it logs in with. */
  readonly connection: Connection;
  /** Who runs it, if not we ourselves. */
  readonly identity: Identity | null;
  /** So long it may write nothing, to neither output, while it is not kept waiting. */
  readonly silenceMs: number;
  /** Gets the stream piece by piece; slow ones make the program wait. */
  readonly take: (bytes: Buffer) => Promise<void>;
  readonly signal: AbortSignal;
};

const successText = 'completed OK!';
const linesMax = 4;

/** @throws engine-refused, engine-unreachable, the signal's reason, what `take` threw */
export async function runBackupTool(run: ToolRun): Promise<void> {
  const { program, args, connection, identity, signal, take } = run;
  const silence = new SilenceWatch(run);
  const result = await silence.during(() =>
    runStreaming(program, args, {
      identity,
      env: environmentOf(connection),
      endSignal: 'SIGINT',
      signal: AbortSignal.any([signal, silence.signal]),
      onComplaint: () => silence.refresh(),
      take: (bytes) => silence.pausedDuring(() => take(bytes as Buffer)),
    }),
  );
  const lastLine = result.stderr.trimEnd().split('\n').at(-1) ?? '';
  if (result.exitCode === 0 && lastLine.endsWith(successText)) return;
  throw explainFailure(basename(program), result, connection);
}

function environmentOf({ password }: Connection): Readonly<Record<string, string>> {
  return {
    PATH: '/usr/local/bin:/usr/bin:/bin',
    LC_ALL: 'C.UTF-8',
    ...(password === null ? {} : { MYSQL_PWD: password.reveal() }),
  };
}

/** Fires when nothing has come for too long; what keeps the program waiting does not count. */
class SilenceWatch {
  readonly #controller = new AbortController();
  readonly #timer: NodeJS.Timeout;
  #isPaused = false;

  constructor({ program, silenceMs }: Pick<ToolRun, 'program' | 'silenceMs'>) {
    this.#timer = setTimeout(() => {
      if (this.#isPaused) this.#timer.refresh();
      else this.#controller.abort(silentTooLong(basename(program), silenceMs));
    }, silenceMs);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  refresh(): void {
    this.#timer.refresh();
  }

  async during<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } finally {
      clearTimeout(this.#timer);
    }
  }

  async pausedDuring(work: () => Promise<void>): Promise<void> {
    this.#isPaused = true;
    try {
      await work();
    } finally {
      this.#isPaused = false;
      this.#timer.refresh();
    }
  }
}

type Explanation = {
  readonly pattern: RegExp;
  readonly kind?: ErrorKind;
  readonly hint: string;
};

/** The first that fits. */
const explanations: readonly Explanation[] = [
  {
    pattern: /missing required privilege|BINLOG MONITOR|BACKUP_ADMIN|need .* privilege/i,
    hint: 'GRANT RELOAD, PROCESS, BINLOG MONITOR ON *.* TO the account of the connection',
  },
  {
    pattern: /Access denied for user/,
    hint: 'check the password, and that the account may connect over the socket of this host',
  },
  {
    pattern: /Lost connection|gone away|Can't connect|Connection was killed|shutdown in progress/i,
    kind: 'engine-unreachable',
    hint: 'the log of the server says who ended the connection, or why it stopped',
  },
  {
    pattern: /cannot read redo log|Permission denied|Errcode: 13/i,
    hint: 'run a worker there as the user that owns the data folder, or as root',
  },
  {
    pattern: /lock wait|timeout|BACKUP STAGE/i,
    hint: 'another session holds a table locked, or another backup runs; look at the process list',
  },
  {
    pattern: /Too many open files|Errcode: 24/i,
    hint: 'let the worker open more files: LimitNOFILE of its service',
  },
  {
    pattern: /unsupported (server|redo log|log)|not supported by this version|version/i,
    hint: 'install the backup program of the release series of the server',
  },
];

function explainFailure(
  name: string,
  { exitCode, stderr }: StreamedResult,
  connection: Connection,
): CairnError {
  const lines = redact(stderr, connection).split('\n').map(stripPrefix).filter(Boolean);
  const serious = lines.filter((line) => /\berror\b|fatal|denied|fail|cannot|can't/i.test(line));
  const said = [...new Set(serious.length > 0 ? serious : lines)].slice(-linesMax).join('; ');
  const found = explanations.find(({ pattern }) => pattern.test(said));
  if (exitCode === null && !found) {
    return new CairnError('engine-unreachable', `${name} was killed before it had finished`, {
      hint: 'the log of the host may say who did it: out of memory, an administrator',
    });
  }
  const text = exitCode === 0 ? `${name} ended without “${successText}”` : `${name} failed`;
  return new CairnError(found?.kind ?? 'engine-refused', `${text}: ${said}`, {
    hint: found?.hint ?? 'the log of the server and that of this host may say more',
    details: { exitCode },
  });
}

/** `[00] FATAL ERROR: 2026-11-24 20:25:35 `, `2026-11-24 20:25:35 0 `. */
function stripPrefix(line: string): string {
  const time = /\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (\d+ )?/;
  return line
    .replace(/^\[\d+\] /, '')
    .replace(time, '')
    .trim();
}

function silentTooLong(name: string, silenceMs: number): CairnError {
  const minutes = Math.round(silenceMs / 60_000);
  return new CairnError('engine-unreachable', `${name} did nothing for ${minutes} min`, {
    hint: 'look at the process list of the server: another session may hold a table locked',
  });
}
