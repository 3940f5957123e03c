// Every schema with a name, so that routes can refer to it and the OpenAPI document shows it once.
import * as backup from './backup.ts';
import * as errors from './error.ts';
import * as identity from './identity.ts';
import * as instance from './instance.ts';
import * as job from './job.ts';
import * as registered from './registered-instance.ts';
import * as restore from './restore.ts';
import * as version from './version.ts';

const resources = [errors, version, identity, instance, registered, backup, restore, job];

export type NamedSchema = { readonly $id: string };

export const namedSchemas: readonly NamedSchema[] = resources
  .flatMap((resource) => Object.values<unknown>(resource))
  .filter(isNamed);

function isNamed(value: unknown): value is NamedSchema {
  return typeof value === 'object' && value !== null && '$id' in value;
}
