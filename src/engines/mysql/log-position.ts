import type { LogPosition } from '../../model/log-position.ts';
import { noBinlogFile } from '../../model/log-position.ts';

/** Of a server that writes no binary log, or does not tell where it ends: no log follows it. */
export const noLogPosition = {
  engine: 'mysql',
  file: noBinlogFile,
  offsetBytes: 0,
  gtidSet: null,
} as const satisfies LogPosition;
