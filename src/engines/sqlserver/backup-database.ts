// The backup of one database: in full, or what has changed since the full backup that the previous
// backup holds, which is then kept beside it.
import { isErrorKind } from '../../model/errors.ts';
import type { FileMeta, FileSink, PreviousBackup } from '../engine.ts';
import type { ReplicaRole } from './always-on.ts';
import type { BackupProgress } from './backup-progress.ts';
import type { BackupRecord } from './backup-record.ts';
import { findBackupRow } from './backup-record.ts';
import type { SetOrder, SetScene, TakenSet } from './backup-set.ts';
import { withBackupSet } from './backup-set.ts';
import type { StoreTarget } from './backup-store.ts';
import { databasesFolder, findFiles, keepFiles, storeSet } from './backup-store.ts';
import { databaseFolder } from './database-folder.ts';
import { isBasedOn } from './plan-chain.ts';
import type { DataKind } from './plan-data.ts';
import { describeForeign, findForeign, inFull, planData } from './plan-data.ts';
import { readNotes } from './read-notes.ts';
import { recordFromJson, recordToJson } from './record-json.ts';
import type { FoundDatabase } from './server-databases.ts';
import { isServerError, openSession } from './session.ts';
import type { StoredDatabase, StoredSet } from './stored-notes.ts';
import { backupHistoryStatement, historyPageMax } from './tsql-history.ts';

export type DatabaseScene = SetScene & {
  readonly asked: DataKind;
  readonly sink: FileSink;
  readonly progress: BackupProgress;
  /** Null: all is taken anew. */
  readonly previous: PreviousBackup | null;
};

export type DatabaseOrder = {
  readonly database: FoundDatabase;
  readonly role: ReplicaRole | null;
  /** It must leave the base of differential backups as it is. */
  readonly isCopyOnly: boolean;
  /** Of the certificate that its pages are encrypted with; null: none, or not known. */
  readonly encryptorThumbprint: string | null;
};

export type BackedUp = { readonly stored: StoredDatabase; readonly findings: readonly string[] };

/** What the previous backup has of a database, all of it there. */
type Previous = {
  readonly full: BackupRecord;
  readonly differential: BackupRecord | null;
  readonly set: StoredSet;
  readonly files: readonly FileMeta[];
};

export async function backUpDatabase(
  order: DatabaseOrder,
  scene: DatabaseScene,
): Promise<BackedUp> {
  const { database, role } = order;
  scene.progress.begin(database.sizeBytes);
  scene.sink.directory({ path: folderOf(database.name), mode: 0o700 });
  const previous = findPrevious(database.name, scene);
  const history = previous && (await readHistory(database.name, previous.full, scene));
  const { asked } = scene;
  const plan = planData({ asked, role, familyId: database.familyId, previous, history });
  if (plan.kind === 'full') {
    const done = await backUpInFull(order, plan, scene);
    const others =
      asked === 'full' ? findingsOfOthers(database.name, previous, history, scene) : [];
    return { ...done, findings: [...done.findings, ...others] };
  }
  const changes = previous && (await backUpChanges(order, plan.base, previous, scene));
  return changes ?? (await backUpInFull(order, inFull(otherBase), scene));
}

const otherBase = 'what has changed does not follow the full backup of the previous one';

/** Backups that others have taken, and that ours do not know of. */
function findingsOfOthers(
  name: string,
  previous: Previous | null,
  history: readonly BackupRecord[] | null,
  { prefix }: DatabaseScene,
): readonly string[] {
  const foreign = previous && history && findForeign(previous, history);
  // A backup of ours that failed behind the server's part is nobody else's.
  if (!foreign || foreign.device?.includes(prefix)) return [];
  return [`${name}: ${describeForeign(foreign)}`];
}

async function backUpInFull(
  order: DatabaseOrder,
  plan: { readonly isCopyOnly: boolean; readonly note: string | null },
  scene: DatabaseScene,
): Promise<BackedUp> {
  const isCopyOnly = plan.isCopyOnly || order.isCopyOnly;
  const [full, findings] = await withBackupSet(
    orderSet(order, { kind: 'full', isCopyOnly }, scene),
    scene,
    async (taken) => [await store(taken, 'full', order, scene), findingsOf(taken, order)] as const,
  );
  const { name, recoveryModel } = order.database;
  const notes = plan.note === null ? [] : [`${name}: ${plan.note}`];
  return {
    stored: { name, recoveryModel, full, differential: null },
    findings: [...notes, ...findings],
  };
}

