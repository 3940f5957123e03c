// The first half of a backup by SQL: everything up to the moment when it is certain that it can be
// taken this way, before the sink has seen a byte. After it a failure is a failure; before it the
// server can still be asked for a stream.
import { availableParallelism } from 'node:os';
import { isErrorKind } from '../../model/errors.ts';
import type { Connection } from '../../model/instance.ts';
import type { FileList } from './page-source-list.ts';
import { listStatement, parseListRow, planList } from './page-source-list.ts';
import { PageLanes } from './page-source-read.ts';
import type {
  ClusterFacts,
  FoundTablespace,
  SessionParts,
  StartedBackup,
} from './page-source-session.ts';
import { PageSession } from './page-source-session.ts';

export type StartOptions = {
  readonly major: number;
  readonly label: string;
  readonly slotName: string;
};

export type StartedPages = {
  readonly kind: 'started';
  readonly session: PageSession;
  readonly lanes: PageLanes;
  readonly facts: ClusterFacts;
  readonly tablespaces: readonly FoundTablespace[];
  readonly started: StartedBackup;
  readonly list: FileList;
};

/** The sink is untouched. */
export type Unsuitable = { readonly kind: 'unsuitable'; readonly reason: string };

const lanesMax = 4;
const noConnectionLeft = '53300';
/** What stands for bytes that are no text: such a name cannot be asked for. */
const replacement = '\ufffd';

/**
 * Connections that were opened are put on the stack, whatever the outcome.
 * @throws engine-unreachable, engine-refused, cancelled
 */
export async function startPageBackup(
  connection: Connection,
  options: StartOptions,
  parts: SessionParts,
  opened: AsyncDisposableStack,
): Promise<StartedPages | Unsuitable> {
  try {
    const session = opened.use(await PageSession.open(connection, parts));
    const facts = await session.readFacts(options.major);
    if (!facts.isLittleEndian) return unsuitable('pages of this machine cannot be checked');
    const laneCount = planLaneCount(facts.freeConnections, availableParallelism());
    const lanes = opened.use(await PageLanes.open(connection, laneCount, parts));
    return await start({ session, facts, lanes }, options);
  } catch (error) {
    const isFull = isErrorKind(error, 'engine-refused') && error.details.code === noConnectionLeft;
    if (isFull) return unsuitable(error.message);
    throw error;
  }
}

/** Half of what is free stays free for others. */
export function planLaneCount(freeConnections: number, processors: number): number {
  return Math.max(1, Math.min(lanesMax, processors, Math.floor(freeConnections / 2)));
}

async function start(
  scene: Pick<StartedPages, 'session' | 'facts' | 'lanes'>,
  { major, label, slotName }: StartOptions,
): Promise<StartedPages | Unsuitable> {
  const { session, facts } = scene;
  const tablespaces = await session.readTablespaces();
  await session.createSlot(slotName);
  const started = await session.startBackup(label);
  const rows = await session.rows(listStatement(facts.tablespaceFolder), 'the list of files');
  const entries = rows.map(parseListRow);
  if (entries.some(({ path }) => path.includes(replacement))) {
    return unsuitable('the name of a file is no text');
  }
  // The map of tablespaces is that of the start: one made or dropped about then may be in it.
  if (!isSame(tablespaces, await session.readTablespaces())) {
    return unsuitable('a tablespace was made or dropped while the backup began');
  }
  const list = planList(entries, {
    major,
    innerTablespaces: tablespaces.flatMap(({ location }) => innerPath(location, facts)),
  });
  return { kind: 'started', ...scene, tablespaces, started, list };
}

function isSame(a: readonly FoundTablespace[], b: readonly FoundTablespace[]): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** A tablespace inside the data folder is listed below `pg_tblspc` only. */
function innerPath(location: string, { dataDirectory }: ClusterFacts): string[] {
  const prefix = `${dataDirectory}/`;
  return dataDirectory !== null && location.startsWith(prefix)
    ? [location.slice(prefix.length)]
    : [];
}

function unsuitable(reason: string): Unsuitable {
  return { kind: 'unsuitable', reason };
}
