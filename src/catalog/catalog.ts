// The catalog: what Cairn knows besides the backups themselves. Kysely queries written once; SQLite
// and PostgreSQL differ in `dialect.ts` only. Everything that belongs together is written in one
// transaction: `catalog.transaction(tx => …)`; `tx` has the record sets of the catalog itself.
//
// Times are epoch milliseconds, booleans 0/1, JSON is text: the same in both databases. Secrets
// (passwords of instances, secret keys) are wrapped with the master key before they are written.
import type { Backup, BackupState, BackupStatus, BackupType } from '../model/backup.ts';
import type { BackupPolicy } from '../model/backup-policy.ts';
import type { RecordedError } from '../model/errors.ts';
import type { BackupId, InstanceId, JobId, ProjectId, UserId } from '../model/ids.ts';
import type { Instance, InstanceState } from '../model/instance.ts';
import type { Job, JobPayload, JobProgress, JobStatus } from '../model/job.ts';
import type { Role } from '../model/permission.ts';
import type { Secret } from '../model/secret.ts';
import type { IntervalRecords } from './intervals.ts';
import type { LogStreamRecords } from './log-streams.ts';
import type { SecretRecords } from './secrets.ts';

/** `total` counts all rows that match, not the page. */
export type Page<T> = { readonly items: readonly T[]; readonly total: number };
export type PageRequest = { readonly offset: number; readonly limit: number };

export type Project = { readonly id: ProjectId; readonly name: string; readonly domainId: string };

export type User = {
  readonly id: UserId;
  readonly name: string;
  readonly domainId: string;
  readonly domainName: string;
  /** `scrypt$N$r$p$salt$hash`; checked by `operations/identity`. */
  readonly passwordHash: string;
  readonly createdAt: Date;
};

export type AccessKey = {
  readonly accessKey: string;
  readonly secretKey: Secret;
  readonly userId: UserId;
  readonly createdAt: Date;
};

/** What a user may do in one project, or with null in every project of the domain. */
export type Grant = {
  readonly userId: UserId;
  readonly projectId: ProjectId | null;
  readonly role: Role;
};

/** Failed logins of one user name or access key, in a row. */
export type LoginFailures = { readonly count: number; readonly lastFailedAt: Date };

/** A token is stored as the SHA-256 of its text, so that a copy of the catalog opens nothing. */
export type Token = {
  readonly hash: string;
  readonly userId: UserId;
  /** Null: scoped to the domain. */
  readonly projectId: ProjectId | null;
  readonly issuedAt: Date;
  readonly expiresAt: Date;
};

export type ProjectGrants = { readonly project: Project; readonly grants: readonly Grant[] };

export interface IdentityRecords {
  findProject(id: ProjectId): Promise<Project | null>;
  findProjectByName(name: string): Promise<Project | null>;
  listProjects(): Promise<readonly Project[]>;
  insertProject(project: Project): Promise<void>;
  /** Inside a transaction nobody else changes the user until its end. */
  findUser(id: UserId): Promise<User | null>;
  /** Names are unique within a domain. */
  findUserByName(domainName: string, name: string): Promise<User | null>;
  /** By name. */
  listUsers(domainId: string): Promise<readonly User[]>;
  /** @throws conflict when the name is taken */
  insertUser(user: User): Promise<void>;
  setPasswordHash(id: UserId, passwordHash: string): Promise<void>;
  /** With its access keys, tokens and grants. */
  deleteUser(id: UserId): Promise<void>;
  deleteProject(id: ProjectId): Promise<void>;
  listGrants(userId: UserId): Promise<readonly Grant[]>;
  /** The project, with the user's grants in it and in every project: every request asks. */
  findProjectGrants(id: ProjectId, userId: UserId): Promise<ProjectGrants | null>;
  /** Every grant of the users of a domain. */
  listDomainGrants(domainId: string): Promise<readonly Grant[]>;
  /** Replaces what the user had there. */
  setGrant(grant: Grant): Promise<void>;
  deleteGrant(userId: UserId, projectId: ProjectId | null): Promise<void>;
  findAccessKey(accessKey: string): Promise<AccessKey | null>;
  /** Oldest first. */
  listAccessKeys(userId: UserId): Promise<readonly AccessKey[]>;
  insertAccessKey(key: AccessKey): Promise<void>;
  deleteAccessKey(accessKey: string): Promise<void>;
  /** Both in one statement: every request asks. */
  findToken(hash: string): Promise<{ readonly token: Token; readonly user: User } | null>;
  insertToken(token: Token): Promise<void>;
  deleteToken(hash: string): Promise<void>;
  /** After a change of password nobody stays logged in. */
  deleteTokens(userId: UserId): Promise<void>;
  deleteExpiredTokens(now: Date): Promise<void>;
  findLoginFailures(login: string): Promise<LoginFailures | null>;
  /** Counts one more and answers how many there are now; those before `since` are forgotten. */
  addLoginFailure(login: string, at: Date, since: Date): Promise<number>;
  clearLoginFailures(login: string): Promise<void>;
}

