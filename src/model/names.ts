// What users may call things. The rules are those of the RDS documents; they bind names that a user
// chose, not those that the service makes.

const namePattern = /^[A-Za-z][A-Za-z0-9_-]{3,63}$/;
const shortNamePattern = /^[A-Za-z][A-Za-z0-9_-]{0,63}$/;
const descriptionForbidden = /[><!"&'=\r\n]/;
export const descriptionCharactersMax = 256;

/** 4 to 64 characters, first a letter, then letters, digits, `-` and `_`. */
export function isName(text: string): boolean {
  return namePattern.test(text);
}

/** The same, from one character on: a server that exists already has the name that it has. */
export function isShortName(text: string): boolean {
  return shortNamePattern.test(text);
}

/** At most 256 characters (code points, not bytes), none of `> < ! " & ' =` and no line break. */
export function isDescription(text: string): boolean {
  return !descriptionForbidden.test(text) && [...text].length <= descriptionCharactersMax;
}

/** 1 to 64 characters, first a letter, then letters, digits, `.`, `_`, `@` and `-`. */
export function isLoginName(text: string): boolean {
  return /^[A-Za-z][A-Za-z0-9._@-]{0,63}$/.test(text);
}

/** 1 to 64 letters, digits, `-` and `_`: clients take it for the name of a region. */
export function isProjectName(text: string): boolean {
  return /^[A-Za-z0-9_-]{1,64}$/.test(text);
}

/** Of workers: 1 to 32 lower-case letters, digits and hyphens, a letter first. */
export function isPoolName(text: string): boolean {
  return /^[a-z][a-z0-9-]{0,31}$/.test(text);
}
