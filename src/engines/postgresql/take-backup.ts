// Takes a base backup in the best way that the server offers.
import type { Connection } from '../../model/instance.ts';
import type { BaseBackupOptions, BaseBackupResult } from '../engine.ts';
import type { BaseBackupParts } from './base-backup.ts';
import { assertSupported, takeBaseBackup } from './base-backup.ts';
import { withQueries } from './connection.ts';
import { takeIncrement } from './increment-backup.ts';
import { takePageBackup } from './page-source.ts';
import { readPageRights } from './page-source-rights.ts';
import type { BackupSource } from './plan-source.ts';
import { planSource } from './plan-source.ts';
import { readServerSettings } from './server-settings.ts';

/**
 * The notes say which way it was, as `source`, why no better one, as `sourceReasons`, and how much
 * was taken over from the previous backup, as `keptBytes`.
 * @throws engine-unreachable, engine-refused, log-gap, cancelled; whatever the sink throws
 */
export async function takeBackup(
  connection: Connection,
  options: BaseBackupOptions,
  parts: BaseBackupParts,
): Promise<BaseBackupResult> {
  const { log, previous, signal } = options;
  const { settings, missingRights } = await withQueries(connection, { signal }, async (query) => {
    const settings = await readServerSettings(query);
    assertSupported(settings);
    return { settings, missingRights: (await readPageRights(query)).missing };
  });
  const facts = {
    ...{ major: settings.major, isInRecovery: settings.isInRecovery },
    summarizesLog: settings.values.summarize_wal === 'on',
    incrementRefusal: previous ? null : 'there is no previous backup',
    missingRights,
  };
  let plan = planSource(facts);
  if (plan.source === 'increment' && previous) {
    const outcome = await takeIncrement(
      connection,
      { ...options, previous },
      { ...parts, settings },
    );
    if (outcome.kind === 'taken') return withSource(outcome, 'increment', []);
    plan = planSource({ ...facts, incrementRefusal: outcome.reason });
  }
  const reasons = [...plan.reasons];
  if (plan.source === 'pages') {
    const outcome = await takePageBackup(connection, options, { ...parts, settings });
    if (outcome.kind === 'taken') {
      if (outcome.everythingReadBecause) reasons.push(outcome.everythingReadBecause);
      return withSource(outcome, 'pages', reasons);
    }
    reasons.push(outcome.reason);
  }
  log.info({ reasons: reasons.join('; ') }, 'the server sends the base backup');
  const result = await takeBaseBackup(connection, options, parts);
  return withSource({ result, keptBytes: 0 }, 'stream', reasons);
}

function withSource(
  { result, keptBytes }: { readonly result: BaseBackupResult; readonly keptBytes: number },
  source: BackupSource,
  sourceReasons: readonly string[],
): BaseBackupResult {
  return { ...result, notes: { ...result.notes, source, sourceReasons, keptBytes } };
}
