// Names and literals in SQL (PostgreSQL documentation, chapter "Lexical Structure").

export const quoteName = (name: string): string => `"${name.replaceAll('"', '""')}"`;

/** A literal, with `standard_conforming_strings`. */
export const quoteText = (text: string): string => `'${text.replaceAll("'", "''")}'`;
