import { Type } from 'typebox';

export const pageLimitMax = 100;
const offsetMax = 1_000_000_000;

/** Out of range is refused, never clipped. */
export const pagingQuery = {
  offset: Type.Optional(Type.Integer({ minimum: 0, maximum: offsetMax, default: 0 })),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: pageLimitMax, default: pageLimitMax })),
};

export type PagingQuery = { readonly offset?: number; readonly limit?: number };

export function readPage(query: PagingQuery): { readonly offset: number; readonly limit: number } {
  return { offset: query.offset ?? 0, limit: query.limit ?? pageLimitMax };
}
