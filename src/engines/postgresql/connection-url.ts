// `postgres://user:password@host:5432/database?sslmode=require`, as `../connection-url.ts` reads
// it. What is left out: port 5432, database `postgres`, sslmode `prefer`.
import type { Connection } from '../../model/instance.ts';
import type { UrlDialect } from '../connection-url.ts';
import { parseUrl } from '../connection-url.ts';

const dialect: UrlDialect = {
  scheme: 'postgres(?:ql)?',
  kind: 'a postgres:// URL',
  shape: 'the form is postgres://user:password@host:5432/database?sslmode=require',
  defaultPort: 5432,
  defaultDatabase: 'postgres',
  aliases: {},
  ignored: [
    'application_name',
    'fallback_application_name',
    'connect_timeout',
    'channel_binding',
    'gssencmode',
    'target_session_attrs',
  ],
};

/** @throws invalid */
export function parseConnectionUrl(text: string): Connection {
  return parseUrl(text, dialect);
}
