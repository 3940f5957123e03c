// Secrets in the catalog: `<master key id>:<base64 of what it wrapped>`, bound to what they are
// for. While the master key is being changed there are two, side by side, with a blank between.
// What was written before master keys could be changed has no id.
import { CairnError } from '../model/errors.ts';
import { Secret } from '../model/secret.ts';
import type { MasterKey } from '../platform/master-key.ts';

export function wrapSecret(masterKey: MasterKey, secret: Secret, purpose: string): string {
  const wrapped = masterKey.wrap(Buffer.from(secret.reveal(), 'utf8'), purpose);
  return `${masterKey.id}:${wrapped.toString('base64')}`;
}

/** @throws repository-damaged when another key wrapped it, or for another purpose */
export function unwrapSecret(masterKey: MasterKey, wrapped: string, purpose: string): Secret {
  const wraps = parseWraps(wrapped);
  const wrap = wraps.find(({ masterKeyId }) => (masterKeyId ?? masterKey.id) === masterKey.id);
  if (wrap) {
    const bytes = Buffer.from(wrap.base64, 'base64');
    return new Secret(masterKey.unwrap(bytes, purpose).toString('utf8'));
  }
  const ids = wraps.map(({ masterKeyId }) => masterKeyId).join(' or ');
  const text = `the ${purpose} needs master key ${ids}, this one is ${masterKey.id}`;
  throw new CairnError('repository-damaged', text, {
    hint: 'the master key was changed: start this process again, then run cairn key change again',
  });
}

/**
 * The same secret with a wrap of `to` beside that of `from`; as it is when `to` opens it already.
 * @throws repository-damaged when neither opens it
 */
export function addWrap(
  wrapped: string,
  { from, to }: { readonly from: MasterKey; readonly to: MasterKey },
  purpose: string,
): string {
  if (parseWraps(wrapped).some(({ masterKeyId }) => masterKeyId === to.id)) {
    unwrapSecret(to, wrapped, purpose);
    return wrapped;
  }
  const secret = unwrapSecret(from, wrapped, purpose);
  const isNamed = parseWraps(wrapped).every(({ masterKeyId }) => masterKeyId !== null);
  const before = isNamed ? wrapped : wrapSecret(from, secret, purpose);
  if (from.id === to.id) return before;
  const both = `${before} ${wrapSecret(to, secret, purpose)}`;
  unwrapSecret(to, both, purpose);
  return both;
}

/** The same secret with the wrap of this key alone. @throws repository-damaged without one */
export function keepWrap(wrapped: string, masterKey: MasterKey, purpose: string): string {
  const secret = unwrapSecret(masterKey, wrapped, purpose);
  const [only, ...others] = parseWraps(wrapped);
  const isAlone = others.length === 0 && only?.masterKeyId === masterKey.id;
  return isAlone ? wrapped : wrapSecret(masterKey, secret, purpose);
}

function parseWraps(
  wrapped: string,
): readonly { readonly masterKeyId: string | null; readonly base64: string }[] {
  return wrapped.split(' ').map((wrap) => {
    const [id = '', base64] = wrap.split(':');
    return base64 === undefined ? { masterKeyId: null, base64: id } : { masterKeyId: id, base64 };
  });
}
