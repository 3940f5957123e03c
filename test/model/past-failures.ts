// Stories that have failed once, as short as they could be made. Seeds would not do: they tell
// another story as soon as the generator changes.
import type { Operation } from './operations.ts';

export const pastFailures: readonly {
  readonly what: string;
  readonly operations: readonly Operation[];
}[] = [
  {
    what: 'a manifest comes late, after its attempt was given up',
    operations: [
      { kind: 'change', instance: 0, change: 'create', seed: 90 },
      {
        ...{ kind: 'backup', instance: 0, seed: 3, filesMax: null, again: true, isFinal: false },
        fault: { method: 'publish', kind: 'error', call: 0 },
      },
      {
        ...{ kind: 'backup', instance: 0, seed: 92, filesMax: null, again: true, isFinal: true },
        fault: { method: 'createExclusive', kind: 'late', call: 0 },
      },
      { kind: 'check', instance: 2 },
    ],
  },
];
