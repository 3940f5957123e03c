import type { Engine } from './engine-kind.ts';
import type { InstanceId, ProjectId } from './ids.ts';
import type { Secret } from './secret.ts';

/** How TLS to the database is used; the words are those of libpq. */
export const tlsModes = ['disable', 'prefer', 'require', 'verify-ca', 'verify-full'] as const;
export type TlsMode = (typeof tlsModes)[number];

export type HostAddress = {
  /** A host name, an address, or a folder that holds the server's socket (begins with `/`). */
  readonly host: string;
  readonly port: number;
};

/** How many standbys an instance may have. */
export const standbysMax = 8;

/** How to reach a database server. */
export type Connection = HostAddress & {
  /**
   * Further servers of the same system, with the same users and TLS. Which of all is the primary
   * changes with a failover: it is looked up whenever it matters.
   */
  readonly standbys: readonly HostAddress[];
  readonly database: string;
  readonly user: string;
  readonly password: Secret | null;
  readonly tls: TlsMode;
  /** PEM text of the certificate authority to trust; null for the system's. */
  readonly tlsCaPem: string | null;
  /** What only this engine needs to know, in words of its own; nothing secret. */
  readonly options?: Readonly<Record<string, string>>;
};

/** What Cairn knows of a server that it started itself after a restore. */
export type ManagedServer = {
  /** The folder that Cairn made for this server; data and sockets lie inside. */
  readonly homeDir: string;
  readonly dataDir: string;
  readonly binDir: string;
};

/** Which folder of servers a home lies in, so that no other host answers for it. */
export type ServerPlace = {
  /** Lies in the folder itself and moves with it. */
  readonly serversId: string;
  /** The host that started the server: for people to find it, not to compare. */
  readonly host: string;
};

export type PlacedServer = ManagedServer & {
  /** Null: started before places were kept. */
  readonly place: ServerPlace | null;
};

export type InstanceState =
  | { readonly status: 'building' }
  | { readonly status: 'active' }
  | { readonly status: 'create-failed'; readonly reason: string }
  /**
   * A backup is being restored over it, and its old server is as it was: running, or with the
   * `failure` of an earlier restore over it, not.
   */
  | { readonly status: 'restoring'; readonly failure: string | null }
  /** The same, and its old server is stopped: whoever takes over must end with one of the two. */
  | { readonly status: 'switching' }
  /** A restore over it failed, and the server that was there could not be started again. */
  | { readonly status: 'failed'; readonly reason: string };

/** The pool of workers that instances belong to unless they name another. */
export const defaultPool = 'default';

/** One registered database server. */
export type Instance = {
  readonly id: InstanceId;
  readonly projectId: ProjectId;
  readonly name: string;
  readonly engine: Engine;
  readonly state: InstanceState;
  /** Null while a restore is still building the server. */
  readonly connection: Connection | null;
  /** The full version as the server says it (`15.18`); null until it was seen. */
  readonly serverVersion: string | null;
  /** PostgreSQL's system identifier, or what the engine has in its place. */
  readonly systemIdentifier: string | null;
  readonly managed: PlacedServer | null;
  /** Which workers can reach it. */
  readonly pool: string;
  readonly createdAt: Date;
  readonly updatedAt: Date;
};

/** An instance that a backup can be taken from. */
export type ReachableInstance = Instance & { readonly connection: Connection };
