// Looks at everything that a service on this machine needs, and says what to do about what is
// missing.
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import type { Config } from '../config/config.ts';
import { loadConfig } from '../config/config.ts';
import type { Diagnosis } from '../model/diagnosis.ts';
import { CairnError, toCairnError } from '../model/errors.ts';
import { exitCodes } from './exit-codes.ts';
import type { CommonOptions } from './options.ts';
import { openService, withCommon } from './options.ts';
import type { Output } from './output.ts';
import type { LocalActions, Program } from './program.ts';

/** What restores were run with. */
const serversLookedFor = [
  { engine: 'postgresql', title: 'PostgreSQL 15', version: '15' },
  { engine: 'postgresql', title: 'PostgreSQL 16', version: '16' },
  { engine: 'postgresql', title: 'PostgreSQL 17', version: '17' },
  { engine: 'postgresql', title: 'PostgreSQL 18', version: '18' },
  { engine: 'mysql', title: 'MariaDB 10.11', version: '10.11.0-MariaDB' },
] as const;

export function addDoctorCommand(root: Command, program: Program, output: Output): void {
  withCommon(root.command('doctor').description('check this installation')).action(
    async (options: CommonOptions) => {
      const config = loadConfig({ dataDir: options.data }, program.environment);
      const diagnoses = await examine(config, options, program);
      const failed = diagnoses.some(({ verdict }) => verdict === 'failed');
      output.exitCode = failed ? exitCodes.failed : exitCodes.ok;
      if (options.json) return output.json({ healthy: !failed, checks: diagnoses });
      for (const { check, verdict, text, hint } of diagnoses) {
        output.print(`${verdict.padEnd(8)} ${check}: ${text}\n`);
        if (hint) output.print(`         → ${hint}\n`);
      }
    },
  );
}

async function examine(
  config: Config,
  options: CommonOptions,
  program: Program,
): Promise<readonly Diagnosis[]> {
  const local = await program.local();
  const diagnoses: Diagnosis[] = [
    { check: 'Node', verdict: 'ok', text: process.version, hint: null },
  ];
  const attempt = async (check: string, work: () => Promise<string>): Promise<void> => {
    diagnoses.push(await diagnose(check, 'failed', work));
  };
  await attempt('data folder', async () => {
    const { mode } = await stat(config.dataDir).catch((cause: NodeJS.ErrnoException) => {
      throw new CairnError('not-found', `cannot look at ${config.dataDir}: ${cause.code}`, {
        hint: 'name the data folder of the service with --data; the first serve makes it',
        cause,
      });
    });
    return `${config.dataDir} (mode ${(mode & 0o777).toString(8)})`;
  });
  await attempt('master key', async () => {
    const key = await local.readMasterKey(config);
    if (!config.masterKey) await assertPrivate(join(config.dataDir, 'master.key'));
    return `id ${key.id}`;
  });
  await attempt('catalog', async () => {
    await local.checkCatalog(config);
    return 'answers';
  });
  await attempt(
    'storage',
    async () => `${(await local.findRepository(config)).location} holds a repository`,
  );
  if (config.offsite) diagnoses.push(await diagnoseOffsite(config, local));
  const engines = local.engines(config);
  for (const { engine, title, version } of serversLookedFor) {
    const driver = engines[engine];
    if (!driver) continue;
    const work = async (): Promise<string> => await driver.findServerBinaries(version);
    diagnoses.push(await diagnose(`${title} binaries`, 'warning', work));
  }
  diagnoses.push(
    await diagnose('service', 'warning', async () => {
      const service = await openService(options, program);
      await service.cairn('GET', '/instances?limit=1');
      return `answers at ${service.endpoint}`;
    }),
  );
  return diagnoses;
}

/** Copies come after backups: what is missing is no reason to say that nothing works. */
async function diagnoseOffsite(config: Config, local: LocalActions): Promise<Diagnosis> {
  return await diagnose('off-site storage', 'warning', async () => {
    const found = await local.findOffsite(config);
    if (found?.newest) {
      return `${found.location}, newest off-site copy: ${found.newest.toISOString()}`;
    }
    throw new CairnError('not-found', `${found?.location} holds no copy of a backup yet`, {
      hint: 'set an off-site policy: cairn policy offsite INSTANCE --keep-days N',
    });
  });
}

async function diagnose(
  check: string,
  onFailure: Exclude<Diagnosis['verdict'], 'ok'>,
  work: () => Promise<string>,
): Promise<Diagnosis> {
  try {
    return { check, verdict: 'ok', text: await work(), hint: null };
  } catch (error) {
    const { message, hint } = toCairnError(error);
    return { check, verdict: onFailure, text: message, hint };
  }
}

async function assertPrivate(path: string): Promise<void> {
  const { mode } = await stat(path);
  if ((mode & 0o077) === 0) return;
  throw new CairnError('invalid', `${path} can be read by others`, { hint: `chmod 600 ${path}` });
}
