// Global transaction ids, and sets of them, of both dialects of MySQL. Pure.
//
// MariaDB numbers transactions within a domain, whichever server writes them, and names a set by
// the last one of each domain: `0-11-8179,1-12-5` is everything up to these. MySQL numbers them by
// the server that they came from and writes intervals: `<uuid>:1-5:7` (of 8.3 on also with a tag:
// `<uuid>:tag:1-5`). The texts are those of the servers' own variables and functions.
import { CairnError } from './errors.ts';

/** How a server writes its transaction ids. */
export type GtidDialect = 'mariadb' | 'mysql';

export type MariadbGtid = {
  readonly dialect: 'mariadb';
  readonly domain: number;
  readonly serverId: number;
  readonly sequence: bigint;
};

export type MysqlGtid = {
  readonly dialect: 'mysql';
  /** In lower case: the server's UUID, or `<uuid>:<tag>`. */
  readonly source: string;
  readonly sequence: bigint;
};

export type Gtid = MariadbGtid | MysqlGtid;

/** Both ends are in it. */
export type GtidInterval = { readonly first: bigint; readonly last: bigint };

/** Immutable and normalised: equal sets have equal texts. */
export type GtidSet =
  /** The last one of each domain. */
  | { readonly dialect: 'mariadb'; readonly lastOf: ReadonlyMap<number, MariadbGtid> }
  /** By source; in order, and with a gap between any two. */
  | {
      readonly dialect: 'mysql';
      readonly intervalsOf: ReadonlyMap<string, readonly GtidInterval[]>;
    };

type MariadbSet = Extract<GtidSet, { readonly dialect: 'mariadb' }>;
type MysqlSet = Extract<GtidSet, { readonly dialect: 'mysql' }>;

const mariadbPattern = /^(\d{1,10})-(\d{1,10})-(\d{1,20})$/;
const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const tagPattern = /^[a-z_][a-z0-9_]{0,31}$/;
const intervalPattern = /^(\d{1,19})(?:-(\d{1,19}))?$/;

const uint32Max = 2 ** 32 - 1;
const mariadbSequenceMax = 2n ** 64n - 1n;
const mysqlSequenceMax = 2n ** 63n - 1n;
/** Of a set that a server has told or a user has typed. */
const charactersMax = 2 ** 20;

/** `0-11-8179` or `<uuid>:5`; null when the text is none. */
export function parseGtid(text: string): Gtid | null {
  const mariadb = parseMariadbGtid(text);
  if (mariadb) return mariadb;
  const found = parseMysqlPart(text.toLowerCase());
  const [entry] = found ?? [];
  if (!entry || found?.length !== 1 || entry.first !== entry.last) return null;
  return { dialect: 'mysql', source: entry.source, sequence: entry.first };
}

/** The same id has the same text; null when it is none. */
export function normalizeGtid(text: string): string | null {
  const gtid = parseGtid(text);
  return gtid && formatGtid(gtid);
}

/** The inverse of `parseGtid`. */
export function formatGtid(gtid: Gtid): string {
  switch (gtid.dialect) {
    case 'mariadb':
      return `${gtid.domain}-${gtid.serverId}-${gtid.sequence}`;
    case 'mysql':
      return `${gtid.source}:${gtid.sequence}`;
  }
}

export function emptyGtidSet(dialect: GtidDialect): GtidSet {
  return dialect === 'mariadb'
    ? { dialect, lastOf: new Map() }
    : { dialect, intervalsOf: new Map() };
}

/**
 * A set as the servers print it, in any order and with blanks after its commas; the empty text is
 * the empty set. Of several of MariaDB's in one domain (as in `gtid_binlog_state`) that with the
 * highest number counts. Null when the text is none of the dialect.
 */
