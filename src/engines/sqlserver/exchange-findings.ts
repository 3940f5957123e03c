// What is in the way of handing backups over. Pure.
import type { Finding } from '../engine.ts';
import { blocking, fine, warning } from '../findings.ts';
import { quoteIdentifier } from './identifier.ts';
import type { CredentialFacts, ExchangeFacts } from './inspect-exchange.ts';
import type { ServerFacts } from './inspect-facts.ts';
import { hasS3Connector } from './server-traits.ts';
import { s3Identity } from './tsql-credential.ts';

const check = 'exchange';

export function checkExchange(
  exchange: ExchangeFacts,
  { info }: Pick<ServerFacts, 'info'>,
): readonly Finding[] {
  if (exchange.kind === 'none') {
    const hint =
      'add backupFolder, as the server sees it, and backupFolderHere to the connection string, ' +
      'or backupUrl=s3://host/bucket/prefix';
    return [blocking(check, 'the connection names no place for the backups of the server', hint)];
  }
  const isBucket = exchange.kind === 'usable' && exchange.credential !== null;
  if (isBucket && !hasS3Connector(info)) {
    const text = 'backups to S3 need SQL Server 2022 or later, and not the Express edition';
    return [blocking(check, text, 'use backupFolder, a folder that both sides see')];
  }
  if (exchange.kind === 'broken') {
    const text = `the place for backups cannot be used from here: ${exchange.problem}`;
    return [blocking(check, text, exchange.hint ?? 'look at it from this host')];
  }
  const { place, seen, credential } = exchange;
  const isSeen = seen.kind === 'yes';
  return [
    checkSight(place, seen, isBucket),
    ...(credential === null ? [] : [checkCredential(credential, isSeen)]),
  ];
}

function checkSight(
  place: string,
  seen: Extract<ExchangeFacts, { kind: 'usable' }>['seen'],
  isBucket: boolean,
): Finding {
  switch (seen.kind) {
    case 'yes':
      return fine(check, `the server and this host see the same ${place}`);
    case 'no': {
      const text = `the server does not see what this host puts into ${place}: ${seen.problem}`;
      const hint = isBucket
        ? 'the server needs a credential for it, trust in the certificate of the store, and the ' +
          'rights to list and to write'
        : 'backupFolder and backupFolderHere must be one folder, which the account that SQL ' +
          'Server runs as may read and write';
      return blocking(check, text, hint);
    }
    case 'unknown':
      return fine(check, `${place} can be used from here; the first backup tells from the server`);
  }
}

function checkCredential(credential: CredentialFacts, isSeen: boolean): Finding {
  const name = 'credential';
  const { url } = credential;
  switch (credential.kind) {
    case 'present':
      return fine(name, `the server has the credential ${credential.name}`);
    case 'to-be-made':
      return fine(name, `the first backup makes the credential ${url}`);
    case 'unknown':
      return isSeen
        ? fine(name, 'the server has a credential, which is hidden from the login')
        : warning(name, `whether there is a credential for ${url} is hidden`, createHint(url));
    case 'absent':
      return blocking(
        name,
        `the server has no credential for ${url}, and ${credential.why}`,
        createHint(url),
      );
  }
}

function createHint(url: string): string {
  const secret = '<key id>:<secret key>';
  return (
    `CREATE CREDENTIAL ${quoteIdentifier(url)} WITH IDENTITY = '${s3Identity}', ` +
    `SECRET = '${secret}', with keys for this prefix only`
  );
}
