// The credential by which a server reaches object storage (SQL Server documentation, "CREATE
// CREDENTIAL", "SQL Server backup to URL for S3-compatible object storage"). Its name is the
// beginning of the URLs that it is for; the most specific one counts. The secret lies in the
// server's catalog from then on: use a key that opens one prefix only.
import { CairnError } from '../../model/errors.ts';
import { Secret } from '../../model/secret.ts';
import { quoteIdentifier, quoteText } from './identifier.ts';
import type { SqlStatement } from './statement.ts';

export type S3Credential = {
  /** `s3://host:port/bucket`, without a slash at its end. */
  readonly url: string;
  readonly accessKeyId: string;
  readonly secretKey: Secret;
};

/** The word that tells the server which kind of credential it is. */
export const s3Identity = 'S3 Access Key';
const secretMax = 4000;
const urlPattern = /^s3:\/\/[A-Za-z0-9.-]+(?::\d{1,5})?(?:\/[A-Za-z0-9._-]+)*$/;
/** Documented as the only ones that the server passes on as they are. */
const keyPattern = /^[A-Za-z0-9]+$/;

/** Of what exists: `name`, `credential_identity`. Secrets cannot be read back. */
export function credentialsStatement(): SqlStatement {
  return {
    name: 'list-credentials',
    text: 'SELECT c.name, c.credential_identity FROM sys.credentials AS c ORDER BY c.name',
    parameters: [],
  };
}

/** Needs ALTER ANY CREDENTIAL. @throws invalid for keys that the server would not pass on */
export function createCredentialStatement(credential: S3Credential): SqlStatement {
  return withSecret('create-credential', 'CREATE', credential);
}

/** Another secret for one that exists. @throws invalid */
export function alterCredentialStatement(credential: S3Credential): SqlStatement {
  return withSecret('alter-credential', 'ALTER', credential);
}

export function dropCredentialStatement(url: string): SqlStatement {
  return {
    name: 'drop-credential',
    text: `DROP CREDENTIAL ${quoteIdentifier(checkUrl(url))}`,
    parameters: [],
  };
}

function withSecret(name: string, verb: string, credential: S3Credential): SqlStatement {
  const url = quoteIdentifier(checkUrl(credential.url));
  const secret = credential.secretKey.reveal();
  if (!keyPattern.test(credential.accessKeyId) || !keyPattern.test(secret)) {
    throw new CairnError('invalid', `SQL Server cannot use the S3 key for ${credential.url}`, {
      hint: 'Key id and secret may hold letters and digits only; make another pair of keys.',
    });
  }
  const pair = quoteText(`${credential.accessKeyId}:${secret}`, secretMax);
  const text = `${verb} CREDENTIAL ${url} WITH IDENTITY = '${s3Identity}', SECRET = ${pair}`;
  return { name, text: new Secret(text), parameters: [] };
}

function checkUrl(url: string): string {
  if (!urlPattern.test(url)) {
    throw new CairnError('invalid', `${JSON.stringify(url)} cannot name a credential`, {
      hint: 'It looks like s3://host:9000/bucket.',
    });
  }
  return url;
}
