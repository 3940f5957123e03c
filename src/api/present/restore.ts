import { engineTitles } from '../../model/engine-kind.ts';
import { majorVersion } from '../../model/server-version.ts';
import type { RestoreRequest, RestoreResult } from '../../operations/restore/request-restore.ts';
import type { RestoreRequestWire, RestoreResponseWire } from '../schema/restore.ts';

/**
 * Fields that mean nothing here come back as they were sent: clients compare them with their plan.
 */
export function presentRestore(
  { instance, jobId }: RestoreResult,
  request: RestoreRequest,
  body: RestoreRequestWire,
): RestoreResponseWire {
  const { engine } = instance;
  return {
    instance: {
      id: instance.id,
      name: instance.name,
      status: 'BUILD',
      datastore: {
        type: engineTitles[engine],
        version: majorVersion(engine, instance.serverVersion ?? ''),
      },
      port: request.port === 0 ? '' : String(request.port),
      volume: echoVolume(body.volume),
      region: echoText(body.region),
      backup_strategy: { start_time: '', keep_days: 0 },
      flavor_ref: echoText(body.flavor_ref),
      availability_zone: echoText(body.availability_zone),
      vpc_id: echoText(body.vpc_id),
      subnet_id: echoText(body.subnet_id),
      security_group_id: echoText(body.security_group_id),
      restore_point: {
        instance_id: request.sourceInstanceId,
        type: 'backup',
        backup_id: request.point.kind === 'end-of-backup' ? request.point.backupId : '',
      },
    },
    job_id: jobId,
  };
}

function echoText(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function echoVolume(value: unknown): { type: string; size: number } {
  const volume = typeof value === 'object' && value !== null ? value : {};
  const type = 'type' in volume ? echoText(volume.type) : '';
  const size = 'size' in volume ? Number(volume.size) : 0;
  return { type, size: Number.isSafeInteger(size) ? size : 0 };
}
