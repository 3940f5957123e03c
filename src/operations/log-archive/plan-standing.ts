// Whether the log of an instance is to be archived, as the scheduler that asks for the job and the
// job itself see it. Pure.
import type { BackupPolicy } from '../../model/backup-policy.ts';
import type { Instance, ReachableInstance } from '../../model/instance.ts';
import { jobKinds } from '../job-payloads.ts';

export type StandingInput = {
  /** Null: it is gone. */
  readonly instance: Instance | null;
  readonly policy: BackupPolicy;
  /** Kinds of the jobs that are open on the instance. */
  readonly openKinds: readonly string[];
  readonly isOn: boolean;
  /** The engine's driver can. */
  readonly isOffered: boolean;
};

export type Standing =
  | { readonly kind: 'follow'; readonly instance: ReachableInstance }
  /** Something else has the instance, which may be followed again later. */
  | { readonly kind: 'give-way' }
  /** Nobody wants it: the server may forget what it keeps for us. */
  | { readonly kind: 'stop'; readonly reason: string };

const stronger: readonly string[] = [jobKinds.removeInstance, jobKinds.restoreInPlace];

export function planStanding(input: StandingInput): Standing {
  const { instance, policy, openKinds, isOn, isOffered } = input;
  if (!instance || openKinds.some((kind) => stronger.includes(kind))) return { kind: 'give-way' };
  const { connection, state } = instance;
  if (state.status !== 'active' || !connection) return { kind: 'give-way' };
  if (!isOn || !isOffered) {
    return { kind: 'stop', reason: 'log archiving is switched off for this service' };
  }
  if (policy.kind === 'off') return { kind: 'stop', reason: 'the backup policy was switched off' };
  return { kind: 'follow', instance: { ...instance, connection } };
}
