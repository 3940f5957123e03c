import type { Command } from 'commander';
import { loadConfig } from '../config/config.ts';
import { CairnError } from '../model/errors.ts';
import type { CommonOptions } from './options.ts';
import { withCommon } from './options.ts';
import type { Output } from './output.ts';
import type { Program } from './program.ts';

type PresignOptions = CommonOptions & { readonly storage?: string; readonly for: string };

const unitsMs: Readonly<Record<string, number>> = {
  ...{ s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 },
};

export function addStoragePresignCommand(group: Command, program: Program, output: Output): void {
  withCommon(group.command('presign'))
    .description('print a link that reads one stored object without credentials; keep it secret')
    .argument('<OBJECT>', 'its name in the storage, as cairn check prints it')
    .option('--for <TIME>', 'how long it works: 90s, 15m, 12h, 7d at most', '15m')
    .option('--storage <URL>', 'another one than CAIRN_STORAGE')
    .action(async (name: string, options: PresignOptions) => {
      const config = loadConfig({ dataDir: options.data }, program.environment);
      const url = options.storage ?? config.storageUrl;
      const lifetimeMs = parseLifetime(options.for);
      const local = await program.local();
      const link = await local.presignObject(url, { name, lifetimeMs });
      if (options.json) return output.json({ url: link, lifetime_seconds: lifetimeMs / 1_000 });
      output.print(`${link}\n`);
    });
}

/** In ms. @throws invalid */
export function parseLifetime(text: string): number {
  const [, count, unit = ''] = /^(\d{1,9})([smhd])$/.exec(text) ?? [];
  const lifetimeMs = Number(count) * (unitsMs[unit] ?? Number.NaN);
  if (lifetimeMs > 0) return lifetimeMs;
  throw new CairnError('invalid', `a link cannot live for ${text}`, {
    hint: 'write a number and s, m, h or d, from 1s to 7d',
  });
}
