// What an operation needs of its caller. Every route below a project says it in its `config`; the
// login hook looks it up before the handler runs, and a test knows that none is missing.
import type { Action } from '../model/permission.ts';

/** `login`: any caller of the project, whatever the role. */
export type NeededAction = Action | 'login';

declare module 'fastify' {
  interface FastifyContextConfig {
    readonly action?: NeededAction;
  }
}

export function needs(action: NeededAction): { readonly action: NeededAction } {
  return { action };
}