export function parseGtidSet(text: string, dialect: GtidDialect): GtidSet | null {
  if (text.length > charactersMax) return null;
  const parts = text.trim() === '' ? [] : text.split(',').map((part) => part.trim());
  if (dialect === 'mariadb') {
    const gtids = parts.map(parseMariadbGtid);
    return gtids.some((gtid) => gtid === null)
      ? null
      : mariadbSet(gtids.filter((gtid) => gtid !== null));
  }
  const entries = parts.map((part) => parseMysqlPart(part.toLowerCase()));
  if (entries.some((entry) => entry === null)) return null;
  return mysqlSet(entries.flatMap((entry) => entry ?? []));
}

/** As the servers print it, without line breaks: domains by number, sources by name. */
export function formatGtidSet(set: GtidSet): string {
  if (set.dialect === 'mariadb') {
    const gtids = [...set.lastOf.values()].sort((a, b) => a.domain - b.domain);
    return gtids.map(formatGtid).join(',');
  }
  const sources = [...set.intervalsOf].sort(([a], [b]) => (a < b ? -1 : 1));
  return sources
    .map(([source, intervals]) => `${source}:${intervals.map(formatInterval).join(':')}`)
    .join(',');
}

/** @throws bug when the dialects differ */
export function containsGtid(set: GtidSet, gtid: Gtid): boolean {
  if (set.dialect === 'mariadb' && gtid.dialect === 'mariadb') {
    const last = set.lastOf.get(gtid.domain);
    return last !== undefined && gtid.sequence <= last.sequence;
  }
  if (set.dialect === 'mysql' && gtid.dialect === 'mysql') {
    const { sequence } = gtid;
    const intervals = set.intervalsOf.get(gtid.source) ?? [];
    return intervals.some(({ first, last }) => first <= sequence && sequence <= last);
  }
  throw mixedDialects(set, gtid);
}

/**
 * The set once the transaction is written behind it. MariaDB lets the one that came last stand for
 * its domain, whatever its number, and so does this. @throws bug when the dialects differ
 */
export function advanceGtidSet(set: GtidSet, gtid: Gtid): GtidSet {
  if (set.dialect === 'mariadb' && gtid.dialect === 'mariadb') {
    return { ...set, lastOf: new Map(set.lastOf).set(gtid.domain, gtid) };
  }
  if (set.dialect === 'mysql' && gtid.dialect === 'mysql') {
    const { source, sequence } = gtid;
    const known = set.intervalsOf.get(source) ?? [];
    const intervals = joinIntervals([...known, { first: sequence, last: sequence }]);
    return { ...set, intervalsOf: new Map(set.intervalsOf).set(source, intervals) };
  }
  throw mixedDialects(set, gtid);
}

/** What is in one of them or in both. @throws bug when the dialects differ */
export function unionGtidSets(a: GtidSet, b: GtidSet): GtidSet {
  if (a.dialect === 'mariadb' && b.dialect === 'mariadb') {
    return mariadbSet([...a.lastOf.values(), ...b.lastOf.values()]);
  }
  if (a.dialect === 'mysql' && b.dialect === 'mysql') return mysqlSet([a, b].flatMap(listEntries));
  throw mixedDialects(a, b);
}

/** Whether everything of the other is in the set. @throws bug when the dialects differ */
export function coversGtidSet(set: GtidSet, other: GtidSet): boolean {
  if (set.dialect === 'mariadb' && other.dialect === 'mariadb') {
    return [...other.lastOf.values()].every((gtid) => containsGtid(set, gtid));
  }
  if (set.dialect === 'mysql' && other.dialect === 'mysql') {
    return listEntries(other).every(({ source, first, last }) => {
      const intervals = set.intervalsOf.get(source) ?? [];
      return intervals.some((one) => one.first <= first && last <= one.last);
    });
  }
  throw mixedDialects(set, other);
}

/** Also the servers that wrote MariaDB's last ones are the same. */
export function isSameGtidSet(a: GtidSet, b: GtidSet): boolean {
  return a.dialect === b.dialect && formatGtidSet(a) === formatGtidSet(b);
}

