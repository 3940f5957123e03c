// The last frames of a manifest: which databases and tables the backup holds, as JSON. Nothing but
// lists for people depends on them, and a reader of files need not look at them.
import { createHash } from 'node:crypto';
import type { Static } from 'typebox';
import { Type } from 'typebox';
import { Value } from 'typebox/value';
import type { BackupContents } from '../model/backup-contents.ts';
import { damaged } from './format.ts';
import type { ManifestHeader, TableFacts } from './manifest.ts';

const Contents = Type.Object({
  complete: Type.Boolean(),
  databases: Type.Array(
    Type.Object({
      name: Type.String(),
      /** Tables by their schema; one empty name where there are no schemas. */
      schemas: Type.Array(Type.Object({ name: Type.String(), tables: Type.Array(Type.String()) })),
    }),
  ),
});

export function encodeContents({ isComplete, databases }: BackupContents): {
  readonly frames: readonly Buffer[];
  readonly facts: Static<typeof TableFacts>;
} {
  const contents: Static<typeof Contents> = {
    complete: isComplete,
    databases: databases.map(({ name, tables }) => ({
      name,
      schemas: [...Map.groupBy(tables, ({ schema }) => schema)].map(([schema, of]) => ({
        name: schema,
        tables: of.map((table) => table.name),
      })),
    })),
  };
  const frame = Buffer.from(JSON.stringify(contents));
  const sha256 = createHash('sha256').update(frame).digest('hex');
  return { frames: [frame], facts: { frames: 1, sha256 } };
}

/** @throws repository-damaged */
export function decodeContents(
  facts: Static<typeof TableFacts>,
  frames: readonly Buffer[],
  name: string,
): BackupContents {
  const bytes = Buffer.concat(frames);
  const isWhole = createHash('sha256').update(bytes).digest('hex') === facts.sha256;
  if (frames.length !== facts.frames || !isWhole) {
    throw damaged(name, 'its list of databases is not the one that its header names');
  }
  const value: unknown = JSON.parse(bytes.toString('utf8'));
  if (!Value.Check(Contents, value)) throw damaged(name, 'its list of databases is broken');
  return {
    isComplete: value.complete,
    databases: value.databases.map((database) => ({
      name: database.name,
      tables: database.schemas.flatMap((schema) =>
        schema.tables.map((table) => ({ schema: schema.name, name: table })),
      ),
    })),
  };
}

/**
 * Of the frames behind the header those of the table. @throws repository-damaged when there are
 * others than it counts, or the rest are no list of databases
 */
export function tableFramesOf(
  { table, contents }: Pick<ManifestHeader, 'table' | 'contents'>,
  frames: readonly Buffer[],
  name: string,
): readonly Buffer[] {
  if (frames.length !== table.frames + (contents?.frames ?? 0)) {
    throw damaged(name, 'it has other frames than its header counts');
  }
  if (contents) decodeContents(contents, frames.slice(table.frames), name);
  return frames.slice(0, table.frames);
}
