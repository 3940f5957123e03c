// Every secret of the catalog at once, for a change of the master key.
import type { MasterKey } from '../platform/master-key.ts';
import { secretKeyPurpose } from './access-keys.ts';
import type { CatalogDatabase } from './dialect.ts';
import { inTransaction } from './dialect.ts';
import { passwordPurpose } from './instances.ts';
import { addWrap, keepWrap } from './wrapped-secret.ts';

/** Every password and secret key; one transaction each. */
export interface SecretRecords {
  /**
   * Makes `to` open what `from` opens, beside it. Safe to repeat. Answers how many secrets there
   * are. @throws repository-damaged naming one that neither opens: then all stay as they are
   */
  addMasterKey(change: { readonly from: MasterKey; readonly to: MasterKey }): Promise<number>;
  /**
   * Leaves only what the catalog's own master key opens. @throws repository-damaged naming a secret
   * that it does not open: then all stay as they are
   */
  keepOwnWraps(): Promise<number>;
}

type Rewrap = (wrapped: string, purpose: string) => string;

export function secretRecords(database: CatalogDatabase, masterKey: MasterKey): SecretRecords {
  return {
    addMasterKey: (change) =>
      rewrapAll(database, (wrapped, purpose) => addWrap(wrapped, change, purpose)),
    keepOwnWraps: () =>
      rewrapAll(database, (wrapped, purpose) => keepWrap(wrapped, masterKey, purpose)),
  };
}

/** In one transaction; answers how many secrets there are. */
async function rewrapAll(database: CatalogDatabase, rewrap: Rewrap): Promise<number> {
  return await inTransaction(database, async (tx) => {
    return (await rewrapPasswords(tx, rewrap)) + (await rewrapSecretKeys(tx, rewrap));
  });
}

async function rewrapPasswords({ db, traits }: CatalogDatabase, rewrap: Rewrap): Promise<number> {
  const rows = await db
    .selectFrom('instances')
    .select(['id', 'wrapped_password'])
    .where('wrapped_password', 'is not', null)
    .orderBy('id')
    .$if(traits.hasRowLocks, (query) => query.forUpdate())
    .execute();
  for (const { id, wrapped_password: wrapped } of rows) {
    const next = rewrap(wrapped ?? '', passwordPurpose(id));
    if (next === wrapped) continue;
    const update = db.updateTable('instances').set({ wrapped_password: next });
    await update.where('id', '=', id).execute();
  }
  return rows.length;
}

async function rewrapSecretKeys({ db, traits }: CatalogDatabase, rewrap: Rewrap): Promise<number> {
  const rows = await db
    .selectFrom('access_keys')
    .select(['access_key', 'wrapped_secret_key'])
    .orderBy('access_key')
    .$if(traits.hasRowLocks, (query) => query.forUpdate())
    .execute();
  for (const { access_key: id, wrapped_secret_key: wrapped } of rows) {
    const next = rewrap(wrapped, secretKeyPurpose(id));
    if (next === wrapped) continue;
    const update = db.updateTable('access_keys').set({ wrapped_secret_key: next });
    await update.where('access_key', '=', id).execute();
  }
  return rows.length;
}
