import type { InstanceId } from '../../model/ids.ts';

/** What the server keeps for an instance's archiver, by name: a replication slot. */
export function keeperNameOf(instanceId: InstanceId): string {
  return `cairn_${instanceId.toLowerCase().replaceAll(/[^a-z0-9_]/g, '_')}`.slice(0, 63);
}