/** Null: what has changed has changed since another full backup than ours. */
async function backUpChanges(
  order: DatabaseOrder,
  base: BackupRecord,
  { set, files }: Previous,
  scene: DatabaseScene,
): Promise<BackedUp | null> {
  try {
    return await withBackupSet(
      orderSet(order, { kind: 'differential', isCopyOnly: false }, scene),
      scene,
      async (taken) => {
        const { record } = taken;
        // What a restore would refuse must not be kept for one.
        if (!isBasedOn(record, base)) return null;
        await keepFiles(files, scene);
        const differential = await store(taken, 'diff', order, scene);
        const { name, recoveryModel } = order.database;
        return {
          stored: { name, recoveryModel, full: set, differential },
          findings: findingsOf(taken, order),
        };
      },
    );
  } catch (error) {
    if (isServerError(error, noBase)) return null;
    throw error;
  }
}

/** There is no current full backup. */
const noBase = 3035;

function orderSet(
  { database, role }: DatabaseOrder,
  { kind, isCopyOnly }: Pick<SetOrder, 'kind' | 'isCopyOnly'>,
  { progress }: DatabaseScene,
): SetOrder {
  return {
    ...{ kind, isCopyOnly, database: { ...database, replicaRole: role } },
    sizeBytes: database.sizeBytes,
    onWritten: (fraction) => progress.written(fraction),
  };
}

async function store(
  taken: TakenSet,
  word: 'full' | 'diff',
  { database, encryptorThumbprint }: DatabaseOrder,
  { sink, signal, progress }: DatabaseScene,
): Promise<StoredSet> {
  const target: StoreTarget = {
    ...{ sink, signal },
    onStored: (fraction) => progress.stored(fraction),
  };
  const pathOf = (stripe: number): string => `${folderOf(database.name)}/${word}-${stripe + 1}.bak`;
  const paths = await storeSet(taken, pathOf, target);
  return { paths, record: recordToJson(taken.record), encryptorThumbprint };
}

function findingsOf(
  { isVerified, missingBytes }: TakenSet,
  order: DatabaseOrder,
): readonly string[] {
  const { name, isEncrypted } = order.database;
  return [
    ...(isVerified ? [] : [`${name}: not verified, the login lacks the right CREATE DATABASE`]),
    ...(missingBytes === 0
      ? []
      : [`${name}: its files are ${missingBytes} bytes shorter than the server's history says`]),
    ...(isEncrypted && order.encryptorThumbprint === null
      ? [`${name}: encrypted, and the login may not see with which certificate, if it is one`]
      : []),
  ];
}

const folderOf = (database: string): string => `${databasesFolder}/${databaseFolder(database)}`;

/** What cannot be read of it costs the way of keeping, never the backup. */
function findPrevious(name: string, { previous, log }: DatabaseScene): Previous | null {
  if (previous === null) return null;
  try {
    const found = readNotes(previous.notes).databases.find((one) => one.name === name);
    const files = found && findFiles(found.full.paths, (path) => previous.findFile(path));
    if (!found || !files) return null;
    return {
      full: recordFromJson(found.full.record),
      differential: found.differential && recordFromJson(found.differential.record),
      ...{ set: found.full, files },
    };
  } catch (error) {
    if (!isErrorKind(error, 'repository-damaged')) throw error;
    log.warn({ err: error, database: name }, 'the previous backup cannot be read');
    return null;
  }
}

/**
 * All there is since that backup, it included; null: the server does not know it any more, or there
 * is more in it, or stranger, than anybody looks through.
 */
async function readHistory(
  database: string,
  since: BackupRecord,
  { connection, signal }: Pick<DatabaseScene, 'connection' | 'signal'>,
): Promise<readonly BackupRecord[] | null> {
  await using session = await openSession(connection, { signal });
  const records: BackupRecord[] = [];
  for (let afterId = since.setId - 1; ; afterId = records.at(-1)?.setId ?? afterId) {
    const rows = await session.run(backupHistoryStatement(database, afterId), { signal });
    const page = rows.map(findBackupRow).filter((record) => record !== null);
    if (page.length < rows.length) return null;
    records.push(...page);
    if (records[0]?.id !== since.id) return null;
    if (rows.length < historyPageMax) return records;
    if (records.length >= historyMax) return null;
  }
}

/** Log backups of every minute for more than two months. */
const historyMax = 100_000;
