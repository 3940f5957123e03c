// Ids are opaque to clients. Ours follow the shape that RDS clients have seen for years: 32
// lower-case hex digits, two letters for the kind (`in` instance, `br` backup) and two digits for
// the engine.
import type { Engine } from './engine-kind.ts';
import { engineDigits } from './engine-kind.ts';

declare const brand: unique symbol;
export type Brand<Base, Name extends string> = Base & { readonly [brand]: Name };

export type ProjectId = Brand<string, 'ProjectId'>;
export type InstanceId = Brand<string, 'InstanceId'>;
export type BackupId = Brand<string, 'BackupId'>;
export type JobId = Brand<string, 'JobId'>;
export type UserId = Brand<string, 'UserId'>;
/** A gap-free run of an instance's archived log. */
export type LogStreamId = Brand<string, 'LogStreamId'>;

/** 32 lower-case hex digits, from `Random.hex(16)`. */
export type HexSource = () => string;

export function newInstanceId(hex: HexSource, engine: Engine): InstanceId {
  return `${hex()}in${engineDigits[engine]}` as InstanceId;
}

export function newBackupId(hex: HexSource, engine: Engine): BackupId {
  return `${hex()}br${engineDigits[engine]}` as BackupId;
}

/** Ordered by the moment they were made, so that a listing shows the oldest first. */
export function newLogStreamId(hex: HexSource, now: Date): LogStreamId {
  return `${now.getTime().toString(16).padStart(12, '0')}-${hex().slice(0, 8)}` as LogStreamId;
}

/** A dashed UUID shape, as the clients' documents show for jobs. */
export function newJobId(hex: HexSource): JobId {
  return hex().replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5') as JobId;
}

export function newProjectId(hex: HexSource): ProjectId {
  return hex() as ProjectId;
}

export function newUserId(hex: HexSource): UserId {
  return hex() as UserId;
}

/** Ids name folders of the repository, so only this alphabet may reach it. */
const idPattern = /^[0-9A-Za-z-]{1,64}$/;

export function parseProjectId(text: string): ProjectId | null {
  return idPattern.test(text) ? (text as ProjectId) : null;
}
export function parseInstanceId(text: string): InstanceId | null {
  return idPattern.test(text) ? (text as InstanceId) : null;
}
export function parseBackupId(text: string): BackupId | null {
  return idPattern.test(text) ? (text as BackupId) : null;
}
export function parseJobId(text: string): JobId | null {
  return idPattern.test(text) ? (text as JobId) : null;
}
export function parseLogStreamId(text: string): LogStreamId | null {
  return idPattern.test(text) ? (text as LogStreamId) : null;
}
