import type { Command } from 'commander';
import type { FindingWire } from '../api/schema/error.ts';
import type { JobDetailResponse } from '../api/schema/job.ts';
import type { ShownInstanceWire } from '../api/schema/log-archive.ts';
import type {
  ConnectionCheckWire,
  RegisteredInstanceListWire,
  RegisteredInstanceWire,
  RegisterInstanceResponse,
} from '../api/schema/registered-instance.ts';
import { CairnError } from '../model/errors.ts';
import { formatBytes } from '../model/units.ts';
import { countAutomated, countIncremental, describeAutomated } from './automated-backups.ts';
import { exitCodes } from './exit-codes.ts';
import { findInstance } from './find-instance.ts';
import { followJob } from './follow-job.ts';
import type { OpenService } from './instance-details.ts';
import { addInstanceDetailCommands } from './instance-details.ts';
import { describeHosts } from './instance-hosts.ts';
import { describeLogArchive } from './instance-log.ts';
import type { CommonOptions } from './options.ts';
import { openService, withCommon } from './options.ts';
import type { Output } from './output.ts';
import type { Program } from './program.ts';
import type { ServiceClient } from './service-client.ts';
import { ServiceError } from './service-client.ts';

export function addInstanceCommands(root: Command, program: Program, output: Output): void {
  const group = root.command('instance').description('database servers that Cairn knows');
  const open = (options: CommonOptions): Promise<ServiceClient> => openService(options, program);
  addAdd(group, open, output);
  addUpdate(group, open, output);
  addReading(group, open, output);
  addCheck(group, open, output);
  addRemove(group, open, output, program);
  addInstanceDetailCommands(group, open, output);
}

type Open = OpenService;

function addAdd(group: Command, open: Open, output: Output): void {
  const add = group.command('add').description('register a server; its connection is tested first');
  withUrl(withCommon(add))
    .requiredOption('--name <NAME>', '1 to 64 letters, digits, - and _, a letter first')
    .option('--pool <NAME>', 'the workers that do its jobs, as in cairn worker --pool')
    .action(async (options: AddressOptions & { name: string; pool?: string }) => {
      const service = await open(options);
      const { name, pool } = options;
      const body = { name, ...(pool !== undefined && { pool }), ...(await readAddress(options)) };
      await showOutcome(options, output, () => service.cairn('POST', '/instances', body));
    });
}

function addUpdate(group: Command, open: Open, output: Output): void {
  const update = group
    .command('update')
    .description('another address or password of a server; it is tested first');
  withUrl(withCommon(update))
    .argument('<id-or-name>')
    .action(async (text: string, options: AddressOptions) => {
      const service = await open(options);
      const { id } = await findInstance(service, text);
      const body = await readAddress(options);
      await showOutcome(options, output, () => service.cairn('PUT', `/instances/${id}`, body));
    });
}

type AddressOptions = CommonOptions & { readonly url: string; readonly standby?: string[] };

function withUrl(command: Command): Command {
  return command
    .requiredOption(
      '--url <URL>',
      'postgres://user:password@host/database, mysql://…, sqlserver://…; - reads it from stdin',
    )
    .option('--standby <HOST:PORT...>', 'further servers of the same system, with the same users');
}

async function readAddress({ url, standby }: AddressOptions): Promise<object> {
  const address = { url: url === '-' ? await readStandardInput() : url };
  return standby === undefined ? address : { ...address, standbys: standby.map(parseHost) };
}

/** @throws invalid */
function parseHost(text: string): { host: string; port?: number } {
  const match = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d{1,5}))?$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  if (!match || host === undefined) {
    throw new CairnError('invalid', `${text} is not an address of a standby`, {
      hint: 'write HOST or HOST:PORT, an IPv6 address in brackets',
    });
  }
  return match[3] === undefined ? { host } : { host, port: Number(match[3]) };
}

/** The id, and what was found when the server was looked at, also when it was refused. */
async function showOutcome(
  options: CommonOptions,
  output: Output,
  ask: () => Promise<RegisterInstanceResponse>,
): Promise<void> {
  try {
    const answer = await ask();
    if (options.json) return output.json(answer);
    printFindings(output, answer.findings);
    output.print(`${answer.instance.id}\n`);
  } catch (error) {
    if (error instanceof ServiceError && !options.json) {
      printFindings(output, findingsOf(error.body));
    }
    throw error;
  }
}

