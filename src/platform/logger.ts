import type { Logger } from 'pino';
import { destination, pino } from 'pino';

export type { Logger };

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

/**
 * JSON lines on standard error, so that standard output stays free for answers. Secrets are of
 * class `Secret`, which prints as `***`; the redaction below is the second net, for texts that came
 * in from outside.
 */
export function createLogger(level: LogLevel, name: string): Logger {
  return pino(
    {
      level,
      name,
      redact: {
        paths: ['password', '*.password', 'headers.authorization', 'headers["x-auth-token"]'],
        censor: '***',
      },
    },
    destination({ dest: 2, sync: true }),
  );
}

export const silentLogger: Logger = pino({ level: 'silent' });