/** What a create with a client token was answered with. */
export type ClientTokenUse = {
  readonly projectId: ProjectId;
  readonly token: string;
  /** SHA-256 of what was asked for: the same token with another request is an error. */
  readonly requestHash: string;
  readonly instanceId: InstanceId;
  readonly jobId: JobId;
  readonly createdAt: Date;
};

export interface ClientTokenRecords {
  find(projectId: ProjectId, token: string): Promise<ClientTokenUse | null>;
  /** @throws conflict when another request used the token at the same moment */
  insert(use: ClientTokenUse): Promise<void>;
  deleteOlderThan(at: Date): Promise<void>;
}

export type OffsiteEntry = {
  readonly backupType: 'auto' | 'incremental' | 'all';
  readonly keepDays: number;
  readonly destinationRegion: string;
  readonly destinationProjectId: string;
};

/** The policies of one instance and how far its schedule has come. */
export type PolicyRecord = {
  readonly instanceId: InstanceId;
  readonly projectId: ProjectId;
  readonly policy: BackupPolicy;
  /** Windows that opened before are nobody's. */
  readonly effectiveAt: Date;
  /** The opening of the last window that a backup was asked for. */
  readonly lastWindowAt: Date | null;
  readonly lastBackupId: BackupId | null;
  /** Backups asked for in that window: more than one when one has failed. */
  readonly attemptCount: number;
  readonly offsite: readonly OffsiteEntry[];
  /** How much log makes one incremental backup. */
  readonly logIntervalMinutes: number;
};

export interface PolicyRecords {
  /** Inside a transaction nobody else changes it until its end. */
  find(instanceId: InstanceId): Promise<PolicyRecord | null>;
  /** Inserts or replaces. */
  put(record: PolicyRecord): Promise<void>;
  /** Those that are on, of every project, in the order of their instances. */
  listActive(page: PageRequest): Promise<readonly PolicyRecord[]>;
  /** Those with an off-site policy, of every project, in the order of their instances. */
  listOffsite(page: PageRequest): Promise<readonly PolicyRecord[]>;
  /** Those of the given instances, for a list that shows them. */
  listFor(instanceIds: readonly InstanceId[]): Promise<readonly PolicyRecord[]>;
  delete(instanceId: InstanceId): Promise<void>;
}

export type Tag = { readonly key: string; readonly value: string };
export type InstanceTag = Tag & { readonly instanceId: InstanceId };

export interface TagRecords {
  /** By key. */
  list(instanceIds: readonly InstanceId[]): Promise<readonly InstanceTag[]>;
  /** Every pair that the project's instances have, each once, by key and value. */
  listOfProject(projectId: ProjectId): Promise<readonly Tag[]>;
  /** Inserts or replaces the value. */
  put(projectId: ProjectId, tag: InstanceTag): Promise<void>;
  /** With a value, only where the tag has that value. */
  delete(instanceId: InstanceId, key: string, value: string | null): Promise<void>;
  deleteAll(instanceId: InstanceId): Promise<void>;
}

export type InstanceFilter = {
  readonly projectId: ProjectId;
  readonly id?: string;
  /** `*text` matches anywhere in the name, else the whole name, case-sensitively. */
  readonly name?: string;
  readonly engine?: string;
  readonly ids?: readonly string[];
  /** Every one of them must be there. */
  readonly tags?: readonly Tag[];
};