function addReading(group: Command, open: Open, output: Output): void {
  withCommon(group.command('list').description('list the registered servers')).action(
    async (options: CommonOptions) => {
      const service = await open(options);
      const answer = await service.cairn<RegisteredInstanceListWire>('GET', '/instances');
      if (options.json) return output.json(answer);
      const rows = answer.instances.map(
        ({ id, name, engine, server_version, status, host, port }) => [
          ...[id, name, `${engine} ${server_version ?? ''}`.trim(), status],
          host === null ? '-' : `${host}:${port}`,
        ],
      );
      output.table([['ID', 'NAME', 'ENGINE', 'STATUS', 'ADDRESS'], ...rows]);
    },
  );
  withCommon(group.command('show').description('show one server'))
    .argument('<id-or-name>')
    .action(async (text: string, options: CommonOptions) => {
      const service = await open(options);
      const { id } = await findInstance(service, text);
      const shown = await service.cairn<ShownInstanceWire>('GET', `/instances/${id}`);
      if (options.json) return output.json(shown);
      const hosts = describeHosts(shown);
      output.facts([
        ...factsOf(shown.instance),
        ...hosts,
        ...describeLogArchive(shown.log_archive),
      ]);
    });
}

function addCheck(group: Command, open: Open, output: Output): void {
  const check = group.command('check').description('test the connection and what a backup needs');
  withCommon(check)
    .argument('<id-or-name>')
    .action(async (text: string, options: CommonOptions) => {
      const service = await open(options);
      const { id } = await findInstance(service, text);
      const answer = await service.cairn<ConnectionCheckWire>('POST', `/instances/${id}/check`, {});
      output.exitCode = answer.ready ? exitCodes.ok : exitCodes.engine;
      if (options.json) return output.json(answer);
      printFindings(output, answer.findings);
      const size = answer.server ? `, ${formatBytes(answer.server.size_bytes)}` : '';
      output.print(answer.ready ? `ready for backups${size}\n` : 'not ready for backups\n');
    });
}

function addRemove(group: Command, open: Open, output: Output, program: Program): void {
  const remove = group
    .command('remove')
    .description('forget a server; one that Cairn restored is stopped and deleted with its data');
  withCommon(remove)
    .argument('<id-or-name>')
    .option('--yes', 'needed where something is deleted: automated backups, data of our own server')
    .action(async (text: string, options: CommonOptions & { yes?: boolean }) => {
      const service = await open(options);
      const instance = await findInstance(service, text);
      if (!options.yes) await assertNothingGoes(service, instance);
      const path = `/instances/${instance.id}`;
      const { job_id } = await service.rds<{ job_id: string }>('DELETE', path);
      const job = await followJob(service, job_id, { output, clock: program.clock });
      if (options.json) output.json({ job } satisfies JobDetailResponse);
      else output.print(`removed ${instance.name}\n`);
    });
}

/** Manual backups stay. @throws invalid, naming what would be deleted */
async function assertNothingGoes(
  service: ServiceClient,
  { id, name, managed }: RegisteredInstanceWire,
): Promise<void> {
  const count = await countAutomated(service, id);
  const going = count > 0 ? [`its ${describeAutomated(count)} would be deleted`] : [];
  if ((await countIncremental(service, id)) > 0) going.push('its archived log would be deleted');
  if (managed) going.unshift('the server and its data would be deleted');
  if (going.length === 0) return;
  throw new CairnError('invalid', `${name} is not removed unasked: ${going.join(', and ')}`, {
    hint: 'say --yes to delete that; manual backups stay',
  });
}

function factsOf(instance: RegisteredInstanceWire): readonly [string, string | number | null][] {
  const { host, port } = instance;
  return [
    ['id', instance.id],
    ['name', instance.name],
    ['engine', `${instance.engine} ${instance.server_version ?? ''}`.trim()],
    ['status', instance.status],
    ['failure', instance.failure_reason],
    ['address', host === null ? null : `${host}:${port}`],
    ['database', instance.database],
    ['user', instance.user],
    ['sslmode', instance.sslmode],
    ...Object.entries(instance.options),
    ['system identifier', instance.system_identifier],
    ['started by Cairn', instance.managed ? 'yes' : 'no'],
    ['registered', instance.created],
  ];
}

function findingsOf(body: unknown): readonly FindingWire[] {
  const findings = body && typeof body === 'object' && 'findings' in body && body.findings;
  return Array.isArray(findings) ? findings : [];
}

const marks = { blocking: 'missing', warning: 'warning', fine: 'ok' } as const;

function printFindings(output: Output, findings: readonly FindingWire[]): void {
  for (const { check, severity, message, hint } of findings) {
    output.complain(`${marks[severity].padEnd(8)} ${check}: ${message}\n`);
    if (hint) output.complain(`         → ${hint}\n`);
  }
}

async function readStandardInput(): Promise<string> {
  let text = '';
  for await (const chunk of process.stdin.setEncoding('utf8')) text += chunk;
  return text.trim();
}
