// The archived log of one instance: bytes that follow from their position, an archiver that stores
// them and begins again where the storage says, and what must be there whatever broke off.
import assert from 'node:assert/strict';
import type { InstanceId, LogStreamId, ProjectId } from '../../src/model/ids.ts';
import type { LogPosition } from '../../src/model/log-position.ts';
import type { LogPiece, LogStreamWriter, Repository } from '../../src/repository/repository.ts';
import { never, testBackupId } from '../fixtures/repositories.ts';
import { Seeded } from './seeded.ts';

export type LogStep = 'append' | 'whole' | 'interval' | 'remove';

const segmentBytes = 3000;
const streamId = '000000000001-log' as LogStreamId;
const assertLease = async (): Promise<void> => undefined;

export class ModelLog {
  readonly #instanceId: InstanceId;
  /** All before it was stored when the archiver was told so. */
  #storedBytes = 0;
  /** What lies wholly before it may have been removed. */
  #removedBytes = 0;
  #closedBytes = 0;
  #sequence = 0;
  #writer: LogStreamWriter | null = null;

  constructor(instanceId: InstanceId) {
    this.#instanceId = instanceId;
  }

  /** May throw what the storage throws; then the archiver begins again. */
  async apply(repository: Repository, step: LogStep, seed: number): Promise<void> {
    const seeded = new Seeded(seed);
    const writer = this.#writer ?? (await this.#begin(repository));
    // Until the step has ended well nobody knows how far it came.
    this.#writer = null;
    await this.#perform(repository, { writer, step, seeded });
    this.#writer = writer;
  }

  /** The process that archived is no more. */
  forget(): void {
    this.#writer = null;
  }

  /** What was stored is there, byte for byte, and a check finds nothing wrong with it. */
  async assertStored(repository: Repository): Promise<void> {
    const first = Math.floor(this.#removedBytes / segmentBytes);
    for (let number = first; number * segmentBytes < this.#storedBytes; number++) {
      const name = nameOf(number);
      const { bytes } = await repository.log.readFile(this.#instanceId, streamId, name, never);
      const wanted = Math.min(segmentBytes, this.#storedBytes - number * segmentBytes);
      assert.ok(bytes.byteLength >= wanted, `${name} has ${bytes.byteLength} of ${wanted} bytes`);
      const start = number * segmentBytes;
      assert.ok(bytes.equals(bytesAt(start, bytes.byteLength)), `${name} has other bytes`);
    }
    const { findings } = await repository.check({
      ...{ instanceIds: [this.#instanceId], readData: { percent: 100, seed: 'log' } },
      ...{ onProgress: () => undefined, signal: never },
    });
    assert.deepEqual(
      findings.filter(({ object }) => object.includes('/log/')),
      [],
    );
  }

  async #begin(repository: Repository): Promise<LogStreamWriter> {
    const { log } = repository;
    const streams = await log.listStreams(this.#instanceId, never);
    if (streams.length > 0) return await this.#resume(repository);
    assert.equal(this.#storedBytes, 0, 'a stream is gone');
    const record = {
      ...{ streamId, instanceId: this.#instanceId, projectId: 'project' as ProjectId },
      ...{ instanceName: 'pg', engine: 'postgresql' as const, beganAt: new Date(0) },
      facts: {
        ...{ serverVersion: '18.1', systemIdentifier: '1' },
        ...{ startPosition: positionOf(0), notes: {} },
      },
    } as const;
    return await log.beginStream(record, new Date(0), never);
  }

  async #resume({ log }: Repository): Promise<LogStreamWriter> {
    const writer = await log.resumeStream(this.#instanceId, streamId, never);
    const { pieces, intervals } = await log.surveyStream(this.#instanceId, streamId, never);
    const last = pieces.at(-1);
    const end = last ? offsetOf(last.endPosition) : 0;
    assert.ok(end >= this.#storedBytes, `stored up to ${this.#storedBytes}, found up to ${end}`);
    this.#storedBytes = end;
    const closed = intervals.at(-1);
    if (closed) {
      assert.ok(closed.sequence + 1 >= this.#sequence, 'an interval is gone');
      this.#sequence = closed.sequence + 1;
      this.#closedBytes = offsetOf(closed.endPosition);
    }
    return writer;
  }

  async #perform(
    { log }: Repository,
    of: { readonly writer: LogStreamWriter; readonly step: LogStep; readonly seeded: Seeded },
  ): Promise<void> {
    const { writer, step, seeded } = of;
    if (step === 'append') {
      const end = Math.min(this.#storedBytes + 1 + seeded.below(1500), this.#segmentEnd());
      await storeRange(writer, this.#storedBytes, end);
      this.#storedBytes = end;
      return;
    }
    if (step === 'whole') {
      const count = Math.ceil(this.#storedBytes / segmentBytes);
      const number = count - 1 - seeded.below(3);
      if (number * segmentBytes < this.#removedBytes) return;
      const end = Math.min((number + 1) * segmentBytes, this.#storedBytes);
      if (number >= 0) await storeRange(writer, number * segmentBytes, end);
      return;
    }
    if (step === 'interval') return await this.#closeInterval(writer);
    const position = seeded.below(this.#closedBytes + 1);
    this.#removedBytes = Math.max(this.#removedBytes, position);
    const options = { assertLease, signal: never };
    await log.removeBefore(this.#instanceId, streamId, positionOf(position), options);
  }

  async #closeInterval(writer: LogStreamWriter): Promise<void> {
    const [start, end] = [this.#closedBytes, this.#storedBytes];
    if (start === end) return;
    const files: string[] = [];
    for (let at = start - (start % segmentBytes); at < end; at += segmentBytes) {
      files.push(nameOf(at / segmentBytes));
    }
    const interval = {
      ...{ backupId: testBackupId(50_000 + this.#sequence), sequence: this.#sequence, files },
      ...{ name: `log-${this.#sequence}`, logicalBytes: end - start, storedBytes: 0 },
      ...{ startPosition: positionOf(start), endPosition: positionOf(end) },
      ...{ startAt: new Date(start), endAt: new Date(end) },
    };
    await writer.closeInterval(interval, never);
    this.#sequence++;
    this.#closedBytes = end;
  }

  #segmentEnd(): number {
    return (Math.floor(this.#storedBytes / segmentBytes) + 1) * segmentBytes;
  }
}

async function storeRange(writer: LogStreamWriter, start: number, end: number): Promise<void> {
  const number = Math.floor(start / segmentBytes);
  const piece: LogPiece = {
    file: { name: nameOf(number), kind: 'log', startPosition: positionOf(number * segmentBytes) },
    ...{ offsetBytes: start % segmentBytes, lengthBytes: end - start },
    ...{ isLast: end % segmentBytes === 0, endPosition: positionOf(end), endAt: new Date(end) },
  };
  await writer.store(piece, bytesAt(start, end - start), never);
}

function bytesAt(start: number, count: number): Buffer {
  return Buffer.from(Uint8Array.from({ length: count }, (_, at) => ((start + at) * 2654435) >> 7));
}

function nameOf(number: number): string {
  return `00000001${String(number).padStart(16, '0')}`;
}

function positionOf(offset: number): LogPosition {
  return { engine: 'postgresql', timeline: 1, lsn: BigInt(offset) };
}

function offsetOf(position: LogPosition): number {
  assert.ok(position.engine === 'postgresql');
  return Number(position.lsn);
}
