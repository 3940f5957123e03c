// Versions of SQL Server as Cairn keeps them: `16.0.4135.4-SE`, the product's own number with a
// word for the edition where it is known. People and the API know them by year, `2022_SE`.

export const sqlServerEditions = ['EE', 'SE', 'WEB', 'EXPRESS'] as const;
export type SqlServerEdition = (typeof sqlServerEditions)[number];

const years: Readonly<Record<number, string>> = {
  ...{ 11: '2012', 12: '2014', 13: '2016', 14: '2017', 15: '2019', 16: '2022', 17: '2025' },
};

/** `edition` null: none of the words fits, or nobody knows. */
export function formatSqlServerVersion(
  productVersion: string,
  edition: SqlServerEdition | null,
): string {
  return edition === null ? productVersion : `${productVersion}-${edition}`;
}

/** Null when the text is no version of SQL Server. */
export function parseSqlServerVersion(
  text: string,
): { readonly major: number; readonly edition: SqlServerEdition | null } | null {
  const [, major = '', word = ''] = /^(\d{1,3})\.[\d.]*(?:-([A-Z]+))?$/.exec(text) ?? [];
  if (major === '') return null;
  return { major: Number(major), edition: sqlServerEditions.find((one) => one === word) ?? null };
}

/** `2022_SE`; the year alone where the edition is not known; the text as it is without a year. */
export function sqlServerYear(text: string): string {
  const version = parseSqlServerVersion(text);
  const year = version && years[version.major];
  if (!version || !year) return text;
  return version.edition === null ? year : `${year}_${version.edition}`;
}

/**
 * Whether a server of the one version is older than one of the other, so that it certainly refuses
 * its files. False where nobody can tell.
 */
export function isOlderSqlServer(target: string, source: string): boolean {
  const [to, from] = [parseSqlServerVersion(target), parseSqlServerVersion(source)];
  return to !== null && from !== null && to.major < from.major;
}

/**
 * What the published API restores to what over an instance that exists (RDS, "Restoring Data to an
 * Existing DB Instance"); a server itself refuses only what comes from a newer version.
 */
const published: Readonly<Record<string, readonly string[]>> = {
  '2017_SE': ['2017_SE', '2017_EE', '2019_SE', '2019_EE'],
  '2017_EE': ['2017_EE', '2019_EE'],
  '2019_SE': ['2019_SE', '2019_EE', '2022_SE', '2022_EE'],
  '2019_EE': ['2019_SE', '2019_EE', '2022_EE'],
  '2022_SE': ['2022_SE', '2022_EE'],
  '2022_EE': ['2022_SE', '2022_EE'],
};

/** Null: the table does not know one of the two. */
export function isPublishedRestore(source: string, target: string): boolean | null {
  const [from, to] = [sqlServerYear(source), sqlServerYear(target)];
  const isKnown = Object.hasOwn(published, from) && Object.hasOwn(published, to);
  return isKnown ? (published[from]?.includes(to) ?? false) : null;
}
