import { Type } from 'typebox';

/** Success without a word. */
export const noBody = Type.Unsafe<undefined>({ type: 'null', description: 'Accepted; no body' });
