// Bodies arrive as raw bytes, because signatures are made over bytes; they are read as JSON after
// the login. What comes with GET, HEAD or DELETE is never read: clients send a content type there,
// and some a signed `{}`.
import type { FastifyRequest } from 'fastify';
import type { ApiApp } from './api-parts.ts';
import { RequestError } from './errors.ts';

export const bodyBytesMax = 1024 * 1024;

/** Must run on the app itself, before any route is added. */
export function acceptRawBodies(app: ApiApp): void {
  app.addHttpMethod('GET', { hasBody: true, overrideExisting: true });
  app.removeAllContentTypeParsers();
  // Whatever the content type says, or when there is none: who may not come in is not told that it
  // was wrong.
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
}

/**
 * Goes after the login of the scope: turns bytes into values, and texts of the query into numbers.
 */
export function readRequests(scope: ApiApp): void {
  scope.addHook('preValidation', async (request) => {
    const { body } = request;
    const isWanted = request.routeOptions.schema?.body !== undefined;
    request.body = isWanted ? await readJson(scope, request, body) : undefined;
    convertQuery(request);
  });
}

/** `text/plain` is what some clients put on every body that they were given as a text. */
const acceptedTypes =
  /^(application\/([\w.-]+\+)?json|application\/octet-stream|text\/json|text\/plain)$/i;

async function readJson(scope: ApiApp, request: FastifyRequest, body: unknown): Promise<unknown> {
  const type = (request.headers['content-type'] ?? '').split(';')[0]?.trim() ?? '';
  if (type !== '' && !acceptedTypes.test(type)) throw new RequestError('media-type-unsupported');
  const text = body instanceof Buffer ? body.toString('utf8') : '';
  if (text.trim() === '') throw new RequestError('body-empty');
  const parse = scope.getDefaultJsonParser('error', 'error');
  const parsed = Promise.withResolvers<unknown>();
  void parse(request, text, (error, value) =>
    error ? parsed.reject(new RequestError('body-malformed')) : parsed.resolve(value),
  );
  return await parsed.promise;
}

type QuerySchema = { readonly properties?: Readonly<Record<string, { readonly type?: string }>> };

/**
 * A query is text: whole numbers are converted where the schema wants numbers, and nothing else is
 * guessed. A text without characters means that the parameter is absent.
 */
function convertQuery(request: FastifyRequest): void {
  const { properties } = (request.routeOptions.schema?.querystring ?? {}) as QuerySchema;
  const query = request.query as Record<string, unknown>;
  for (const [name, { type }] of Object.entries(properties ?? {})) {
    const value = query[name];
    if (type === 'integer' && typeof value === 'string' && /^-?\d{1,15}$/.test(value)) {
      query[name] = Number(value);
    } else if (type !== 'integer' && value === '') {
      delete query[name];
    }
  }
}
