// How the wire is declared. A TypeBox value is a JSON Schema: from one constant come the static
// type, the validation, the filtering of answers and the OpenAPI document.
import type { Static, TSchema } from 'typebox';
import { Type } from 'typebox';
import type { ErrorReason } from '../../model/error-reasons.ts';
import { errorReasons } from '../../model/error-reasons.ts';

/**
 * The annotation that says which rule a property states; `errors.ts` turns it into the RDS code.
 */
export const reasonKeyword = 'x-reason';

export function refusedAs(reason: ErrorReason): { readonly [reasonKeyword]: ErrorReason } {
  return { [reasonKeyword]: reason };
}

export function isReason(value: unknown): value is ErrorReason {
  return errorReasons.some((reason) => reason === value);
}

/**
 * A schema that the OpenAPI document shows under a name. Every one is listed in `named-schemas.ts`.
 */
export type Named<T extends TSchema> = T & { readonly $id: string };

export function named<T extends TSchema>($id: string, schema: T): Named<T> {
  return Object.assign(schema, { $id });
}

/** Mentions a named schema without repeating it. */
export function refTo<T extends TSchema>(schema: Named<T>) {
  return Type.Unsafe<Static<T>>({ $ref: `${schema.$id}#` });
}

/** One of a closed list of words. */
export function words<const T extends readonly string[]>(list: T, options: object = {}) {
  return Type.Unsafe<T[number]>({ type: 'string', enum: list, ...options });
}

export function nullable<T extends TSchema>(schema: T) {
  return Type.Union([schema, Type.Null()]);
}

/** Present in requests of real clients, without meaning here. */
export function ignored(description: string) {
  return Type.Optional(Type.Unknown({ description: `${description}; ignored` }));
}
