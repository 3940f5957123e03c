// What the command line prints. Answers go to standard output, everything else to standard error,
// so that `cairn … --json | jq` works while a progress bar runs.
import { SingleBar } from 'cli-progress';
import { formatBytes } from '../model/units.ts';

export type Output = {
  /** Set by a command that ran to its end and has a bad result to tell. */
  exitCode: number;
  /** Answers go to a screen, not to a file or a pipe. */
  readonly isTerminal: boolean;
  readonly print: (text: string) => void;
  readonly complain: (text: string) => void;
  readonly json: (value: unknown) => void;
  /** Columns as wide as they need; the first row is the head. */
  readonly table: (rows: readonly (readonly string[])[]) => void;
  /** `name: value` lines, aligned. */
  readonly facts: (facts: readonly (readonly [string, string | number | null])[]) => void;
  readonly progress: () => Progress;
};

export interface Progress {
  update(phase: string, doneBytes: number, totalBytes: number | null, bytesPerSecond: number): void;
  stop(): void;
}

export type Terminal = {
  readonly out: NodeJS.WriteStream;
  readonly error: NodeJS.WriteStream;
};

export function createOutput({ out, error }: Terminal): Output {
  const print = (text: string): void => void out.write(text);
  return {
    exitCode: 0,
    isTerminal: out.isTTY === true,
    print,
    complain: (text) => void error.write(text),
    json: (value) => print(`${JSON.stringify(value, null, 2)}\n`),
    table: (rows) => print(formatTable(rows)),
    facts: (facts) => {
      const width = Math.max(...facts.map(([name]) => name.length));
      for (const [name, value] of facts) print(`${`${name}:`.padEnd(width + 2)}${value ?? '-'}\n`);
    },
    progress: () => (error.isTTY ? createBar(error) : createLines(error)),
  };
}

export function formatTable(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, column) => {
      widths[column] = Math.max(widths[column] ?? 0, cell.length);
    });
  }
  const lines = rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
  return `${lines.join('\n')}\n`;
}

function createBar(stream: NodeJS.WriteStream): Progress {
  const bar = new SingleBar({
    stream,
    format: '{phase} [{bar}] {percentage}%  {done} of {whole}  {rate}/s',
    barsize: 30,
    hideCursor: true,
    clearOnComplete: false,
    stopOnComplete: false,
    noTTYOutput: false,
  });
  let started = false;
  return {
    update(phase, doneBytes, totalBytes, bytesPerSecond) {
      const total = Math.max(totalBytes ?? 0, doneBytes, 1);
      const texts = {
        phase: phase.padEnd(10),
        done: formatBytes(doneBytes),
        // `total` is a word of the library's own.
        whole: totalBytes === null ? '?' : formatBytes(total),
        rate: formatBytes(bytesPerSecond),
      };
      if (!started) bar.start(total, doneBytes, texts);
      started = true;
      bar.setTotal(total);
      bar.update(doneBytes, texts);
    },
    stop() {
      if (started) bar.stop();
    },
  };
}

/** Without a terminal: one line for each new phase. */
function createLines(stream: NodeJS.WriteStream): Progress {
  let last = '';
  return {
    update(phase) {
      if (phase !== last) stream.write(`${phase} …\n`);
      last = phase;
    },
    stop: () => undefined,
  };
}
