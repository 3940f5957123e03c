// What went wrong with a dump. Most has one number, 1236, and is told apart by the server's text,
// which is English whatever its language is (MariaDB and MySQL sources, the senders of the binary
// log). Pure.
import { CairnError } from '../../model/errors.ts';
import type { Connection } from '../../model/instance.ts';
import { errorNumber, redact, toConnectionError } from './connection-error.ts';

export type DumpFailure = {
  readonly connection: Connection;
  /** Where the stored log ends; null for a new stream. */
  readonly storedPlace: string | null;
  /** The server has sent what fits to what is stored. */
  readonly hasFollowed: boolean;
};

/** And, of newer servers of MariaDB, that another one has our id. */
const fatalReadErrors = [1236, 4052];
/** 1227: a right is missing; 1045 and 1142 say the same of older servers. */
const missingRights = [1227, 1142];
/** The server stops, the connection or its query was killed. */
const endings = [1053, 1317, 1927, 3169];
const newStreamHint = 'the archive begins anew, which needs a full backup';

/** Whatever was thrown while following, as one of our errors. */
export function explainDumpError(error: unknown, failure: DumpFailure): CairnError {
  if (error instanceof CairnError) return error;
  const number = errorNumber(error);
  const text = redact(error instanceof Error ? error.message : String(error), failure.connection);
  if (number !== null && fatalReadErrors.includes(number))
    return explainFatal(text, failure, error);
  if (number !== null && missingRights.includes(number)) {
    const { user } = failure.connection;
    return new CairnError('engine-refused', `user ${user} may not read the binary log: ${text}`, {
      hint: `GRANT REPLICATION SLAVE ON *.* TO ${user}`,
      cause: error,
    });
  }
  if (number !== null && endings.includes(number)) {
    return new CairnError('engine-unreachable', `the server has ended its log: ${text}`, {
      cause: error,
    });
  }
  return toConnectionError(error, failure.connection);
}

function explainFatal(text: string, failure: DumpFailure, cause: unknown): CairnError {
  const { storedPlace, hasFollowed } = failure;
  if (/same server_(uu)?id/i.test(text)) {
    return new CairnError('engine-unreachable', `another reader has taken our place: ${text}`, {
      hint: 'does another Cairn archive the same server under the same name?',
      cause,
    });
  }
  const gap = (why: string, hint: string): CairnError =>
    new CairnError('log-gap', `${why} ${storedPlace}: ${text}`, { hint, cause });
  if (storedPlace !== null && /could not find (first|next) log/i.test(text)) {
    const hint = `${newStreamHint}; a longer binlog_expire_logs_seconds keeps more for the archive`;
    return gap('the server has removed the log behind', hint);
  }
  if (storedPlace !== null && /impossible position|from position > file size/i.test(text)) {
    const hint = `it has lost log in a crash (sync_binlog = 1 prevents it): ${newStreamHint}`;
    return gap('the server has no log up to', hint);
  }
  if (
    storedPlace !== null &&
    !hasFollowed &&
    /bogus|corrupt|truncated|max_allowed_packet/i.test(text)
  ) {
    return gap('the server\u2019s log is not what is stored before', newStreamHint);
  }
  return new CairnError('engine-refused', `the server cannot read its binary log: ${text}`, {
    hint: 'look into the server log, and check its disk',
    cause,
  });
}