export interface InstanceRecords {
  /** @throws conflict when the project has an instance of that name */
  insert(instance: Instance): Promise<void>;
  /** Inside a transaction nobody else changes the instance until its end. */
  find(projectId: ProjectId, id: InstanceId): Promise<Instance | null>;
  /** @throws not-found */
  get(projectId: ProjectId, id: InstanceId): Promise<Instance>;
  /** Newest first. */
  list(filter: InstanceFilter, page: PageRequest): Promise<Page<Instance>>;
  /** Replaces everything but id, project and creation time. @throws not-found */
  update(instance: Instance): Promise<void>;
  /** @throws not-found */
  setState(id: InstanceId, state: InstanceState, at: Date): Promise<void>;
  /** Inside a transaction everybody else who counts waits for its end. */
  count(projectId: ProjectId): Promise<number>;
  delete(id: InstanceId): Promise<void>;
}

export type BackupFilter = {
  readonly projectId: ProjectId;
  readonly instanceId?: string;
  readonly backupId?: string;
  readonly type?: BackupType;
  readonly status?: BackupStatus;
  /** Leaves those of chosen databases out. */
  readonly isWholeServer?: true;
  /** Both bounds included, on `startedAt`. */
  readonly startedFrom?: Date;
  readonly startedTo?: Date;
};

export interface BackupRecords {
  /** @throws conflict when the name is taken, or another backup of the instance is building */
  insert(backup: Backup): Promise<void>;
  /**
   * Inside a transaction nobody else changes the backup until its end. Backups before instances:
   * whoever reads both keeps to that order.
   */
  find(projectId: ProjectId, id: BackupId): Promise<Backup | null>;
  /** @throws not-found */
  get(projectId: ProjectId, id: BackupId): Promise<Backup>;
  /** Instances that have backups, also those that are gone themselves. */
  listInstanceIds(projectId: ProjectId): Promise<readonly InstanceId[]>;
  /** Newest `startedAt` first, id as the tie-breaker. */
  list(filter: BackupFilter, page: PageRequest): Promise<Page<Backup>>;
  /** A name counts as taken while its backup is neither deleting nor gone. Case-sensitive. */
  isNameTaken(projectId: ProjectId, name: string): Promise<boolean>;
  findBuilding(instanceId: InstanceId): Promise<Backup | null>;
  /**
   * The newest completed full backup of the whole server, or of exactly those databases: the one
   * the next backup compares its pages with. `any`: whatever it holds.
   */
  findLatestCompleted(
    instanceId: InstanceId,
    databases?: readonly string[] | 'any',
  ): Promise<Backup | null>;
  /** @throws not-found */
  setState(id: BackupId, state: BackupState): Promise<void>;
  delete(id: BackupId): Promise<void>;
}

export type NewJob = {
  readonly id: JobId;
  readonly projectId: ProjectId;
  readonly kind: string;
  readonly pool: string;
  readonly instanceId: InstanceId | null;
  readonly instanceName: string;
  readonly payload: JobPayload;
  readonly attemptsMax: number;
  readonly createdAt: Date;
};

export type JobFilter = {
  readonly projectId: ProjectId;
  readonly id?: string;
  readonly instanceId?: string;
  readonly kind?: string;
  readonly exceptKinds?: readonly string[];
  readonly statuses?: readonly JobStatus[];
  /** Both bounds included, on `createdAt`. */
  readonly createdFrom?: Date;
  readonly createdTo?: Date;
};

/** What a worker asks for when it looks for work. */
export type ClaimRequest = {
  readonly owner: string;
  readonly pools: readonly string[];
  /**
   * A job is claimable only while no job of a listed kind runs, or has been waiting for longer, on
   * the same instance. Read in both directions. Kinds that are not listed conflict with nothing.
   */
  readonly conflicts: Readonly<Record<string, readonly string[]>>;
  /** Kinds that the worker has no room for now. */
  readonly exceptKinds?: readonly string[];
  readonly now: Date;
  readonly leaseExpiresAt: Date;
};

/** Identifies one attempt: writes that carry a stale one are refused. */
export type Lease = { readonly jobId: JobId; readonly owner: string; readonly fence: number };

export type JobOutcome =
  | { readonly status: 'succeeded' }
  | { readonly status: 'failed' | 'cancelled'; readonly error: RecordedError };

