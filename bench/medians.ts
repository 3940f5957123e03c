// The table that a benchmark ends with: medians over its rounds.
import type { Measured } from './tools/tool.ts';

export type Sample = Measured & {
  readonly work: string;
  readonly tool: string;
  /** What the repository grew by; null for a restore. */
  readonly addedBytes: number | null;
};

export function formatMedians(samples: readonly Sample[]): string {
  const groups = Map.groupBy(samples, ({ work, tool }) => `| ${work} | ${tool} |`);
  const rows = [...groups].map(([head, group]) => {
    const seconds = median(group.map(({ wallSeconds }) => wallSeconds)).toFixed(2);
    const cpu = median(group.map(({ cpuSeconds }) => cpuSeconds)).toFixed(1);
    const added = group.flatMap(({ addedBytes }) => addedBytes ?? []);
    const peaks = group.flatMap(({ peakBytes }) => peakBytes ?? []);
    const stored = added.length === 0 ? '' : (median(added) / 1e6).toFixed(1);
    const peak = peaks.length === 0 ? '' : String(Math.round(median(peaks) / 1e6));
    return `${head} ${seconds} | ${cpu} | ${stored} | ${peak} |`;
  });
  const head = ['| work | tool | wall s | CPU s | stored MB | peak MB |'];
  return [...head, '| --- | --- | ---: | ---: | ---: | ---: |', ...rows].join('\n');
}

/** One line for who watches. */
export function describeSample({
  work,
  tool,
  wallSeconds,
  cpuSeconds,
  addedBytes,
}: Sample): string {
  const added = addedBytes === null ? '' : `, +${(addedBytes / 1e6).toFixed(1)} MB`;
  return `${work}, ${tool}: ${wallSeconds.toFixed(2)} s, CPU ${cpuSeconds.toFixed(1)} s${added}\n`;
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}
