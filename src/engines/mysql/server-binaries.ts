// Finds the programs of a server's release series: the configured folders first, then the usual
// ones. What `mariadbd --version` answers decides, asked as the user that will run the server.
// Names differ by flavor and age (`flavor.ts`). A backup is prepared by the tool of the same series
// only.
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { CairnError } from '../../model/errors.ts';
import { majorVersion } from '../../model/server-version.ts';
import type { Identity } from '../../platform/child-process.ts';
import { runCommand } from '../../platform/child-process.ts';
import type { Flavor, FlavorFacts } from './flavor.ts';
import { flavorOf, flavors } from './flavor.ts';

type ProgramName = keyof FlavorFacts['programs'];

/** Absolute paths; null where a program is not installed, or is of another series. */
export type MysqlTools = Readonly<Record<Exclude<ProgramName, 'server'>, string | null>> & {
  /** The server's own program. */
  readonly server: string;
  /** Reads the container that a backup is streamed in. */
  readonly unpack: string | null;
};

export type BinaryOptions = {
  readonly binDirs: readonly string[];
  readonly identity: Identity | null;
};

const usualDirs = [
  '/usr/local/mysql/bin',
  '/usr/local/sbin',
  '/usr/local/bin',
  '/usr/sbin',
  '/usr/bin',
  '/sbin',
  '/bin',
];
const versionTimeoutMs = 10_000;

/** @throws engine-refused naming what to install */
export async function findTools(
  serverVersion: string,
  options: BinaryOptions,
): Promise<MysqlTools> {
  const flavor = flavorOf(serverVersion);
  const wanted = majorVersion('mysql', serverVersion);
  const seen: string[] = [];
  for (const folder of [...new Set([...options.binDirs, ...usualDirs])]) {
    for (const name of flavors[flavor].programs.server) {
      const server = join(folder, name);
      const found = await readVersion(server, flavor, options.identity);
      if (found === null) continue;
      if (found !== wanted) seen.push(`${found} in ${folder}`);
      else return await findOthers({ flavor, server, folder, series: wanted }, options);
    }
  }
  const { title } = flavors[flavor];
  const others = seen.length > 0 ? `; found ${seen.join(', ')}` : '';
  throw new CairnError('engine-refused', `${title} ${wanted} is not installed here${others}`, {
    hint: `install its server, or name the folder of its programs in CAIRN_MYSQL_BIN_DIRS`,
    details: { serverVersion, configured: options.binDirs.join(delimiter) },
  });
}

/** As `findTools`; null where there is no server of that series here. */
export async function findBackupTool(
  serverVersion: string,
  { binDirs, identity }: BinaryOptions,
): Promise<string | null> {
  const flavor = flavorOf(serverVersion);
  const series = majorVersion('mysql', serverVersion);
  return await findProgram(flavor, 'backup', {
    folders: [...binDirs, ...usualDirs],
    series,
    identity,
  });
}

/**
 * Client and dump program of the flavor, of any series: for servers elsewhere.
 * @throws engine-refused naming what to install
 */
export async function findClients(
  serverVersion: string,
  { binDirs, identity }: BinaryOptions,
): Promise<{ readonly client: string; readonly dump: string }> {
  const flavor = flavorOf(serverVersion);
  const folders = [...binDirs, ...usualDirs];
  const find = async (name: 'client' | 'dump'): Promise<string | null> => {
    for (const folder of folders) {
      const path = await findFile(flavors[flavor].programs[name], [folder]);
      if (path && (await readText(path, identity, (text) => isOfFlavor(text, flavor)))) return path;
    }
    return null;
  };
  const [client, dump] = [await find('client'), await find('dump')];
  if (client !== null && dump !== null) return { client, dump };
  const names = `${flavors[flavor].programs.client[0]} and ${flavors[flavor].programs.dump[0]}`;
  throw new CairnError('engine-refused', `${names} are not installed here`, {
    hint:
      `install the client programs of ${flavors[flavor].title}, ` +
      'or name their folder in CAIRN_MYSQL_BIN_DIRS',
  });
}

async function findOthers(
  found: {
    readonly flavor: Flavor;
    readonly server: string;
    readonly folder: string;
    readonly series: string;
  },
  { binDirs, identity }: BinaryOptions,
): Promise<MysqlTools> {
  const { flavor, server, folder, series } = found;
  // Those of one installation belong together.
  const folders = [...new Set([folder, ...binDirs, ...usualDirs])];
  const find = (name: ProgramName, ofSeries: string | null): Promise<string | null> =>
    findProgram(flavor, name, { folders, series: ofSeries, identity });
  return {
    server,
    client: await find('client', null),
    dump: await find('dump', null),
    binlog: await find('binlog', null),
    backup: await find('backup', series),
    initialise: await find('initialise', null),
    unpack: await findFile(flavor === 'mariadb' ? ['mbstream'] : ['xbstream'], folders),
  };
}

async function findProgram(
  flavor: Flavor,
  name: ProgramName,
  where: {
    readonly folders: readonly string[];
    /** Null: any. */
    readonly series: string | null;
    readonly identity: Identity | null;
  },
): Promise<string | null> {
  const { folders, series, identity } = where;
  for (const folder of folders) {
    const path = await findFile(flavors[flavor].programs[name], [folder]);
    if (path === null) continue;
    if (series === null || (await readVersion(path, flavor, identity)) === series) return path;
  }
  return null;
}

async function findFile(
  names: readonly string[],
  folders: readonly string[],
): Promise<string | null> {
  for (const folder of folders) {
    for (const name of names) {
      const path = join(folder, name);
      const isThere = await access(path, constants.X_OK).then(
        () => true,
        () => false,
      );
      if (isThere) return path;
    }
  }
  return null;
}

/**
 * The release series, `10.11`; null when the program does not run, or is of the other flavor. A
 * server says `Ver 10.11.19-MariaDB-…`, mariadb-backup `based on MariaDB server 10.11.19-MariaDB`,
 * xtrabackup `xtrabackup version 8.0.35-31 based on MySQL server 8.0.35`.
 */
export function parseProgramVersion(text: string, flavor: Flavor): string | null {
  if (!isOfFlavor(text, flavor)) return null;
  const match =
    /based on \w+ server (\d+\.\d+)\.\d+/.exec(text) ?? /\bVer (\d+\.\d+)\.\d+/i.exec(text);
  return match?.[1] ?? null;
}

function isOfFlavor(text: string, flavor: Flavor): boolean {
  return /mariadb/i.test(text) === (flavor === 'mariadb');
}

async function readVersion(
  program: string,
  flavor: Flavor,
  identity: Identity | null,
): Promise<string | null> {
  return await readText(program, identity, (text) => parseProgramVersion(text, flavor));
}

/** What is read from what a program says of its version; null when it does not run. */
async function readText<T>(
  program: string,
  identity: Identity | null,
  read: (text: string) => T,
): Promise<T | null> {
  try {
    const { exitCode, stdout, stderr } = await runCommand(program, ['--version'], {
      ...{ timeoutMs: versionTimeoutMs, identity },
    });
    return exitCode === 0 ? read(`${stdout}${stderr}`) : null;
  } catch {
    return null;
  }
}
