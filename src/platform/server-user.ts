// Database servers refuse to run as root. When Cairn runs as root, the servers that it starts run
// as an unprivileged user: the configured one, else the engine's own where it exists, else
// `nobody`.
import { CairnError } from '../model/errors.ts';
import type { Identity } from './child-process.ts';
import { runCommand } from './child-process.ts';

/**
 * Null when we are not root: servers then run as we do.
 * @throws invalid when the configured user does not exist
 */
export async function findServerIdentity(
  configuredUser: string | null,
  engineUser = 'postgres',
): Promise<Identity | null> {
  if (process.getuid?.() !== 0) return null;
  for (const name of configuredUser ? [configuredUser] : [engineUser, 'nobody']) {
    const identity = await findUser(name);
    if (identity) return identity;
  }
  throw new CairnError('invalid', `user ${configuredUser ?? 'nobody'} does not exist`, {
    hint: 'create it, or name another one in CAIRN_SERVER_USER',
  });
}

async function findUser(name: string): Promise<Identity | null> {
  const ids: number[] = [];
  for (const flag of ['-u', '-g']) {
    const { exitCode, stdout } = await runCommand('id', [flag, name], { timeoutMs: 5000 });
    if (exitCode !== 0) return null;
    ids.push(Number(stdout.trim()));
  }
  const [uid, gid] = ids;
  if (uid === undefined || gid === undefined || uid === 0) return null;
  return { uid, gid };
}
