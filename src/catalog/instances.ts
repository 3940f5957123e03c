import type { SqlBool } from 'kysely';
import { sql } from 'kysely';
import { engines } from '../model/engine-kind.ts';
import { CairnError } from '../model/errors.ts';
import type { InstanceId, ProjectId } from '../model/ids.ts';
import type {
  Connection,
  HostAddress,
  Instance,
  InstanceState,
  PlacedServer,
  ServerPlace,
} from '../model/instance.ts';
import { tlsModes } from '../model/instance.ts';
import type { MasterKey } from '../platform/master-key.ts';
import type { InstanceFilter, InstanceRecords } from './catalog.ts';
import { explainConflict } from './catalog-errors.ts';
import type { CatalogDatabase } from './dialect.ts';
import { countRows, readNewest } from './paging.ts';
import { damagedRow, readNumber, readObject, readText, readWord } from './row-values.ts';
import type { InstanceRow } from './schema.ts';
import { unwrapSecret, wrapSecret } from './wrapped-secret.ts';

export function instanceRecords(
  { db, traits }: CatalogDatabase,
  masterKey: MasterKey,
): InstanceRecords {
  const find = async (projectId: ProjectId, id: InstanceId): Promise<Instance | null> => {
    const row = await db
      .selectFrom('instances')
      .selectAll()
      .where('id', '=', id)
      .where('project_id', '=', projectId)
      .$if(traits.hasRowLocks && db.isTransaction, (query) => query.forUpdate())
      .executeTakeFirst();
    return row ? toInstance(row, masterKey) : null;
  };
  return {
    find,
    async insert(instance) {
      const insert = db.insertInto('instances').values(toRow(instance, masterKey));
      await explainConflict(insert.execute(), nameTaken(instance));
    },
    async get(projectId, id) {
      const instance = await find(projectId, id);
      if (!instance) throw missingInstance(id);
      return instance;
    },
    async list(filter, page) {
      const matching = selectMatching(db, filter);
      const rows = await readNewest(matching.selectAll(), 'created_at', page);
      return {
        items: rows.map((row) => toInstance(row, masterKey)),
        total: await countRows(matching),
      };
    },
    async update(instance) {
      const { id, project_id, created_at: _, ...changes } = toRow(instance, masterKey);
      const update = db
        .updateTable('instances')
        .set(changes)
        .where('id', '=', id)
        .where('project_id', '=', project_id);
      const result = await explainConflict(update.executeTakeFirst(), nameTaken(instance));
      if (result.numUpdatedRows === 0n) throw missingInstance(instance.id);
    },
    async setState(id, state, at) {
      const result = await db
        .updateTable('instances')
        .set({ ...toStateColumns(state), updated_at: at.getTime() })
        .where('id', '=', id)
        .executeTakeFirst();
      if (result.numUpdatedRows === 0n) throw missingInstance(id);
    },
    async count(projectId) {
      if (db.isTransaction) await traits.lock(db, `instances of ${projectId}`);
      return await countRows(selectMatching(db, { projectId }));
    },
    async delete(id) {
      await db.deleteFrom('instances').where('id', '=', id).execute();
    },
  };
}

function selectMatching(db: CatalogDatabase['db'], filter: InstanceFilter) {
  const { id, ids, name, engine } = filter;
  let query = db.selectFrom('instances').where('project_id', '=', filter.projectId);
  if (id !== undefined) query = query.where('id', '=', id);
  if (ids !== undefined) query = query.where('id', 'in', [...ids]);
  if (engine !== undefined) query = query.where('engine', '=', engine);
  if (name?.startsWith('*')) query = query.where(nameContains(name.slice(1)));
  else if (name !== undefined) query = query.where('name', '=', name);
  for (const { key, value } of filter.tags ?? []) {
    query = query.where((eb) =>
      eb.exists(
        eb
          .selectFrom('tags')
          .select('key')
          .whereRef('tags.instance_id', '=', 'instances.id')
          .where('tags.key', '=', key)
          .where('tags.value', '=', value),
      ),
    );
  }
  return query;
}

/** LIKE ignores case in SQLite and not in PostgreSQL; taking the text out minds it in both. */
function nameContains(text: string) {
  if (text === '') return sql<SqlBool>`1 = 1`;
  return sql<SqlBool>`replace(${sql.ref('name')}, ${text}, '') <> ${sql.ref('name')}`;
}