export interface JobRecords {
  insert(job: NewJob): Promise<void>;
  find(projectId: ProjectId, id: JobId): Promise<Job | null>;
  /** Newest first. */
  list(filter: JobFilter, page: PageRequest): Promise<Page<Job>>;
  /** Jobs of that kind on the instance that have not ended. */
  listOpen(instanceId: InstanceId): Promise<readonly Job[]>;
  /** The project's jobs of these kinds that have not ended, on whatever instance. */
  listOpenByKind(projectId: ProjectId, kinds: readonly string[]): Promise<readonly Job[]>;
  /** Deletes at most `limit` jobs that ended before; answers how many. */
  deleteEndedBefore(at: Date, limit: number): Promise<number>;
  /** The oldest claimable job, now running under a new fence; null when there is none. */
  claim(request: ClaimRequest): Promise<Job | null>;
  /**
   * False when the lease is stale: the worker must stop at once. Says also whether a cancel was
   * asked for.
   */
  renew(
    lease: Lease,
    leaseExpiresAt: Date,
    progress: JobProgress | null,
  ): Promise<{ held: boolean; cancelRequested: boolean }>;
  /** @throws conflict when the lease is stale. Call it inside the transaction that writes. */
  assertLease(lease: Lease): Promise<void>;
  /** Ends the attempt for good. @throws conflict when the lease is stale */
  end(lease: Lease, outcome: JobOutcome, at: Date): Promise<void>;
  /**
   * Gives the job back for another attempt, not before the given time. @throws conflict when stale
   */
  retry(lease: Lease, error: RecordedError, notBefore: Date): Promise<void>;
  /**
   * Gives the job back as if the attempt had not begun: an orderly stop of the worker costs no
   * attempt. The fence stays used. @throws conflict when stale
   */
  giveBack(lease: Lease, notBefore: Date): Promise<void>;
  /** What the job has found. Call it inside the transaction that has asserted the lease. */
  setResult(id: JobId, result: JobPayload): Promise<void>;
  /**
   * Jobs whose worker is gone: running with an expired lease, or leased by one of the given dead
   * owners. They stay as they are; the caller decides on each one under `takeOver`.
   */
  listAbandoned(now: Date, deadOwners: readonly string[]): Promise<readonly Job[]>;
  /**
   * Takes an abandoned job's lease so that exactly one caller decides. Null when another was first.
   */
  takeOver(job: Job, owner: string, leaseExpiresAt: Date): Promise<Lease | null>;
  /**
   * A queued job ends at once as cancelled (true): the caller marks what it was about, in the same
   * transaction. A running one gets the flag (false), one that has ended stays as it is (false).
   * @throws not-found
   */
  requestCancel(id: JobId, at: Date): Promise<{ ended: boolean }>;
}

export interface PruneRecords {
  /** Objects that nothing needed, and since when that is known. */
  listCandidates(instanceId: InstanceId): Promise<ReadonlyMap<string, Date>>;
  /** Those that are there keep their time. */
  addCandidates(instanceId: InstanceId, names: readonly string[], at: Date): Promise<void>;
  forgetCandidates(instanceId: InstanceId, names: readonly string[]): Promise<void>;
  /** Instances with backups whose last turn was not after that moment. */
  listDue(
    before: Date,
    limit: number,
  ): Promise<readonly { readonly projectId: ProjectId; readonly instanceId: InstanceId }[]>;
  /** Of several callers one gets true: none had a turn after `before`. */
  takeTurn(instanceId: InstanceId, before: Date, at: Date): Promise<boolean>;
}

export interface SettingRecords {
  find(key: string): Promise<string | null>;
  /** Writes unless the key is there; answers the value that counts. */
  ensure(key: string, value: string): Promise<string>;
}

/** The record sets, inside or outside a transaction. */
export interface CatalogSession {
  readonly identity: IdentityRecords;
  readonly instances: InstanceRecords;
  readonly backups: BackupRecords;
  readonly jobs: JobRecords;
  readonly secrets: SecretRecords;
  readonly settings: SettingRecords;
  readonly policies: PolicyRecords;
  readonly prune: PruneRecords;
  readonly intervals: IntervalRecords;
  readonly logStreams: LogStreamRecords;
  readonly tags: TagRecords;
  readonly clientTokens: ClientTokenRecords;
}

export interface Catalog extends CatalogSession {
  /** All or nothing, serialised against other writers of the same rows. Not nested. */
  transaction<T>(work: (tx: CatalogSession) => Promise<T>): Promise<T>;
  /** Answers when a trivial query does. @throws storage-unavailable */
  ping(): Promise<void>;
  close(): Promise<void>;
}
