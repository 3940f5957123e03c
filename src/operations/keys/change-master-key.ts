// A new master key, additively (rules 16 and 18): everything that the old one wrapped is wrapped
// once more and read back, in the repository, its second copy and the catalog; then the new key is
// put in the place of the old. At every moment the key in use opens everything, so the service may
// run meanwhile; processes that began with the old key go on with it until it is retired. The
// command can be repeated after any failure.
import type { Catalog } from '../../catalog/catalog.ts';
import { CairnError } from '../../model/errors.ts';
import type { Clock } from '../../platform/clock.ts';
import type { MasterKey } from '../../platform/master-key.ts';
import type { Repository } from '../../repository/repository.ts';
import { planKeyChange } from './plan-key-change.ts';

/** Where this machine has its master key from. */
export interface KeyPlace {
  readonly current: MasterKey;
  /** Whether only the user can put another key in its place. */
  readonly isEnvironment: boolean;
  /** The file with the key to change to, while there is one. */
  readonly nextPath: string;
  /** The key that an earlier attempt has put aside; null without one. */
  findNext(): Promise<MasterKey | null>;
  /** The same for all who make one at a time; durable when it answers. */
  makeNext(): Promise<MasterKey>;
  findRetired(id: string): Promise<MasterKey | null>;
  /** Atomic; the old key is kept beside it. */
  switchTo(next: MasterKey): Promise<void>;
  /** Removes what is put aside of that key; not the place where it is in use. */
  forget(id: string): Promise<void>;
}

export type KeyChangeParts = {
  readonly place: KeyPlace;
  /** Opened with the current key, like the catalog. */
  readonly repository: Pick<Repository, 'listMasterKeyIds' | 'addMasterKey' | 'retireMasterKey'>;
  readonly catalog: Pick<Catalog, 'secrets'>;
  /** Brings the second copy to the keys of the repository, if there is one. */
  readonly copyMasterKeys: (masterKey: MasterKey, signal: AbortSignal) => Promise<void>;
  readonly clock: Clock;
};

export type ChangedMasterKey = {
  readonly oldId: string;
  readonly newId: string;
  /** Data keys and secrets of the catalog, all of which both keys open. */
  readonly dataKeys: number;
  readonly secrets: number;
  /** Null: the new key is in use; else the file with the key that the user must set. */
  readonly keyToSet: string | null;
};

/** @throws repository-damaged naming what neither key opens; conflict; storage errors */
export async function changeMasterKey(
  { place, repository, catalog, copyMasterKeys, clock }: KeyChangeParts,
  signal: AbortSignal,
): Promise<ChangedMasterKey> {
  const { current } = place;
  const next = await place.findNext();
  const ids = await repository.listMasterKeyIds(signal);
  const plan = planKeyChange({ currentId: current.id, nextId: next?.id ?? null, ids });
  const isNew = plan.kind !== 'complete';
  const to = isNew ? await nextKey(plan.kind, place) : current;
  const from = isNew ? current : ((await place.findRetired(plan.oldId)) ?? current);
  const { dataKeys } = await repository.addMasterKey({ from, to }, { now: clock.now(), signal });
  await copyMasterKeys(to, signal);
  const secrets = await catalog.secrets.addMasterKey({ from, to });
  if (isNew && !place.isEnvironment) await place.switchTo(to);
  return {
    ...{ oldId: isNew ? current.id : plan.oldId, newId: to.id, dataKeys, secrets },
    keyToSet: isNew && place.isEnvironment ? place.nextPath : null,
  };
}

async function nextKey(kind: 'begin' | 'go-on', place: KeyPlace): Promise<MasterKey> {
  // It may be the one in use: an earlier command has ended right before it removed it.
  if (kind === 'begin') await place.forget(place.current.id);
  const next = kind === 'begin' ? await place.makeNext() : await place.findNext();
  if (next) return next;
  throw new CairnError('conflict', `another command has changed ${place.nextPath} meanwhile`, {
    hint: 'run it again when that one has ended',
  });
}

/**
 * Takes an old master key out of use, once the current one has opened everything: in the
 * repository, its second copy and the catalog. Safe to repeat. Answers how many wraps of data keys
 * went.
 * @throws invalid for the current key; not-found; repository-damaged naming what the current key
 *   does not open: then the old one stays
 */
export async function retireMasterKey(
  { place, repository, catalog, copyMasterKeys, clock }: KeyChangeParts,
  id: string,
  signal: AbortSignal,
): Promise<{ readonly removed: number }> {
  const { current } = place;
  const ids = await repository.listMasterKeyIds(signal);
  assertRetirable(id, { currentId: current.id, ids });
  // Nothing is left to wrap, or this throws and the old key stays.
  const nothing = { from: current, to: current };
  await repository.addMasterKey(nothing, { now: clock.now(), signal });
  await copyMasterKeys(current, signal);
  await catalog.secrets.addMasterKey(nothing);
  const { removed } = await repository.retireMasterKey(id, { now: clock.now(), signal });
  await catalog.secrets.keepOwnWraps();
  await copyMasterKeys(current, signal);
  for (const done of [id, current.id]) await place.forget(done);
  return { removed };
}

/** One that is unknown may be one whose retirement broke off: then no other is left. */
function assertRetirable(
  id: string,
  { currentId, ids }: { readonly currentId: string; readonly ids: readonly string[] },
): void {
  if (!/^[0-9a-f]{16}$/.test(id)) {
    throw new CairnError('invalid', `${id} is no id of a master key`, {
      hint: `the repository opens with ${ids.join(' and ')}`,
    });
  }
  if (id === currentId) {
    throw new CairnError('invalid', `master key ${id} is the one in use`, {
      hint: 'change it first: cairn key change, then retire the old one',
    });
  }
  if (ids.includes(id) || ids.length === 1) return;
  throw new CairnError('not-found', `the repository has no master key ${id}`, {
    hint: `it opens with ${ids.join(' and ')}`,
  });
}