function missingInstance(id: string): CairnError {
  return new CairnError('not-found', `instance ${id} does not exist`);
}

function nameTaken({ name }: Instance): Record<string, string> {
  return { instances_project_id_name: `an instance named ${name} exists in the project` };
}

export function passwordPurpose(id: string): string {
  return `password of instance ${id}`;
}

function toRow(instance: Instance, masterKey: MasterKey): InstanceRow {
  const { connection, managed } = instance;
  const password = connection?.password ?? null;
  return {
    id: instance.id,
    project_id: instance.projectId,
    name: instance.name,
    engine: instance.engine,
    ...toStateColumns(instance.state),
    connection: connection && formatConnection(connection),
    wrapped_password: password && wrapSecret(masterKey, password, passwordPurpose(instance.id)),
    server_version: instance.serverVersion,
    system_identifier: instance.systemIdentifier,
    managed: managed && JSON.stringify(managed),
    pool: instance.pool,
    created_at: instance.createdAt.getTime(),
    updated_at: instance.updatedAt.getTime(),
  };
}

function formatConnection({ password: _, ...visible }: Connection): string {
  return JSON.stringify(visible);
}

function toStateColumns(state: InstanceState): Pick<InstanceRow, 'status' | 'failure_reason'> {
  return {
    status: state.status,
    failure_reason: failureOf(state),
  };
}

function failureOf(state: InstanceState): string | null {
  if (state.status === 'restoring') return state.failure;
  return 'reason' in state ? state.reason : null;
}

function toInstance(row: InstanceRow, masterKey: MasterKey): Instance {
  return {
    id: row.id as InstanceId,
    projectId: row.project_id as ProjectId,
    name: row.name,
    engine: readWord(engines, row.engine, 'instances.engine'),
    state: toState(row),
    connection: toConnection(row, masterKey),
    serverVersion: row.server_version,
    systemIdentifier: row.system_identifier,
    managed: row.managed === null ? null : toManaged(row.managed),
    pool: row.pool,
    createdAt: new Date(row.created_at),
    updatedAt: new Date(row.updated_at),
  };
}

function toState(row: InstanceRow): InstanceState {
  switch (row.status) {
    case 'building':
    case 'active':
    case 'switching':
      return { status: row.status };
    case 'restoring':
      return { status: row.status, failure: row.failure_reason };
    case 'create-failed':
    case 'failed':
      return { status: row.status, reason: row.failure_reason ?? '' };
    default:
      throw damagedRow('instances.status');
  }
}

function toConnection(row: InstanceRow, masterKey: MasterKey): Connection | null {
  if (row.connection === null) return null;
  const place = 'instances.connection';
  const value = readObject(row.connection, place);
  const wrapped = row.wrapped_password;
  return {
    host: readText(value['host'], place),
    port: readNumber(value['port'], place),
    standbys: toStandbys(value['standbys'], place),
    database: readText(value['database'], place),
    user: readText(value['user'], place),
    password: wrapped === null ? null : unwrapSecret(masterKey, wrapped, passwordPurpose(row.id)),
    tls: readWord(tlsModes, value['tls'], place),
    tlsCaPem: value['tlsCaPem'] === null ? null : readText(value['tlsCaPem'], place),
    ...toOptions(value['options'], place),
  };
}

/** Rows from before there were standbys have none. */
function toStandbys(value: unknown, place: string): readonly HostAddress[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) throw damagedRow(place);
  return value.map((each: Readonly<Record<string, unknown>>) => ({
    host: readText(each['host'], place),
    port: readNumber(each['port'], place),
  }));
}

function toOptions(value: unknown, place: string): Pick<Connection, 'options'> {
  if (value === undefined) return {};
  if (typeof value !== 'object' || value === null) throw damagedRow(place);
  const pairs = Object.entries(value).map(([name, text]) => [name, readText(text, place)]);
  return { options: Object.fromEntries(pairs) };
}

function toManaged(text: string): PlacedServer {
  const where = 'instances.managed';
  const value = readObject(text, where);
  return {
    homeDir: readText(value['homeDir'], where),
    dataDir: readText(value['dataDir'], where),
    binDir: readText(value['binDir'], where),
    place: toPlace(value['place']),
  };
}

function toPlace(value: unknown): ServerPlace | null {
  const where = 'instances.managed.place';
  if (value === undefined || value === null) return null;
  const { serversId, host } = value as Record<string, unknown>;
  return { serversId: readText(serversId, where), host: readText(host, where) };
}
