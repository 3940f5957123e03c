// Who may do what on a server, as statements that make it so again: what `SHOW CREATE USER` and
// `SHOW GRANTS` answer (MariaDB documentation and MySQL manual, under these names). Passwords are
// in them as the hashes that the server keeps.
import { CairnError } from '../../model/errors.ts';
import type { Logger } from '../../platform/logger.ts';
import type { Query } from './connection.ts';
import { errorNumber } from './connection-error.ts';
import type { Flavor } from './flavor.ts';
import type { DumpedAccount } from './logical-contents.ts';
import { quoteName } from './sql-text.ts';

/** Made by every server for itself. */
const systemUsers = new Set(['mariadb.sys', 'mysql.sys', 'mysql.session', 'mysql.infoschema']);
const accessDenied = [1044, 1142, 1143, 1227];

/** The role that every account of MariaDB has. */
export const everybody = '`PUBLIC`';
/** Grants outlive the table, the column or the routine that they speak of. */
const isGone = [1146, 1054, 1305];

/** In order. What speaks of something that is not there any more is left out. */
export async function grantAll(
  query: Query,
  grants: readonly string[],
  log: Logger,
): Promise<void> {
  for (const grant of grants) {
    try {
      await query(grant);
    } catch (error) {
      if (!isGone.includes(errorNumber(error) ?? 0)) throw error;
      log.warn({ err: error }, 'a grant on something that is not there was left out');
    }
  }
}

/** Null: the login may not look. */
export async function readAccounts(
  query: Query,
  flavor: Flavor,
): Promise<readonly DumpedAccount[] | null> {
  try {
    // Hashes of newer kinds are no text.
    if (flavor === 'mysql') await query('set print_identified_with_as_hex = 1').catch(() => []);
    const accounts: DumpedAccount[] = [];
    for (const found of await listAccounts(query, flavor)) {
      accounts.push(await readAccount(query, found));
    }
    return accounts;
  } catch (error) {
    if (accessDenied.includes(errorNumber(error) ?? 0)) return null;
    throw error;
  }
}

/** For people, and whatever else executes SQL: accounts first, for grants name each other's. */
export function formatAccounts(accounts: readonly DumpedAccount[]): string {
  const statements = [
    ...accounts.map(({ create }) => create),
    ...accounts.flatMap(({ grants }) => grants),
  ].filter((statement) => statement !== '');
  return statements.map((statement) => `${statement};\n`).join('');
}

/**
 * What makes accounts that are missing as they were, and touches no other. Roles that they were
 * given come with them.
 */
export function planMissingAccounts(
  accounts: readonly DumpedAccount[],
  wanted: readonly string[],
  existing: ReadonlySet<string>,
): readonly string[] {
  const byName = new Map(accounts.map((account) => [account.name, account]));
  const chosen = new Set<DumpedAccount>();
  const choose = (name: string): void => {
    const account = byName.get(name);
    if (!account || existing.has(name) || chosen.has(account)) return;
    chosen.add(account);
    for (const grant of account.grants) {
      const role = /^GRANT (`(?:[^`]|``)*`(?:@`(?:[^`]|``)*`)?) TO /.exec(grant)?.[1];
      if (role !== undefined) choose(role);
    }
  };
  for (const name of wanted) choose(name);
  const made = accounts.filter((account) => chosen.has(account));
  return [
    ...made.map(({ create }) => create),
    ...made.flatMap(({ grants }) => grants).filter((grant) => !grant.startsWith('GRANT PROXY')),
  ];
}

export async function readAccountNames(query: Query, flavor: Flavor): Promise<ReadonlySet<string>> {
  return new Set((await listAccounts(query, flavor)).map(({ name }) => name));
}

/** @throws invalid naming the accounts that the target lacks */
export function assertDefinersExist(
  definers: readonly string[],
  existing: ReadonlySet<string>,
): void {
  const missing = definers.filter((definer) => !existing.has(definer) && !isSystem(definer));
  if (missing.length === 0) return;
  const text = `the target has no account ${missing.join(', ')}, in whose name parts of it run`;
  throw new CairnError('invalid', text, {
    reason: 'role-unknown',
    hint: 'have the missing accounts made (--with-roles), or make them yourself before',
  });
}

type FoundAccount = { readonly name: string; readonly isRole: boolean };

async function listAccounts(query: Query, flavor: Flavor): Promise<readonly FoundAccount[]> {
  const isRole = flavor === 'mariadb' ? "is_role = 'Y'" : 'false';
  const rows = await query(
    `select user as user, host as host, ${isRole} as is_role from mysql.user order by user, host`,
  );
  return rows
    .filter((row) => !systemUsers.has(String(row['user'])))
    .map((row) => {
      const role = Number(row['is_role']) === 1;
      const [user, host] = [String(row['user']), String(row['host'])].map(quoteName);
      return { name: role ? `${user}` : `${user}@${host}`, isRole: role };
    });
}

async function readAccount(query: Query, { name, isRole }: FoundAccount): Promise<DumpedAccount> {
  const create = await readCreate(query, { name, isRole });
  const grants = (await query(`show grants for ${name}`)).map((row) => firstText([row], name));
  // A role lists what the roles in it may do, too.
  const own = grants.filter((grant) => !isRole || isGrantTo(grant, name));
  return { name, is_role: isRole, create, grants: own };
}

async function readCreate(query: Query, { name, isRole }: FoundAccount): Promise<string> {
  if (name === everybody) return '';
  if (isRole) return `CREATE ROLE ${name}`;
  return firstText(await query(`show create user ${name}`), name);
}

function isGrantTo(grant: string, name: string): boolean {
  const written = name === everybody ? 'PUBLIC' : name;
  return !grant.startsWith('GRANT ') || `${grant} `.includes(` TO ${written} `);
}

function firstText(rows: readonly Readonly<Record<string, unknown>>[], name: string): string {
  const [text] = Object.values(rows[0] ?? {});
  if (typeof text === 'string') return text;
  throw new CairnError('engine-refused', `the server does not say what account ${name} is`);
}

function isSystem(account: string): boolean {
  return [...systemUsers].some((user) => account.startsWith(`${quoteName(user)}@`));
}
