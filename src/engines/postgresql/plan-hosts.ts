// Which of an instance's servers a backup and the log are taken from. Two that say they are the
// primary are never chosen between: nobody but the user knows which of them is the right one. Pure.
import { CairnError } from '../../model/errors.ts';
import type { Connection } from '../../model/instance.ts';
import type { HostLook, PrimaryLook, StandbyLook } from './host-look.ts';
import { lagMsOf } from './host-look.ts';

export type BackupHosts = {
  /** In the order to try. */
  readonly hosts: readonly { readonly connection: Connection; readonly name: string }[];
  /** Why a standby is not among them. */
  readonly reasons: readonly string[];
};

export type LogHost = {
  readonly connection: Connection;
  readonly name: string;
  /** Another says that it is the primary, too. */
  readonly warning: { readonly message: string; readonly hint: string } | null;
};

type Primary = HostLook & { readonly found: PrimaryLook };

/** A standby that is further behind is left alone: the backup would be of the past. */
export const standbyLagMaxMs = 5 * 60_000;
const splitHint = 'stop the wrong one, or take it out of the connection of the instance';

/** Standbys that are fit first, the primary last. @throws engine-refused, engine-unreachable */
export function planBackupHosts(looks: readonly HostLook[]): BackupHosts {
  const primaries = primariesOf(looks);
  if (primaries.length > 1) throw splitError(primaries);
  const [primary] = primaries;
  const refusals = looks.flatMap(({ name, found }) => {
    if (found.kind === 'primary') return [];
    const text = found.kind === 'unknown' ? found.error.message : refuseStandby(found, primary);
    return text === null ? [] : [`standby ${name}: ${text}`];
  });
  const fit = looks.filter(({ found }) => {
    return found.kind === 'standby' && refuseStandby(found, primary) === null;
  });
  const hosts = [...fit, ...primaries].map(({ connection, name }) => ({ connection, name }));
  if (hosts.length === 0) throw noPrimaryError(looks);
  return { hosts, reasons: refusals };
}

/**
 * The primary; `followed` is the log that it must go on with, null for a new one. While the primary
 * that the log is of answers, another one is warned of and not switched to.
 * @throws engine-unreachable when there is none, engine-refused when nobody can tell which
 */
export function planLogHost(
  looks: readonly HostLook[],
  followed: { readonly systemIdentifier: string; readonly timeline: number } | null,
): LogHost {
  const all = primariesOf(looks);
  const same = all.filter(({ found }) => found.systemIdentifier === followed?.systemIdentifier);
  // A server that was made anew in the place of the only one: whoever follows says so.
  const primaries = followed && (same.length > 0 || looks.length > 1) ? same : all;
  const known = primaries.filter(({ found }) => found.timeline === followed?.timeline);
  const [primary, ...others] = primaries.length > 1 ? known : primaries;
  if (primary && others.length === 0) {
    const { connection, name, found } = primary;
    if (followed && found.timeline > followed.timeline) assertNoneHides(looks, name);
    return { connection, name, warning: all.length > 1 ? splitWarning(all, name) : null };
  }
  throw primaries.length > 1 ? splitError(primaries) : noPrimaryError(looks);
}

/** @throws engine-unreachable when there is none, engine-refused when there are two */
export function planPrimary(looks: readonly HostLook[]): Connection {
  return planLogHost(looks, null).connection;
}

export function primariesOf(looks: readonly HostLook[]): readonly Primary[] {
  return looks.flatMap(({ found, ...look }) =>
    found.kind === 'primary' ? [{ ...look, found }] : [],
  );
}

/**
 * A server that answers, but does not let us in, may well be the primary that the log is of.
 * @throws engine-refused
 */
function assertNoneHides(looks: readonly HostLook[], primary: string): void {
  for (const { name, found } of looks) {
    if (found.kind !== 'unknown' || found.error.kind !== 'engine-refused') continue;
    const text = `${primary} is a primary now, and ${name} cannot be asked: ${found.error.message}`;
    throw new CairnError('engine-refused', text, { hint: splitHint, cause: found.error });
  }
}

export function splitError(primaries: readonly Primary[]): CairnError {
  return new CairnError('engine-refused', `${describePrimaries(primaries)} are primaries both`, {
    hint: splitHint,
  });
}

function splitWarning(primaries: readonly Primary[], name: string): LogHost['warning'] {
  const text = `${describePrimaries(primaries)} are primaries both`;
  return { message: `${text}; the log is taken from ${name}`, hint: splitHint };
}

function describePrimaries(primaries: readonly Primary[]): string {
  return primaries
    .map(({ name, found }) => `${name} (timeline ${found.timeline} of ${found.systemIdentifier})`)
    .join(' and ');
}

/** Null: a backup can be taken from it. */
export function refuseStandby(standby: StandbyLook, primary: Primary | undefined): string | null {
  const known = primary?.found.systemIdentifier ?? standby.systemIdentifier;
  if (standby.systemIdentifier !== known) return 'it is of another system';
  if (!standby.isStreaming) return 'it does not receive log';
  if (!standby.hasSlotRoom) return 'max_replication_slots is reached';
  const lagMs = lagMsOf(standby, primary?.found ?? null);
  if (lagMs === null) return 'nobody knows how far behind it is';
  if (lagMs <= standbyLagMaxMs) return null;
  return `it is ${Math.round(lagMs / 1000)} s behind`;
}

function noPrimaryError(looks: readonly HostLook[]): CairnError {
  const texts = looks.map(({ name, found }) => {
    if (found.kind === 'unknown') return `${name}: ${found.error.message}`;
    return `${name} is ${found.kind === 'standby' ? 'a standby' : 'a primary of another system'}`;
  });
  return new CairnError('engine-unreachable', `there is no primary: ${texts.join('; ')}`, {
    hint: 'promote a standby, or name the primary in the connection of the instance',
  });
}
