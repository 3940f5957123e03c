import type {
  RegisteredInstanceListWire,
  RegisteredInstanceWire,
} from '../api/schema/registered-instance.ts';
import { CairnError, isErrorKind } from '../model/errors.ts';
import { parseInstanceId } from '../model/ids.ts';
import type { ServiceClient } from './service-client.ts';

/** People say names, programs say ids: an id wins. @throws not-found */
export async function findInstance(
  service: ServiceClient,
  idOrName: string,
): Promise<RegisteredInstanceWire> {
  const byId = await findById(service, idOrName);
  if (byId) return byId;
  const path = `/instances?name=${encodeURIComponent(idOrName)}`;
  const { instances } = await service.cairn<RegisteredInstanceListWire>('GET', path);
  const exact = instances.find(({ name }) => name === idOrName);
  if (exact) return exact;
  throw new CairnError('not-found', `there is no instance ${idOrName}`, {
    hint: 'list them with: cairn instance list',
  });
}

async function findById(
  service: ServiceClient,
  text: string,
): Promise<RegisteredInstanceWire | null> {
  const id = parseInstanceId(text);
  if (!id) return null;
  try {
    const path = `/instances/${id}`;
    return (await service.cairn<{ instance: RegisteredInstanceWire }>('GET', path)).instance;
  } catch (error) {
    if (isErrorKind(error, 'not-found')) return null;
    throw error;
  }
}
