// Entry of the worker threads that hash, compress, encrypt and decrypt. One message in, one message
// out; buffers are transferred both ways. Errors travel as plain data, since a class does not
// survive the crossing.
import { parentPort } from 'node:worker_threads';
import { recordError } from '../model/errors.ts';
import { releaseMemory } from '../platform/release-memory.ts';
import { comparePages, findDifferences, takePages, writePages } from './pages.ts';
import { planLevel, sealFrame, unsealFrame } from './seal.ts';
import type { ThreadReply, ThreadRequest } from './thread-pool.ts';

/** Of the frame before: frames come in the order of the files, and neighbours are alike. */
let lastRatio = 1;

function perform(request: ThreadRequest): { reply: ThreadReply; transfer: ArrayBuffer[] } {
  const { id, task } = request;
  switch (task.kind) {
    case 'compare': {
      const { fates, digests } = comparePages(
        new Uint8Array(task.buffer),
        task.segments,
        task.known,
      );
      const result = { kind: task.kind, buffer: task.buffer, fates, digests };
      return { reply: { id, result }, transfer: [task.buffer] };
    }
    case 'seal': {
      const raw = new Uint8Array(task.buffer, 0, task.lengthBytes);
      const level = planLevel(lastRatio, task.level);
      const sealed = sealFrame(raw, { ...task, level }).buffer as ArrayBuffer;
      lastRatio = raw.byteLength / sealed.byteLength;
      const result = { kind: task.kind, buffer: task.buffer, sealed };
      return { reply: { id, result }, transfer: [task.buffer, sealed] };
    }
    case 'take': {
      const taken = takePages(viewOf(task.sealed), task, task.takes);
      return { reply: { id, result: { kind: task.kind, taken } }, transfer: [taken.buffer] };
    }
    case 'differ': {
      const result = { kind: task.kind, differs: findDifferences(task) };
      return { reply: { id, result }, transfer: [] };
    }
    case 'write': {
      const sealed = viewOf(task.sealed);
      for (const frame of task.frames) writePages(sealed, task, frame);
      releaseMemory(sealed);
      return { reply: { id, result: { kind: task.kind } }, transfer: [] };
    }
    case 'unseal': {
      // A copy where it is small: small buffers are cut out of one that they share.
      const raw = new Uint8Array(unsealFrame(viewOf(task.sealed), task)).buffer;
      return { reply: { id, result: { kind: task.kind, raw } }, transfer: [raw] };
    }
  }
}

function viewOf({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}

parentPort?.on('message', (request: ThreadRequest) => {
  try {
    const { reply, transfer } = perform(request);
    parentPort?.postMessage(reply, transfer);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : null;
    const reply: ThreadReply = { id: request.id, error: recordError(error), code };
    parentPort?.postMessage(reply);
  }
});
