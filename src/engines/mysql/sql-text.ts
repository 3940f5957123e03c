// Names and literals in SQL (MariaDB documentation, "Identifier Names", "String Literals").

export const quoteName = (name: string): string => `\`${name.replaceAll('`', '``')}\``;

/** Of what `CURRENT_USER()` answers: `backup@%`. The host has no `@`, the name may. */
export function quoteAccount(account: string): string {
  const at = account.lastIndexOf('@');
  return `${quoteName(account.slice(0, at))}@${quoteName(account.slice(at + 1))}`;
}
