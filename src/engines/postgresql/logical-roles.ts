// The roles of a logical backup, read out of what `pg_dumpall --globals-only` writes: SQL, one
// statement after another. Only statements about roles that are missing are ever run.
import { CairnError } from '../../model/errors.ts';
import type { Query } from './connection.ts';

/**
 * Statements without their semicolons. Semicolons and line breaks inside quotes, and `--` at the
 * beginning of a line, are understood; pg_dumpall writes nothing else of that sort.
 */
export function splitStatements(text: string): readonly string[] {
  const statements: string[] = [];
  let statement = '';
  for (const [token] of text.matchAll(/"(?:[^"]|"")*"|E?'(?:[^']|'')*'|^--.*$|;|[^"';]/gmu)) {
    if (token === ';') {
      statements.push(statement.trim());
      statement = '';
    } else if (!token.startsWith('--')) statement += token;
  }
  return statements.filter((one) => one !== '');
}

/** Names of roles that the statements make, as they are written there. */
function createdRoles(statements: readonly string[]): ReadonlyMap<string, string> {
  return new Map(
    statements.flatMap((statement) => {
      const written = /^CREATE ROLE ("(?:[^"]|"")*"|[^\s"]+)$/su.exec(statement)?.[1];
      return written === undefined ? [] : [[written, nameOf(written)] as const];
    }),
  );
}

/** What makes the missing roles as they were, and touches no other. */
export function planMissingRoles(
  statements: readonly string[],
  existing: ReadonlySet<string>,
): readonly string[] {
  const missing = [...createdRoles(statements)]
    .filter(([, name]) => !existing.has(name))
    .map(([written]) => written);
  const begins = missing.flatMap((role) => [
    `CREATE ROLE ${role}`,
    `ALTER ROLE ${role} `,
    `COMMENT ON ROLE ${role} `,
  ]);
  return statements.filter((statement) => {
    const made = begins.some((begin) => statement === begin || statement.startsWith(begin));
    const member = /^GRANT (?:"(?:[^"]|"")*"|[^\s"]+) TO ("(?:[^"]|"")*"|[^\s"]+)/su.exec(
      statement,
    );
    return made || (member?.[1] !== undefined && missing.includes(member[1]));
  });
}

export async function readRoleNames(query: Query): Promise<ReadonlySet<string>> {
  const rows = await query('select rolname from pg_roles');
  return new Set(rows.map(({ rolname }) => String(rolname)));
}

/** @throws invalid naming the roles that the target lacks */
export function assertOwnersExist(owners: readonly string[], existing: ReadonlySet<string>): void {
  const missing = owners.filter((owner) => !existing.has(owner));
  if (missing.length === 0) return;
  throw new CairnError(
    'invalid',
    `the target has no role ${missing.join(', ')}, owner in the dump`,
    {
      reason: 'role-unknown',
      hint: 'have the missing roles made (--with-roles), or make them yourself before',
    },
  );
}

function nameOf(written: string): string {
  return written.startsWith('"') ? written.slice(1, -1).replaceAll('""', '"') : written;
}
