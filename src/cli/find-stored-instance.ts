import { isErrorKind } from '../model/errors.ts';
import { findInstance } from './find-instance.ts';
import type { ServiceClient } from './service-client.ts';

/**
 * The id of an instance; one that is gone may still have backups, and is named by its id. Whether
 * there are any is for the service to say. @throws not-found for a name that nobody has
 */
export async function findStoredInstance(
  service: ServiceClient,
  idOrName: string,
): Promise<string> {
  try {
    return (await findInstance(service, idOrName)).id;
  } catch (error) {
    if (isErrorKind(error, 'not-found') && isId(idOrName)) return idOrName;
    throw error;
  }
}

function isId(text: string): boolean {
  return /^[0-9a-f]{32}in\d\d$/.test(text);
}
