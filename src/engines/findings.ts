// What an inspection says of one thing that it looked at.
import type { Finding } from './engine.ts';

export function fine(check: string, message: string): Finding {
  return { check, severity: 'fine', message, hint: null };
}

/** Backups work, but not as well as they could. */
export function warning(check: string, message: string, hint: string): Finding {
  return { check, severity: 'warning', message, hint };
}

/** Without this, no backup can be taken. */
export function blocking(check: string, message: string, hint: string): Finding {
  return { check, severity: 'blocking', message, hint };
}

/** Of whether what is sent can be read on the way. */
export function checkTls(host: string, isEncrypted: boolean, mend: string): Finding {
  if (isEncrypted) return fine('tls', 'the connection uses TLS');
  if (/^(\/|localhost$|127\.|::1$)/.test(host)) {
    return fine('tls', 'the connection is plain and stays on this host');
  }
  return warning(
    'tls',
    `the connection to ${host} is plain: data and login can be read on the way`,
    mend,
  );
}
