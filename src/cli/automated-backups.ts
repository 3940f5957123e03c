import type { BackupListWire } from '../api/schema/backup.ts';
import type { ServiceClient } from './service-client.ts';

/** How many automated backups an instance has, whatever their state. */
export async function countAutomated(service: ServiceClient, instanceId: string): Promise<number> {
  const query = new URLSearchParams({ instance_id: instanceId, backup_type: 'auto', limit: '1' });
  return (await service.rds<BackupListWire>('GET', `/backups?${query}`)).total_count;
}

/** `1 automated backup`, `3 automated backups` */
export function describeAutomated(count: number): string {
  return `${count} automated ${count === 1 ? 'backup' : 'backups'}`;
}
