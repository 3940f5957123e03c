// Locks by hand. Works on storage and key alone; the service, which does it daily, may run.
import type { Command } from 'commander';
import { loadConfig } from '../config/config.ts';
import { exitCodes } from './exit-codes.ts';
import type { CommonOptions } from './options.ts';
import { withCommon } from './options.ts';
import type { Output } from './output.ts';
import type { LockedInstance, Program } from './program.ts';

export function addStorageLockCommand(group: Command, program: Program, output: Output): void {
  withCommon(group.command('lock'))
    .description('lock what the backups need for the days that CAIRN_STORAGE says (lock=…)')
    .action(async (options: CommonOptions) => {
      const config = loadConfig({ dataDir: options.data }, program.environment);
      const { signal } = new AbortController();
      const locked = await (await program.local()).lockBackups(config, signal);
      const isTouched = locked.some(({ report }) => report.damage || report.findings.length > 0);
      output.exitCode = isTouched ? exitCodes.damaged : exitCodes.ok;
      if (options.json) return output.json({ instances: locked.map(present) });
      output.table([
        ['INSTANCE', 'NEEDED', 'LOCKED NOW'],
        ...locked.map(({ instanceId, report }) => [
          ...[instanceId, String(report.needed), String(report.extended)],
        ]),
      ]);
      for (const line of locked.flatMap(describe)) output.print(`${line}\n`);
      if (isTouched) {
        output.print(
          'somebody else has touched what backups need; what was locked stays locked meanwhile\n' +
            '→ docs/object-lock.md, “The way back”\n',
        );
      }
    });
}

function present({ instanceId, report }: LockedInstance) {
  const { terms, needed, extended, findings, damage } = report;
  return {
    ...{ instance_id: instanceId, mode: terms.mode, days: terms.days, needed, extended, findings },
    damage: damage?.message ?? null,
  };
}

function describe({ report }: LockedInstance): readonly string[] {
  const lines = report.findings.map(({ object, problem }) => `${object}: ${problem}`);
  return report.damage ? [...lines, report.damage.message] : lines;
}
