// One server's pg_dump into another's pg_restore, with nothing kept in between.
import { once } from 'node:events';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import type { Connection } from '../../model/instance.ts';
import type { DumpedData } from './logical-archive.ts';
import { DumpReader } from './logical-archive.ts';
import { databaseArgument, runClient } from './logical-client.ts';
import type { ClientTools } from './logical-tools.ts';

export type DumpPipe = {
  readonly from: { readonly connection: Connection; readonly database: string };
  readonly to: { readonly connection: Connection; readonly database: string };
  /** What of the database; empty: all of it. */
  readonly selection: readonly string[];
  readonly tools: ClientTools;
  readonly onBytes: (bytes: number) => void;
  readonly signal: AbortSignal;
};

/** Answers what went through, found whole. @throws engine-unreachable, engine-refused */
export async function pipeDump(options: DumpPipe): Promise<readonly DumpedData[]> {
  const { from, to, tools, onBytes } = options;
  const failure = new AbortController();
  const signal = AbortSignal.any([options.signal, failure.signal]);
  const pipe = new PassThrough();
  const reader = new DumpReader();
  const dump = async (): Promise<void> => {
    await runClient(from.connection, {
      program: join(tools.binDir, 'pg_dump'),
      args: [
        ...['--format=custom', '--compress=0', '--no-password', ...options.selection],
        `--dbname=${databaseArgument(from.database)}`,
      ],
      signal,
      take: async (bytes) => {
        reader.push(bytes);
        onBytes(bytes.byteLength);
        if (!pipe.write(bytes)) await once(pipe, 'drain', { signal });
      },
    });
    pipe.end();
  };
  const restore = async (): Promise<void> => {
    await runClient(to.connection, {
      program: join(tools.binDir, 'pg_restore'),
      args: [
        ...['--exit-on-error', '--no-password', '--no-tablespaces'],
        `--dbname=${databaseArgument(to.database)}`,
      ],
      ...{ signal, input: pipe, take: () => undefined },
    });
  };
  // Whoever fails first says why; the other one is ended and waited for.
  const ends = [dump(), restore()].map((end) =>
    end.catch((error: unknown) => {
      if (!failure.signal.aborted) failure.abort(error);
      throw error;
    }),
  );
  const outcomes = await Promise.allSettled(ends);
  pipe.destroy();
  options.signal.throwIfAborted();
  if (outcomes.some(({ status }) => status === 'rejected')) throw failure.signal.reason;
  return reader.end();
}
