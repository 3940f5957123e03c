// What a row holds is text and numbers that some program wrote, perhaps another version: it is
// checked when it is read, and what does not fit fails loudly with the place, never with the value.
import { CairnError } from '../model/errors.ts';

export type JsonObject = Readonly<Record<string, unknown>>;

export function damagedRow(place: string): CairnError {
  return new CairnError('bug', `the catalog holds an unreadable value in ${place}`, {
    hint: 'another version of cairn may have written it',
  });
}

/** One of a closed list of words. @throws bug */
export function readWord<T extends string>(words: readonly T[], text: unknown, place: string): T {
  const found = words.find((word) => word === text);
  if (found === undefined) throw damagedRow(place);
  return found;
}

/** @throws bug when the text is not a JSON object */
export function readObject(text: string, place: string): JsonObject {
  const value = readJson(text, place);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw damagedRow(place);
  return value as JsonObject;
}

/** @throws bug when the text is not a JSON array of texts */
export function readTexts(text: string, place: string): readonly string[] {
  const value = readJson(text, place);
  if (!Array.isArray(value)) throw damagedRow(place);
  return value.map((item) => readText(item, place));
}

export function readText(value: unknown, place: string): string {
  if (typeof value !== 'string') throw damagedRow(place);
  return value;
}

export function readTextOrNull(value: unknown, place: string): string | null {
  return value === null || value === undefined ? null : readText(value, place);
}

export function readNumber(value: unknown, place: string): number {
  if (typeof value !== 'number' || !Number.isFinite(value)) throw damagedRow(place);
  return value;
}

export function readNumberOrNull(value: unknown, place: string): number | null {
  return value === null || value === undefined ? null : readNumber(value, place);
}

export function readDate(value: unknown, place: string): Date {
  return new Date(readNumber(value, place));
}

export function readDateOrNull(value: unknown, place: string): Date | null {
  return value === null || value === undefined ? null : readDate(value, place);
}

function readJson(text: string, place: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw damagedRow(place);
  }
}
