// How a connection uses TLS, in the words of libpq (PostgreSQL documentation, chapter "libpq", "SSL
// Support"): what each way is to the client of an engine, its connection says.
import type { Connection } from '../model/instance.ts';

/** What of the certificate must fit. */
export type TlsWay =
  | { readonly verify: 'nothing' }
  /** Null: the system's authorities. */
  | { readonly verify: 'authority' | 'authority-and-host'; readonly ca: string | null };

const anyCertificate: TlsWay = { verify: 'nothing' };

/** The ways to try in order, null for plain; `require` with an authority verifies it. Pure. */
export function planTlsWays({
  host,
  tls,
  tlsCaPem: ca,
}: Pick<Connection, 'host' | 'tls' | 'tlsCaPem'>): readonly (TlsWay | null)[] {
  if (host.startsWith('/')) return [null];
  switch (tls) {
    case 'disable':
      return [null];
    case 'prefer':
      return [anyCertificate, null];
    case 'require':
      return [ca === null ? anyCertificate : { verify: 'authority', ca }];
    case 'verify-ca':
      return [{ verify: 'authority', ca }];
    case 'verify-full':
      return [{ verify: 'authority-and-host', ca }];
  }
}
