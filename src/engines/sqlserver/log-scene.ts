// What one connection of the log archive works with.
import type { Clock } from '../../platform/clock.ts';
import type { Logger } from '../../platform/logger.ts';
import type { LogLag, LogSink } from '../engine.ts';
import type { Exchange } from './exchange.ts';
import type { LogChains } from './log-chains.ts';
import type { LogHistory } from './log-history.ts';
import type { LogName } from './log-names.ts';
import type { LogSender } from './log-sender.ts';
import type { ServerInfo } from './server-info.ts';
import type { SqlSession } from './session.ts';

export type LogLimits = {
  /** From the beginning of one round to that of the next. */
  readonly intervalMs: number;
  /** Between two looks at what is stored. */
  readonly tickMs: number;
  /** For a file that the server has written to be seen here: shares cache what is absent. */
  readonly appearTries: number;
  readonly appearWaitMs: number;
};

export type LogScene = {
  readonly session: SqlSession;
  readonly server: ServerInfo;
  readonly exchange: Exchange;
  readonly keeperName: string;
  readonly history: LogHistory;
  readonly chains: LogChains;
  readonly sink: LogSink;
  readonly sender: LogSender;
  /** Files of backups that the history does not have: unfinished, or not finished yet. */
  readonly leftovers: LogName[];
  /** For the next backup: the server's time, or the moment behind the last one's. */
  readonly takeMoment: (now: string) => string;
  readonly onLag: (lag: LogLag) => void;
  readonly limits: LogLimits;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly log: Logger;
};
