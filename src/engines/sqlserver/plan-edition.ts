// Whether the databases of one server can be restored into another. A server refuses what comes
// from a newer version. Of the edition it looks only at what the databases use: since 2016 SP1
// nearly every feature is in all editions, but Express holds no more than 10 GB of data for each
// database. (SQL Server documentation, "Editions and supported features", "RESTORE statements".)
// Pure.
import type { SqlServerEdition } from '../../model/sqlserver-version.ts';
import { formatSqlServerVersion } from '../../model/sqlserver-version.ts';
import type { ServerTraits } from './server-traits.ts';
import { engineEditions, isSmallEdition } from './server-traits.ts';

export type EditionPlan =
  | { readonly outcome: 'fine' }
  /** It may be refused by the server, for what a database uses: a line of text for people. */
  | { readonly outcome: 'doubtful'; readonly note: string }
  | { readonly outcome: 'refused'; readonly message: string; readonly hint: string };

/** Higher ones have all that the lower ones have. */
const ranks: Readonly<Record<SqlServerEdition, number>> = { EXPRESS: 0, WEB: 1, SE: 2, EE: 3 };

export function planEdition(source: ServerTraits, target: ServerTraits): EditionPlan {
  if (target.majorVersion < source.majorVersion) {
    const [from, to] = [source.majorVersion, target.majorVersion];
    return {
      outcome: 'refused',
      message: `the backup is one of version ${from}, and the server has version ${to}`,
      hint: 'restore it to a server of the same version or a newer one',
    };
  }
  const [from, to] = [editionOf(source), editionOf(target)];
  if (from === null || to === null || ranks[to] >= ranks[from]) return { outcome: 'fine' };
  const note = `the backup comes from ${source.edition}, and the server is ${target.edition}`;
  return { outcome: 'doubtful', note: `${note}: it refuses a database that uses what it lacks` };
}

/** Enterprise, Developer and Evaluation are one engine. Null for what is none of them. */
export function editionOf(traits: Omit<ServerTraits, 'majorVersion'>): SqlServerEdition | null {
  const { engineEdition } = traits;
  if (engineEdition === engineEditions.express) return 'EXPRESS';
  if (engineEdition === engineEditions.enterprise) return 'EE';
  if (engineEdition !== engineEditions.standard) return null;
  return isSmallEdition({ ...traits, majorVersion: 0 }) ? 'WEB' : 'SE';
}

/** As the catalog and the manifests keep it: `16.0.4135.4-SE`. */
export function serverVersionOf(
  productVersion: string,
  traits: Omit<ServerTraits, 'majorVersion'>,
): string {
  return formatSqlServerVersion(productVersion, editionOf(traits));
}
