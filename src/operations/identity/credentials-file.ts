// The file that the command line logs in with; the first start of a catalog makes it.
import type { Catalog } from '../../catalog/catalog.ts';
import type { ProjectId } from '../../model/ids.ts';
import type { Clock } from '../../platform/clock.ts';
import { readFileIfPresent, writePrivateFile } from '../../platform/private-file.ts';
import type { Random } from '../../platform/random.ts';
import { bootstrapIdentity, defaultNames } from './bootstrap-identity.ts';

type Parts = { readonly catalog: Catalog; readonly random: Random; readonly clock: Clock };

export type CredentialsPlace = {
  readonly path: string;
  readonly endpoint: string;
  readonly region: string;
};

/**
 * Makes the first project and its administrator, when there is no project; answers whether it did.
 * The credentials are written before the catalog commits: there is never an administrator nobody
 * knows. `projectId`: that of a project which existed before.
 */
export async function makeCredentials(
  parts: Parts,
  { path, endpoint, region }: CredentialsPlace,
  projectId?: ProjectId,
): Promise<boolean> {
  const save: Parameters<typeof bootstrapIdentity>[1] = async (credentials) => {
    const record = {
      endpoint,
      region,
      project_id: credentials.project.id,
      domain: credentials.domainName,
      user: credentials.userName,
      password: credentials.password.reveal(),
      access_key: credentials.accessKey,
      secret_key: credentials.secretKey.reveal(),
    };
    await writePrivateFile(path, `${JSON.stringify(record, null, 2)}\n`, parts.random);
  };
  return (await bootstrapIdentity(parts, save, defaultNames, projectId)) !== null;
}

/** The port may be another than last time. */
export async function refreshEndpoint(
  { path, endpoint }: Pick<CredentialsPlace, 'path' | 'endpoint'>,
  random: Random,
): Promise<void> {
  const text = await readFileIfPresent(path);
  if (text === null) return;
  const record: unknown = JSON.parse(text);
  if (typeof record !== 'object' || record === null) return;
  if ('endpoint' in record && record.endpoint === endpoint) return;
  const refreshed = { ...record, endpoint };
  await writePrivateFile(path, `${JSON.stringify(refreshed, null, 2)}\n`, random);
}
