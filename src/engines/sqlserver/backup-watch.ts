// How far a backup is, asked on a second connection: between two messages of the server a large
// database is silent for an hour (SQL Server documentation, "sys.dm_exec_requests").
import { CairnError } from '../../model/errors.ts';
import type { Connection } from '../../model/instance.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Logger } from '../../platform/logger.ts';
import type { SqlSession } from './session.ts';
import { openSession } from './session.ts';
import { progressStatement, sessionIdStatement } from './tsql-session.ts';

export type WatchScene = {
  readonly connection: Connection;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly log: Logger;
};

const intervalMs = 5000;

/**
 * Does the work on the session, and asks how far it is meanwhile; fractions are from 0 to 1. That
 * nobody can be asked changes nothing. @throws what the work throws
 */
export async function watched<T>(
  session: SqlSession,
  scene: WatchScene,
  onFraction: (fraction: number) => void,
  work: () => Promise<T>,
): Promise<T> {
  const [row] = await session.run(sessionIdStatement(), { signal: scene.signal });
  const ending = new AbortController();
  const signal = AbortSignal.any([scene.signal, ending.signal]);
  const watching = watch(Number(row?.['session_id']), { ...scene, signal }, onFraction);
  try {
    return await work();
  } finally {
    ending.abort(new CairnError('cancelled', 'the backup has ended'));
    await watching;
  }
}

async function watch(
  sessionId: number,
  { connection, clock, signal, log }: WatchScene,
  onFraction: (fraction: number) => void,
): Promise<void> {
  try {
    await clock.sleep(intervalMs, signal);
    await using session = await openSession(connection, { signal });
    for (;;) {
      // No row: the statement has not begun, or the login may not see other sessions.
      const [row] = await session.run(progressStatement(sessionId), { signal });
      const percent = row?.['percent_complete'];
      if (typeof percent === 'number') onFraction(Math.min(1, percent / 100));
      await clock.sleep(intervalMs, signal);
    }
  } catch (error) {
    if (signal.aborted) return;
    log.debug({ err: error }, 'the progress of a backup cannot be asked for');
  }
}
