// Replays archived log on a restored server that only we reach: looks through the log, plans where
// it ends, and sends exactly that through the server's own tools (MariaDB documentation,
// "mariadb-binlog"; MySQL documentation, "mysqlbinlog"). What a tool's exit code does not tell is
// looked at: that the log has no gap, that the target is in it, that all of it was executed.
import { CairnError } from '../../model/errors.ts';
import { describePlace } from '../../model/log-position.ts';
import type { Recovery, RecoveryReport } from '../engine.ts';
import type { ReplayPlan } from './binlog-plan.ts';
import { lastCommitAt, planReplay, resolvedTransaction } from './binlog-plan.ts';
import { requireBinlogPosition, scanLog } from './binlog-scan.ts';
import { flavors } from './flavor.ts';
import type { OutsideNotes } from './outside-snapshot.ts';
import { OutsideWatch } from './outside-snapshot.ts';
import { applyLog } from './replay-apply.ts';
import { plannedBytes } from './replay-feed.ts';
import { assertFiles } from './replay-proof.ts';
import { needTool } from './restore-notes.ts';
import type { IsolatedWork } from './start-restored.ts';

/**
 * Reads all of the log up to the target, and executes nothing: what is found impossible here is
 * known before anything is restored. Null: there is no log behind the backup, which is as it was
 * asked for. Of a logical backup it must be told which tables its snapshot did not hold.
 * @throws log-gap, invalid when the target is not in the log, or when the backup may hold already
 * what would be replayed; storage errors, cancelled
 */
export async function planLog(
  recovery: Recovery,
  { flavor, tools, signal }: Pick<IsolatedWork, 'flavor' | 'tools' | 'signal'>,
  outside: OutsideNotes | null = null,
): Promise<ReplayPlan | null> {
  const { log: source, skippedTransactions, target } = recovery;
  if (source === null) {
    if (skippedTransactions.length === 0) return null;
    throw new CairnError('invalid', 'there is no log behind the backup to leave transactions out');
  }
  for (const name of ['binlog', 'client'] as const) needTool(tools, name);
  const start = requireBinlogPosition(source.startPosition);
  const end = requireBinlogPosition(source.endPosition);
  const files = await source.listFiles(signal);
  assertFiles(files, { start, end });
  const dialect = flavors[flavor].gtidDialect;
  const watch = outside && new OutsideWatch(outside);
  return await planReplay(scanLog(source, files, signal, watch), {
    ...{ target, skippedTransactions, dialect, start, end },
  });
}

/**
 * A replay that fails leaves a server that is of no use. Null as of `planLog`, which is asked when
 * no plan is given. @throws the same; engine-refused
 */
export async function replayLog(
  recovery: Recovery,
  work: IsolatedWork,
  planned: ReplayPlan | null = null,
): Promise<RecoveryReport | null> {
  const { log: source } = recovery;
  const plan = planned ?? (await planLog(recovery, work));
  if (!plan || !source) return null;
  const { position, transactionCount } = plan;
  const facts = { files: plan.files.length, transactions: transactionCount };
  work.log.info({ ...facts, until: describePlace(position) }, 'replaying binary logs');
  work.onProgress(0, plannedBytes(plan));
  if (transactionCount > 0) await applyLog({ source, plan }, work);
  const transaction = resolvedTransaction(plan);
  return { position, timeline: null, lastCommitAt: lastCommitAt(plan), transaction };
}
