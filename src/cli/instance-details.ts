// What an instance has besides its connection: tags, and the moments that it can be restored to.
import type { Command } from 'commander';
import type { Static } from 'typebox';
import type { RestoreTimesSchema } from '../api/schema/recovery.ts';
import type { InstanceTagsWire } from '../api/schema/tag.ts';
import { CairnError } from '../model/errors.ts';
import { findInstance } from './find-instance.ts';
import { findStoredInstance } from './find-stored-instance.ts';
import type { CommonOptions } from './options.ts';
import { withCommon } from './options.ts';
import type { Output } from './output.ts';
import type { ServiceClient } from './service-client.ts';

export type OpenService = (options: CommonOptions) => Promise<ServiceClient>;

export function addInstanceDetailCommands(group: Command, open: OpenService, output: Output): void {
  addTag(group, open, output);
  addWindows(group, open, output);
}

function addTag(group: Command, open: OpenService, output: Output): void {
  const tag = group.command('tag').description('show, set and remove the tags of an instance');
  withCommon(tag)
    .argument('<id-or-name>')
    .argument('[key=value...]', 'tags to set')
    .option('--remove <KEY...>', 'tags to remove')
    .action(
      async (text: string, pairs: string[], options: CommonOptions & { remove?: string[] }) => {
        const service = await open(options);
        const { id } = await findInstance(service, text);
        const act = async (action: string, tags: readonly object[]): Promise<void> => {
          if (tags.length === 0) return;
          await service.rds('POST', `/instances/${id}/tags/action`, { action, tags });
        };
        const added = pairs.map(parsePair);
        await act(
          'delete',
          (options.remove ?? []).map((key) => ({ key })),
        );
        await act('create', added);
        const answer = await service.rds<InstanceTagsWire>('GET', `/instances/${id}/tags`);
        if (options.json) return output.json(answer);
        output.table([['KEY', 'VALUE'], ...answer.tags.map(({ key, value }) => [key, value])]);
      },
    );
}

function addWindows(group: Command, open: OpenService, output: Output): void {
  const windows = group.command('windows').description('list what an instance can be restored to');
  withCommon(windows)
    .argument('<id-or-name>', 'one that is gone but has backups: by its id')
    .option('--date <DAY>', 'yyyy-mm-dd of UTC')
    .action(async (text: string, options: CommonOptions & { date?: string }) => {
      const service = await open(options);
      const id = await findStoredInstance(service, text);
      const query = options.date === undefined ? '' : `?date=${encodeURIComponent(options.date)}`;
      const path = `/instances/${id}/restore-time${query}`;
      const answer = await service.rds<Static<typeof RestoreTimesSchema>>('GET', path);
      if (options.json) return output.json(answer);
      const rows = answer.restore_time.map(({ start_time, end_time }) => [
        new Date(start_time).toISOString(),
        new Date(end_time).toISOString(),
      ]);
      output.table([['FROM', 'TO'], ...rows]);
    });
}

function parsePair(text: string): { readonly key: string; readonly value: string } {
  const at = text.indexOf('=');
  if (at < 1) throw new CairnError('invalid', `${text} is not KEY=VALUE`);
  return { key: text.slice(0, at), value: text.slice(at + 1) };
}
