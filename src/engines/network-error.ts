// What the network and TLS say when a server cannot be spoken to, in words that the reader can act
// on: the same for engines whose clients pass on the names of Node's errors.
import type { ErrorKind } from '../model/errors.ts';

export type Explanation = {
  readonly kind: ErrorKind;
  readonly message: string;
  readonly hint?: string | undefined;
};

export type SpokenTo = {
  /** As it is shown: `host:port`, or a socket. */
  readonly server: string;
  readonly host: string;
  /** What must be set right for a server to listen, for a socket to be there, and to be usable. */
  readonly hints: { readonly listen: string; readonly socket: string; readonly access: string };
  /** Whose port it should be. */
  readonly product: string;
};

/** `authority`: what a connection string calls the certificates. Null: it is no error of TLS. */
export function explainTls(
  code: string,
  text: string,
  server: string,
  authority = 'sslrootcert',
): Explanation | null {
  const isCertificate = /CERT|SELF_SIGNED|UNABLE_TO_/.test(code);
  if (!isCertificate && !code.startsWith('ERR_SSL') && !code.startsWith('ERR_TLS')) return null;
  return {
    kind: 'engine-refused',
    message: `TLS with ${server} failed: ${text}`,
    hint: isCertificate
      ? `name the authority that signed the certificate in ${authority}, and use the name it holds`
      : 'check that the server speaks TLS 1.2 or newer on this port',
  };
}

export function withoutTls(server: string): Explanation {
  return {
    kind: 'engine-refused',
    message: `the server at ${server} does not offer TLS`,
    hint: 'switch on TLS on the server, or use sslmode=disable on a trusted network',
  };
}

export function explainNetwork(
  code: string,
  text: string,
  { server, host, hints, product }: SpokenTo,
): Explanation {
  const way = 'check the network and firewalls';
  const closed = [
    `the server at ${server} closed the connection`,
    `check the server log and that this port belongs to ${product}`,
  ] as const;
  const explanations: Readonly<Record<string, readonly [message: string, hint: string]>> = {
    ECONNREFUSED: [`nothing listens at ${server}`, hints.listen],
    ENOTFOUND: [`host name ${host} is not known`, 'check the host name and DNS'],
    EAI_AGAIN: [`host name ${host} cannot be looked up now`, 'check the DNS of this worker'],
    ENOENT: [`there is no socket ${server}`, hints.socket],
    EACCES: [`socket ${server} may not be used by this user`, hints.access],
    ETIMEDOUT: [`${server} does not answer`, 'check the host, the network and firewalls'],
    EHOSTUNREACH: [`there is no way to ${server}`, way],
    ENETUNREACH: [`there is no way to ${server}`, way],
    ECONNRESET: closed,
    PROTOCOL_CONNECTION_LOST: closed,
  };
  const [message, hint] = explanations[code] ?? [
    `the connection to ${server} failed: ${text}`,
    'check the server log',
  ];
  return { kind: 'engine-unreachable', message, hint };
}
