import type { BackupListWire } from '../api/schema/backup.ts';
import type { BackupType } from '../model/backup.ts';
import { expiringTypes } from '../model/backup.ts';
import type { ServiceClient } from './service-client.ts';

/** How many backups an instance has that go by its policy, or with it, whatever their state. */
export async function countAutomated(service: ServiceClient, instanceId: string): Promise<number> {
  let count = 0;
  for (const type of expiringTypes) count += await countOf(service, instanceId, type);
  return count;
}

/** Stretches of archived log. */
export async function countIncremental(
  service: ServiceClient,
  instanceId: string,
): Promise<number> {
  return await countOf(service, instanceId, 'incremental');
}

async function countOf(
  service: ServiceClient,
  instanceId: string,
  type: BackupType,
): Promise<number> {
  const query = new URLSearchParams({ instance_id: instanceId, backup_type: type, limit: '1' });
  return (await service.rds<BackupListWire>('GET', `/backups?${query}`)).total_count;
}

/** `1 automated backup`, `3 automated backups` */
export function describeAutomated(count: number): string {
  return `${count} automated ${count === 1 ? 'backup' : 'backups'}`;
}
