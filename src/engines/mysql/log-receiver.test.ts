// What must never be stored, and what ends a stream: told apart event by event.
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import {
  eventBytes,
  formatBytes,
  gtidBytes,
  gtidListBytes,
  rotateBytes,
} from '../../../test/fixtures/binlog-bytes.ts';
import { MemoryBinlogs } from '../../../test/fixtures/memory-binlogs.ts';
import type { ErrorKind } from '../../model/errors.ts';
import { isErrorKind } from '../../model/errors.ts';
import { parseGtidSet } from '../../model/gtid-set.ts';
import { LogClock } from '../log-clock.ts';
import { eventFlags, eventTypes } from './binlog-event.ts';
import { LogReceiver } from './log-receiver.ts';
import { planDumpStart, planFileStart } from './log-resume.ts';
import { LogTrack } from './log-track.ts';

const artificial = (file: string): Buffer => rotateBytes(file, 0, eventFlags.artificial);
const xid = (at: number): Buffer => {
  return eventBytes({ type: eventTypes.xid, body: Buffer.alloc(8), at });
};

/** The beginning of `bin.000001`, with one transaction. */
function firstFile(before: readonly string[] = []): { events: Buffer[]; end: number } {
  const format = formatBytes();
  const list = gtidListBytes(4 + format.length, before);
  const at = 4 + format.length + list.length;
  const gtid = gtidBytes(at, '0-11-1');
  const commit = xid(at + gtid.length);
  return { events: [format, list, gtid, commit], end: at + gtid.length + commit.length };
}

function receive(
  log: MemoryBinlogs,
  lastBytesMax?: number,
): (...events: readonly Buffer[]) => Promise<void> {
  const resume = log.resumePoint(lastBytesMax);
  const position = resume?.position.engine === 'mysql' ? resume.position : null;
  const start = position ? planDumpStart(position, resume?.lastBytes) : planFileStart('bin.000001');
  const sink = log.openSink();
  const receiver = new LogReceiver({
    ...{ sink, start, clock: new LogClock(), signal: new AbortController().signal },
    track: new LogTrack({
      ...start,
      setBefore: parseGtidSet(position?.gtidSet ?? '', 'mariadb'),
      set: parseGtidSet(position?.gtidSet ?? '', 'mariadb'),
      isResumed: start.storedBytes > 0,
    }),
    beginStream: position
      ? null
      : (startPosition) =>
          sink.beginStream({
            ...{ startPosition, serverVersion: '10.11.19-MariaDB', systemIdentifier: 'x' },
            notes: {},
          }),
  });
  return async (...events) => {
    for (const event of events) await receiver.take(event);
  };
}

const refused = (kind: ErrorKind, pattern: RegExp) => (error: unknown) => {
  assert.ok(isErrorKind(error, kind), String(error));
  assert.match(error.message, pattern);
  return true;
};

suite('what is no log of the server is not stored', () => {
  const { events, end } = firstFile();

  test('a flipped bit, a hole, a repetition, a size that is wrong', async () => {
    const flipped = Buffer.from(xid(end));
    flipped[20] = 1;
    const cut = xid(end).subarray(0, -1);
    const cases: [Buffer, RegExp][] = [
      [flipped, /checksum is wrong/],
      [xid(end + 1), /where \d+ is expected/],
      [events.at(-1) as Buffer, /where \d+ is expected/],
      [cut, /bytes of an event of/],
    ];
    for (const [event, pattern] of cases) {
      const log = new MemoryBinlogs();
      const take = receive(log);
      await take(artificial('bin.000001'), ...events);
      await assert.rejects(take(event), refused('engine-refused', pattern));
      assert.equal(log.storedBytes, end);
    }
  });

  test('heartbeats and a format that is told again are in no file', async () => {
    const log = new MemoryBinlogs();
    const heartbeat = eventBytes({ type: eventTypes.heartbeat, body: Buffer.alloc(10), at: end });
    await receive(log)(artificial('bin.000001'), ...events, heartbeat, formatBytes());
    assert.equal(log.storedBytes, end);
  });
});

