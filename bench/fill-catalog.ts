// Puts very many rows into a catalog at once, past the record sets: a million single transactions
// would take an hour. Needs a catalog that a service has made already.
import { DatabaseSync } from 'node:sqlite';
import { Client } from 'pg';

export type CatalogTarget =
  | { readonly kind: 'sqlite'; readonly path: string }
  | { readonly kind: 'postgresql'; readonly url: string };

export type Filling = {
  readonly projectId: string;
  readonly backupCount: number;
  /** The backups are spread evenly over these. */
  readonly listedInstanceCount: number;
  /** Active, without backups, in a pool that no worker serves. */
  readonly idleInstanceCount: number;
};

/** Both databases write hexadecimal alike. */
const idSql = (kind: string, n: string): string =>
  `'be0c' || substr('0000000000000000000000000000' || ${n}, -28) || '${kind}03'`;

function statements(
  filling: Filling,
  series: (count: number) => string,
  right28: string,
): string[] {
  const id = (kind: string, n: string): string =>
    right28 === 'substr' ? idSql(kind, n) : `'be0c' || lpad((${n})::text, 28, '0') || '${kind}03'`;
  const { projectId, backupCount, listedInstanceCount, idleInstanceCount } = filling;
  const owner = id('in', `(n % ${listedInstanceCount})`);
  return [
    `insert into instances (id, project_id, name, engine, status, connection, server_version,
       pool, created_at, updated_at)
     select ${id('in', 'n')}, '${projectId}', 'bench-' || n, 'postgresql', 'active',
       '{"host":"db.example.com","port":5432,"database":"postgres","user":"u","tls":"prefer",
         "tlsCaPem":null}', '16.4', 'bench-idle', 1700000000000 + n, 1700000000000 + n
     from ${series(listedInstanceCount + idleInstanceCount)}`,
    `insert into backups (id, project_id, instance_id, instance_name, engine, server_version, name,
       description, type, databases, job_id, started_at, status, ended_at, file_count,
       logical_bytes, new_bytes, stored_bytes, start_position, stop_position)
     select ${id('br', 'n')}, '${projectId}', ${owner}, 'bench', 'postgresql', '16.4',
       'bench-' || n, '', case when n % 3 = 0 then 'manual' else 'auto' end, '[]', 'job-' || n,
       1500000000000 + n * 60000, 'completed', 1500000030000 + n * 60000, 900, 25000000, 100000,
       50000, 'postgresql:1:0/3000028', 'postgresql:1:0/3000100'
     from ${series(backupCount)}`,
    `insert into backup_counts (project_id, instance_id, type, status, backup_count)
     select project_id, instance_id, type, status, count(*) from backups
     where name like 'bench-%' group by 1, 2, 3, 4`,
  ];
}

export async function fillCatalog(target: CatalogTarget, filling: Filling): Promise<void> {
  if (target.kind === 'sqlite') {
    const database = new DatabaseSync(target.path);
    const series = (count: number): string =>
      `(with recursive s(n) as (select 0 union all select n + 1 from s where n < ${count - 1})
        select n from s)`;
    database.exec('pragma synchronous = off; pragma cache_size = -200000');
    for (const text of statements(filling, series, 'substr')) database.exec(text);
    database.exec('analyze; pragma wal_checkpoint(truncate)');
    database.close();
    return;
  }
  const client = new Client({ connectionString: target.url });
  await client.connect();
  const series = (count: number): string => `generate_series(0::bigint, ${count - 1}) as n`;
  try {
    for (const text of statements(filling, series, 'lpad')) await client.query(text);
    await client.query('vacuum analyze');
    // What the filling left to be written is not what a create waits for.
    await client.query('checkpoint');
  } finally {
    await client.end();
  }
}

/** The id that the filling gave its n-th instance. */
export function filledInstanceId(n: number): string {
  return `be0c${String(n).padStart(28, '0')}in03`;
}
