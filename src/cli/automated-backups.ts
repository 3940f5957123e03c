import type { BackupListWire } from '../api/schema/backup.ts';
import type { ServiceClient } from './service-client.ts';

/** How many automated full backups an instance has, whatever their state. */
export async function countAutomated(service: ServiceClient, instanceId: string): Promise<number> {
  return await countOf(service, instanceId, 'auto');
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
  type: 'auto' | 'incremental',
): Promise<number> {
  const query = new URLSearchParams({ instance_id: instanceId, backup_type: type, limit: '1' });
  return (await service.rds<BackupListWire>('GET', `/backups?${query}`)).total_count;
}

/** `1 automated backup`, `3 automated backups` */
export function describeAutomated(count: number): string {
  return `${count} automated ${count === 1 ? 'backup' : 'backups'}`;
}
