// Works on storage and key alone, like `restore --to`: also when the service is gone.
import type { Command } from 'commander';
import { presentCheckReport } from '../api/present/maintenance.ts';
import type { CheckReportWire } from '../api/schema/maintenance.ts';
import { loadConfig } from '../config/config.ts';
import { CairnError } from '../model/errors.ts';
import { formatBytes } from '../model/units.ts';
import { storeReport } from '../operations/check/check-report.ts';
import { readDataOf } from '../operations/check/request-check.ts';
import { systemRandom } from '../platform/random.ts';
import type { CommonOptions } from './options.ts';
import { withCommon } from './options.ts';
import type { Output } from './output.ts';
import type { Program } from './program.ts';
import { reportError } from './report-error.ts';

type CheckCommandOptions = CommonOptions & {
  readonly instance?: string;
  readonly readData?: string | true;
  readonly seed?: string;
};

/** Scripts ask one question: are the backups whole? */
const verdictCodes = { sound: 0, damaged: 1, unknown: 2 } as const;

export function addCheckCommand(root: Command, program: Program, output: Output): void {
  const command = root
    .command('check')
    .description('look whether everything that backups need is stored and whole');
  withCommon(command)
    .option('--instance <ID-OR-NAME>', 'only the backups of this one')
    .option('--read-data [PERCENT]', 'read the pages too: of all packs, or of so many of a hundred')
    .option('--seed <TEXT>', 'which packs are read: the same seed reads the same ones')
    .action(async (options: CheckCommandOptions) => {
      try {
        const report = await check(options, program, output);
        output.exitCode = verdictCodes[report.verdict];
        if (options.json) output.json(report);
        else printReport(report, output);
      } catch (error) {
        reportError(error, { json: options.json === true }, output);
        output.exitCode = verdictCodes.unknown;
      }
    });
}

async function check(
  options: CheckCommandOptions,
  program: Program,
  output: Output,
): Promise<CheckReportWire> {
  const { data, instance = null, readData: share, seed = systemRandom.hex(4) } = options;
  const config = loadConfig({ dataDir: data }, program.environment);
  const readData = readDataOf(parsePercent(share), seed);
  const local = await program.local();
  const beganMs = program.clock.monotonicMs();
  const progress = output.progress();
  try {
    const report = await local.checkBackups(config, {
      ...{ instance, readData, signal: new AbortController().signal },
      onProgress: ({ phase, doneBytes, totalBytes }) => {
        const seconds = Math.max(0.001, (program.clock.monotonicMs() - beganMs) / 1000);
        progress.update(phase, doneBytes, totalBytes, doneBytes / seconds);
      },
    });
    progress.stop();
    return presentCheckReport(storeReport(report, readData));
  } finally {
    progress.stop();
  }
}

function parsePercent(share: string | true | undefined): number | null {
  if (share === undefined) return null;
  if (share === true) return 100;
  if (/^\d{1,3}%?$/.test(share)) return Number.parseInt(share, 10);
  throw new CairnError('invalid', `${share} is no share of the data`, {
    hint: 'give a whole number of percent from 1 to 100',
  });
}

function printReport(report: CheckReportWire, output: Output): void {
  const { counts, read_data: readData, verdict } = report;
  const packs = `${counts.packs} (${formatBytes(counts.pack_bytes)})`;
  const sample = readData && readData.percent < 100 ? `, sample of seed ${readData.seed}` : '';
  const pieces = `${counts.log_pieces} pieces (${formatBytes(counts.log_bytes)})`;
  const logText = `${counts.log_streams} streams, ${counts.log_intervals} intervals, ${pieces}`;
  const readCounts = `${counts.packs_read} packs and ${counts.log_pieces_read} pieces of log`;
  const read = `${readCounts} (${formatBytes(counts.bytes_read)}), `;
  output.facts([
    ['instances', counts.instances],
    ['backups', counts.backups],
    ['keys', counts.keys],
    ['packs', packs],
    ['file maps', `${counts.maps} (${formatBytes(counts.map_bytes)}), ${counts.map_parts} parts`],
    ['archived log', logText],
    ['read', readData ? `${read}${counts.pages_compared} pages compared${sample}` : 'no data'],
    ['not needed', `${counts.unneeded} (${formatBytes(counts.unneeded_bytes)})`],
  ]);
  for (const { kind, message, hint, backup_ids: ids, more_backups: more } of report.findings) {
    output.print(`\n${kind}: ${message}\n`);
    if (hint) output.print(`  ${hint}\n`);
    const others = more > 0 ? ` and ${more} more` : '';
    if (ids.length > 0) output.print(`  needed by backup ${ids.join(', ')}${others}\n`);
  }
  if (report.more_findings > 0) output.print(`\nand ${report.more_findings} more\n`);
  for (const name of report.foreign) output.print(`\n${name} was not written by Cairn\n`);
  output.print(`\n${verdictTexts[verdict]}\n`);
}

const verdictTexts = {
  sound: 'sound',
  damaged: 'DAMAGED: see above',
  unknown: 'not everything could be looked at: see above',
} as const;
