// What must be known to start a server of ours again lies in its own folder, written once when the
// folder was restored: the configuration follows from it, from the port and from this host.
import { join } from 'node:path';
import { CairnError } from '../../model/errors.ts';
import type { ManagedServer } from '../../model/instance.ts';
import { readFileIfPresent, writePrivateFile } from '../../platform/private-file.ts';
import type { Random } from '../../platform/random.ts';
import type { Settings } from './server-config.ts';

export type ServerFacts = {
  readonly serverVersion: string;
  /** The server's program, absolute. */
  readonly program: string;
  readonly settings: Settings;
  /** Its own, so that it is taken for no other in a replication. */
  readonly serverId: number;
};

const pathOf = (homeDir: string): string => join(homeDir, 'cairn-server.json');

export async function writeServerFacts(
  homeDir: string,
  facts: ServerFacts,
  random: Random,
): Promise<void> {
  await writePrivateFile(pathOf(homeDir), `${JSON.stringify(facts)}\n`, random);
}

export async function hasServerFacts({ homeDir }: ManagedServer): Promise<boolean> {
  return (await readFileIfPresent(pathOf(homeDir))) !== null;
}

/** @throws engine-refused when the folder is none of ours */
export async function readServerFacts(homeDir: string): Promise<ServerFacts> {
  const text = await readFileIfPresent(pathOf(homeDir));
  if (text === null) {
    throw new CairnError('engine-refused', `${pathOf(homeDir)} is missing`, {
      hint: 'without it nobody knows how the server was started',
    });
  }
  const { serverVersion, program, settings, serverId } = JSON.parse(text) as ServerFacts;
  return { serverVersion, program, settings, serverId };
}

/** Any but zero and those that people choose. */
export function chooseServerId(random: Random): number {
  return 0x8000_0000 + (random.bytes(4).readUInt32BE() >>> 1);
}
