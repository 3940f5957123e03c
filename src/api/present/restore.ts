import { engineTitles } from '../../model/engine-kind.ts';
import type { RecoveryTarget } from '../../model/recovery-target.ts';
import { majorVersion } from '../../model/server-version.ts';
import type {
  RestoreOptions,
  RestoreRequest,
  RestoreResult,
} from '../../operations/restore/request-restore.ts';
import type { RestoreRequestWire, RestoreResponseWire } from '../schema/restore.ts';
import { presentStrategy } from './strategy.ts';

type RestorePointPart = Omit<RestoreResponseWire['instance']['restore_point'], 'instance_id'>;

/**
 * Fields that mean nothing here come back as they were sent: clients compare them with their plan.
 */
export function presentRestore(
  { instance, jobId, policy }: RestoreResult,
  request: RestoreRequest,
  { body, effect }: { readonly body: RestoreRequestWire } & Pick<RestoreOptions, 'effect'>,
): RestoreResponseWire {
  const { engine } = instance;
  return {
    instance: {
      id: effect === 'check' ? '' : instance.id,
      name: instance.name,
      status: 'BUILD',
      datastore: {
        type: engineTitles[engine],
        version: majorVersion(engine, instance.serverVersion ?? ''),
      },
      port: request.port === 0 ? '' : String(request.port),
      volume: echoVolume(body.volume),
      region: echoText(body.region),
      backup_strategy: presentStrategy(policy),
      flavor_ref: echoText(body.flavor_ref),
      availability_zone: echoText(body.availability_zone),
      vpc_id: echoText(body.vpc_id),
      subnet_id: echoText(body.subnet_id),
      security_group_id: echoText(body.security_group_id),
      restore_point: {
        instance_id: request.sourceInstanceId,
        ...presentPoint(request.point),
      },
    },
    job_id: effect === 'check' ? '' : jobId,
  };
}

/** Of the targets that the family does not know the type is all that it can be told. */
function presentPoint(point: RecoveryTarget): RestorePointPart {
  switch (point.kind) {
    case 'end-of-backup':
      return { type: 'backup', backup_id: point.backupId };
    case 'time':
      return { type: 'timestamp', restore_time: point.at.getTime() };
    default:
      return { type: 'timestamp' };
  }
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