suite('files', () => {
  const { events, end } = firstFile();
  const rotation = rotateBytes('bin.000002', end);
  const format = formatBytes();
  const next = (gtids: readonly string[]): Buffer[] => [
    ...[rotation, artificial('bin.000002'), format, gtidListBytes(4 + format.length, gtids)],
    xid(4 + format.length + gtidListBytes(0, gtids).length),
  ];

  test('the next one begins behind what was sent', async () => {
    const log = new MemoryBinlogs();
    await receive(log)(artificial('bin.000001'), ...events, ...next(['0-11-1']));
    assert.deepEqual([...log.files.keys()], ['bin.000001', 'bin.000002']);
    const { startPosition } = log.files.get('bin.000002')?.meta ?? assert.fail();
    assert.equal(startPosition.engine === 'mysql' && startPosition.gtidSet, '0-11-1');
  });

  test('behind transactions that were not sent: a gap', async () => {
    const take = receive(new MemoryBinlogs());
    const begun = take(artificial('bin.000001'), ...events, ...next(['0-11-2']));
    await assert.rejects(
      begun,
      refused('log-gap', /begins behind 0-11-2, but no more than 0-11-1/),
    );
  });

  test('not the next one: a gap', async () => {
    for (const file of ['bin.000003', 'bin.000001', 'other.000002', 'bin.000000']) {
      const log = new MemoryBinlogs();
      const take = receive(log);
      await take(artificial('bin.000001'), ...events);
      if (file === 'bin.000001') continue;
      await assert.rejects(take(artificial(file)), refused('log-gap', /goes on with/));
    }
  });
});

suite('going on', () => {
  const { events, end } = firstFile();
  const stored = async (fromBytes = end): Promise<MemoryBinlogs> => {
    const log = new MemoryBinlogs();
    await receive(log)(artificial('bin.000001'), ...events);
    if (fromBytes < end) log.forget('bin.000001', fromBytes);
    return log;
  };

  test('wherever the stored log ends', async () => {
    for (let cut = 5; cut < end; cut += 7) {
      const log = await stored(cut);
      const position = log.resumePoint();
      const start = planDumpStart(
        { engine: 'mysql', file: 'bin.000001', offsetBytes: cut, gtidSet: '' },
        position?.lastBytes,
      );
      const sent = Buffer.concat([Buffer.alloc(4), ...events]);
      const from = events.filter((_, index) => {
        const at = 4 + events.slice(0, index).reduce((sum, { length }) => sum + length, 0);
        return at >= start.offsetBytes;
      });
      await receive(log)(artificial('bin.000001'), formatBytes(), ...from.filter(isNotFormat));
      assert.ok(log.bytesOf('bin.000001').subarray(4).equals(sent.subarray(4)), `cut at ${cut}`);
    }
  });

  const isNotFormat = (event: Buffer): boolean => event[4] !== eventTypes.formatDescription;

  test('a file behind what an attempt has not seen itself is no gap', async () => {
    const log = await stored();
    const format = formatBytes();
    await receive(log, xid(0).length + 5)(
      ...[artificial('bin.000001'), formatBytes(), xid(end - xid(0).length)],
      ...[rotateBytes('bin.000002', end), artificial('bin.000002')],
      ...[format, gtidListBytes(4 + format.length, ['0-11-1'])],
      xid(4 + format.length + gtidListBytes(0, ['0-11-1']).length),
    );
    assert.deepEqual([...log.files.keys()], ['bin.000001', 'bin.000002']);
  });

  test('another log at the same place is a gap, and nothing of it is stored', async () => {
    const log = await stored(end - 3);
    const commit = events.at(-1) as Buffer;
    const other = eventBytes({
      type: eventTypes.xid,
      body: Buffer.alloc(8, 1),
      at: end - commit.length,
    });
    const rest = [...events.slice(1, -1), other];
    await assert.rejects(
      receive(log)(artificial('bin.000001'), formatBytes(), ...rest),
      refused('log-gap', /is not what is stored/),
    );
    assert.equal(log.storedBytes, end - 3);
  });

  test('a server that ends before what is stored has lost log', async () => {
    const log = await stored();
    await assert.rejects(
      receive(log)(artificial('bin.000001'), formatBytes(), artificial('bin.000002')),
      refused('log-gap', /is its end, but \d+ bytes of it are stored/),
    );
  });

  test('more of a file that is complete is a gap', async () => {
    const log = await stored();
    await receive(log)(
      ...[artificial('bin.000001'), formatBytes(), ...events.slice(-1)],
      artificial('bin.000002'),
    ).catch(() => undefined);
    const { last } = log;
    assert.ok(last);
    last.isComplete = true;
    await assert.rejects(
      receive(log)(artificial('bin.000001'), formatBytes(), xid(end)),
      refused('log-gap', /is not what is stored/),
    );
  });
});
