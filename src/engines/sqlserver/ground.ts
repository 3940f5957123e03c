// What every part of this engine is given.
import type { Connection } from '../../model/instance.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Random } from '../../platform/random.ts';
import type { Exchange } from './exchange.ts';
import type { OpenBucket } from './exchange-s3.ts';

export type Ground = {
  readonly clock: Clock;
  readonly random: Random;
  /** Where backups of that server are handed over. @throws invalid when it names no such place */
  readonly openExchange: (connection: Connection) => Promise<Exchange>;
  /** The store behind an exchange that is a bucket. */
  readonly openBucket: OpenBucket;
};