/** Of texts; false also where the set is of the other dialect. @throws bug when `gtid` is none */
export function holdsTransaction(set: string, gtid: string): boolean {
  const wanted = parseGtid(gtid);
  if (!wanted) throw new CairnError('bug', `${gtid} is no global transaction id`);
  const parsed = parseGtidSet(set, wanted.dialect);
  return parsed !== null && containsGtid(parsed, wanted);
}

function mariadbSet(gtids: readonly MariadbGtid[]): MariadbSet {
  const lastOf = new Map<number, MariadbGtid>();
  for (const gtid of gtids) {
    const known = lastOf.get(gtid.domain);
    if (!known || known.sequence < gtid.sequence) lastOf.set(gtid.domain, gtid);
  }
  return { dialect: 'mariadb', lastOf };
}

type MysqlEntry = GtidInterval & { readonly source: string };

function mysqlSet(entries: readonly MysqlEntry[]): MysqlSet {
  const bySource = Map.groupBy(entries, ({ source }) => source);
  const joined = [...bySource].map(([source, own]) => [source, joinIntervals(own)] as const);
  return { dialect: 'mysql', intervalsOf: new Map(joined) };
}

function listEntries({ intervalsOf }: MysqlSet): readonly MysqlEntry[] {
  return [...intervalsOf].flatMap(([source, intervals]) =>
    intervals.map(({ first, last }) => ({ source, first, last })),
  );
}

/** In order; those that overlap or follow right upon another become one. */
function joinIntervals(intervals: readonly GtidInterval[]): readonly GtidInterval[] {
  const sorted = intervals.toSorted((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : 0));
  const joined: GtidInterval[] = [];
  for (const { first, last } of sorted) {
    const before = joined.at(-1);
    if (!before || first > before.last + 1n) joined.push({ first, last });
    else if (last > before.last) joined[joined.length - 1] = { first: before.first, last };
  }
  return joined;
}

function parseMariadbGtid(text: string): MariadbGtid | null {
  const match = mariadbPattern.exec(text);
  if (!match) return null;
  const [domain, serverId, sequence] = [Number(match[1]), Number(match[2]), BigInt(match[3] ?? '')];
  if (domain > uint32Max || serverId > uint32Max || sequence > mariadbSequenceMax) return null;
  return { dialect: 'mariadb', domain, serverId, sequence };
}

/** `<uuid>:1-5:7:tag:1-3`: a tag counts for all that comes behind it. */
function parseMysqlPart(text: string): readonly MysqlEntry[] | null {
  const [uuid = '', ...words] = text.split(':');
  if (!uuidPattern.test(uuid)) return null;
  const entries: MysqlEntry[] = [];
  let source = uuid;
  let isTagged = false;
  for (const word of words) {
    if (tagPattern.test(word)) {
      // Of two tags in a row the first would have no interval.
      if (isTagged) return null;
      source = `${uuid}:${word}`;
      isTagged = true;
      continue;
    }
    const interval = parseInterval(word);
    if (!interval) return null;
    entries.push({ source, ...interval });
    isTagged = false;
  }
  return entries.length === 0 || isTagged ? null : entries;
}

function parseInterval(text: string): GtidInterval | null {
  const match = intervalPattern.exec(text);
  if (!match) return null;
  const first = BigInt(match[1] ?? '');
  const last = match[2] === undefined ? first : BigInt(match[2]);
  return first >= 1n && first <= last && last <= mysqlSequenceMax ? { first, last } : null;
}

function formatInterval({ first, last }: GtidInterval): string {
  return first === last ? String(first) : `${first}-${last}`;
}

function mixedDialects(
  a: { readonly dialect: GtidDialect },
  b: { readonly dialect: GtidDialect },
): CairnError {
  return new CairnError(
    'bug',
    `transaction ids of ${a.dialect} do not go with those of ${b.dialect}`,
  );
}
