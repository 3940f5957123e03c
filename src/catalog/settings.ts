import type { SettingRecords } from './catalog.ts';
import type { CatalogDatabase } from './dialect.ts';

export function settingRecords({ db }: CatalogDatabase): SettingRecords {
  const find = async (key: string): Promise<string | null> => {
    const row = await db
      .selectFrom('settings')
      .select('value')
      .where('key', '=', key)
      .executeTakeFirst();
    return row?.value ?? null;
  };
  return {
    find,
    async ensure(key, value) {
      await db
        .insertInto('settings')
        .values({ key, value })
        .onConflict((conflict) => conflict.column('key').doNothing())
        .execute();
      return (await find(key)) ?? value;
    },
  };
}
