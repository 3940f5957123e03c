// Many names in one line for people.
const namesMax = 5;
const statementsMax = 3;

/** `a, b, c and 4 more` */
export function listNames(names: readonly string[]): string {
  const shown = names.slice(0, namesMax).join(', ');
  return names.length <= namesMax ? shown : `${shown} and ${names.length - namesMax} more`;
}

/** The statements for the first of them, and `…` where there are more. */
export function listStatements<T>(items: readonly T[], toStatement: (item: T) => string): string {
  const shown = items.slice(0, statementsMax).map(toStatement).join('; ');
  return items.length <= statementsMax ? shown : `${shown}; …`;
}
