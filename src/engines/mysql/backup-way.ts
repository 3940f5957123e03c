// Which of the two ways a full backup takes: the vendor's program copies the files where they are
// on this host, or the rows are dumped over the connection. The first is quicker, and so is its
// restore; the second needs nothing on the server's host.
import type { Connection } from '../../model/instance.ts';
import type { Random } from '../../platform/random.ts';
import { planMissingRights, readGlobalRights } from './account-rights.ts';
import type { Query } from './connection.ts';
import type { FolderLook } from './data-folder.ts';
import { lookAtDataFolder } from './data-folder.ts';
import type { FlavoredVersion } from './flavor.ts';
import { flavors } from './flavor.ts';

export type BackupWay =
  | { readonly kind: 'physical'; readonly program: string }
  /** Why it is not physical, for people. */
  | {
      readonly kind: 'logical';
      readonly reason: string;
      readonly hint: string;
      /** The rights that alone are in the way; null: something else is. */
      readonly missing: readonly string[] | null;
    };

export type WayFacts = FlavoredVersion & {
  readonly folder: FolderLook;
  /** The backup program of the server's series; null when it is not installed here. */
  readonly program: string | null;
  readonly rights: ReadonlySet<string>;
};

export type WayParts = {
  readonly random: Random;
  readonly findProgram: (serverVersion: string) => Promise<string | null>;
};

/** Pure. */
export function planBackupWay({
  flavor,
  folder,
  program,
  rights,
  serverVersion,
}: WayFacts): BackupWay {
  if (folder.kind !== 'here') {
    return { kind: 'logical', reason: folder.reason, hint: folder.hint, missing: null };
  }
  if (program === null) {
    const name = flavors[flavor].programs.backup[0];
    return {
      kind: 'logical',
      reason: `${name} for ${serverVersion} is not installed here`,
      hint: `install ${name} of the server's release series on this host`,
      missing: null,
    };
  }
  const missing = planMissingRights(rights, flavor, 'physical');
  if (missing.length === 0) return { kind: 'physical', program };
  return {
    kind: 'logical',
    reason: `the account lacks ${missing.join(', ')}`,
    hint: `GRANT ${missing.join(', ')} ON *.* TO the account`,
    missing,
  };
}

/** @throws engine-unreachable, engine-refused, cancelled */
export async function readWayFacts(
  query: Query,
  connection: Connection,
  version: FlavoredVersion,
  { random, findProgram, signal }: WayParts & { readonly signal: AbortSignal },
): Promise<WayFacts> {
  return {
    ...version,
    folder: await lookAtDataFolder(query, connection, { random, signal }),
    program: await findProgram(version.serverVersion),
    rights: await readGlobalRights(query),
  };
}
