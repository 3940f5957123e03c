import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { describe, it } from 'node:test';
import { createOutput, formatTable } from './output.ts';

/** Takes what would go to a terminal or a pipe. */
function capture(isTTY: boolean): { stream: NodeJS.WriteStream; text: () => string } {
  let text = '';
  const stream = new Writable({
    write(chunk, _encoding, done) {
      text += chunk;
      done();
    },
  });
  const cursor = {
    columns: 200,
    cursorTo: () => true,
    clearLine: () => true,
    moveCursor: () => true,
  };
  Object.assign(stream, { isTTY, ...cursor });
  return { stream: stream as unknown as NodeJS.WriteStream, text: () => text };
}

describe('output', () => {
  it('aligns the columns of a table', () => {
    const rows = [
      ['ID', 'NAME'],
      ['abcdef', 'x'],
    ];
    assert.equal(formatTable(rows), 'ID      NAME\nabcdef  x\n');
  });

  it('shows a bar with sizes on a terminal, on standard error', () => {
    const out = capture(false);
    const error = capture(true);
    const progress = createOutput({ out: out.stream, error: error.stream }).progress();
    progress.update('copying', 50_000_000, 200_000_000, 12_300_000);
    progress.stop();
    assert.match(error.text(), /copying +\[=+-+\] 25%  50\.0 MB of 200 MB  12\.3 MB\/s/);
    assert.equal(out.text(), '');
  });

  it('shows one line a phase where there is no terminal', () => {
    const error = capture(false);
    const progress = createOutput({ out: capture(false).stream, error: error.stream }).progress();
    progress.update('copying', 1, null, 0);
    progress.update('copying', 2, null, 0);
    progress.update('committing', 2, 2, 0);
    progress.stop();
    assert.equal(error.text(), 'copying …\ncommitting …\n');
  });
});
