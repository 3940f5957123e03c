// Every schema with a name, so that routes can refer to it and the OpenAPI document shows it once.
import * as backup from './backup.ts';
import * as batchRestore from './batch-restore.ts';
import * as download from './download.ts';
import * as errors from './error.ts';
import * as identity from './identity.ts';
import * as instance from './instance.ts';
import * as job from './job.ts';
import * as logArchive from './log-archive.ts';
import * as logical from './logical.ts';
import * as maintenance from './maintenance.ts';
import * as offer from './offer.ts';
import * as pastContents from './past-contents.ts';
import * as policy from './policy.ts';
import * as project from './project.ts';
import * as recovery from './recovery.ts';
import * as registered from './registered-instance.ts';
import * as restore from './restore.ts';
import * as tag from './tag.ts';
import * as taskList from './task-list.ts';
import * as user from './user.ts';
import * as version from './version.ts';

const resources = [
  ...[errors, version, identity, instance, registered, backup, policy, restore, job],
  ...[recovery, offer, tag, taskList, user, project, download],
  ...[maintenance, logArchive, logical, batchRestore, pastContents],
];

export type NamedSchema = { readonly $id: string };

export const namedSchemas: readonly NamedSchema[] = resources
  .flatMap((resource) => Object.values<unknown>(resource))
  .filter(isNamed);

function isNamed(value: unknown): value is NamedSchema {
  return typeof value === 'object' && value !== null && '$id' in value;
}
