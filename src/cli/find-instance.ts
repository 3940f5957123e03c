import type {
  RegisteredInstanceListWire,
  RegisteredInstanceWire,
} from '../api/schema/registered-instance.ts';
import { CairnError } from '../model/errors.ts';
import type { ServiceClient } from './service-client.ts';

/** People say names, programs say ids: an id wins. @throws not-found */
export async function findInstance(
  service: ServiceClient,
  idOrName: string,
): Promise<RegisteredInstanceWire> {
  const text = encodeURIComponent(idOrName);
  for (const filter of [`id=${text}`, `name=${text}`]) {
    const path = `/instances?${filter}`;
    const { instances } = await service.cairn<RegisteredInstanceListWire>('GET', path);
    const exact = instances.find(({ id, name }) => id === idOrName || name === idOrName);
    if (exact) return exact;
  }
  throw new CairnError('not-found', `there is no instance ${idOrName}`, {
    hint: 'list them with: cairn instance list',
  });
}
