// A session and its clock: what a long statement is doing, seen from another connection, and how
// far the server's clock is from UTC at some moment (SQL Server documentation,
// "sys.dm_exec_requests", "AT TIME ZONE", "CURRENT_TIMEZONE_ID").
import { CairnError } from '../../model/errors.ts';
import type { SqlStatement } from './statement.ts';
import { ParameterList } from './statement.ts';

/** Ask before a long statement, on its own connection. */
export function sessionIdStatement(): SqlStatement {
  return { name: 'read-session-id', text: 'SELECT @@SPID AS session_id', parameters: [] };
}

/**
 * One row while the statement runs, none when the session is idle, or when the login may not see
 * those of others (VIEW SERVER STATE): no row is no proof of an end.
 */
export function progressStatement(sessionId: number): SqlStatement {
  if (!Number.isSafeInteger(sessionId) || sessionId < 1 || sessionId > 32_767) {
    throw new CairnError('invalid', `${sessionId} is not the number of a session`);
  }
  const parameters = new ParameterList();
  const session = parameters.int('session', sessionId);
  return {
    name: 'read-progress',
    text: `SELECT r.command, r.status, r.wait_type,
  CONVERT(float, r.percent_complete) AS percent_complete,
  CONVERT(varchar(20), r.estimated_completion_time) AS remaining_ms
FROM sys.dm_exec_requests AS r WHERE r.session_id = ${session}`,
    parameters: parameters.items,
  };
}

/** Before and after the moment; no zone repeats more than that when its clock goes back. */
export const offsetSpanMinutes = 180;
/** Every offset there is, is a multiple of it. */
export const offsetStepMinutes = 15;

/**
 * The offset of the server's clock around a moment, in steps of a quarter of an hour: `utc_at` and
 * `offset_minutes`. From 2022 on; older servers know the name of their zone only outside of SQL,
 * and the offsets that their backups were taken at must do.
 * @throws invalid
 */
export function serverOffsetsStatement(at: Date, majorVersion: number): SqlStatement {
  if (majorVersion < 16) {
    throw new CairnError('invalid', 'SQL Server knows its time zone from version 2022 on');
  }
  const parameters = new ParameterList();
  const moment = parameters.moment('at', at);
  const steps = Array.from(
    { length: (2 * offsetSpanMinutes) / offsetStepMinutes + 1 },
    (_, index) => `(${index * offsetStepMinutes - offsetSpanMinutes})`,
  );
  return {
    name: 'read-clock-offsets',
    text: `SELECT CONVERT(varchar(33), u.at, 126) AS utc_at,
  DATEPART(TZOFFSET, u.at AT TIME ZONE 'UTC' AT TIME ZONE CURRENT_TIMEZONE_ID()) AS offset_minutes
FROM (VALUES ${steps.join(', ')}) AS m (minutes)
CROSS APPLY (SELECT DATEADD(minute, m.minutes, ${moment}) AS at) AS u
ORDER BY m.minutes`,
    parameters: parameters.items,
  };
}
