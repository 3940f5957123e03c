// Every way out that is no success goes through here, and every answer gets its request id and one
// log line.

import { STATUS_CODES } from 'node:http';
import type { FastifyReply, FastifyRequest, FastifyServerOptions } from 'fastify';
import { CairnError } from '../model/errors.ts';
import type { ApiApp, ApiParts } from './api-parts.ts';
import type { ErrorAnswer } from './errors.ts';
import { answerError, RequestError, readError, readLanguage, withKeystoneForm } from './errors.ts';
import type { RouteMap } from './route-map.ts';

const readMethods: readonly string[] = ['GET', 'HEAD', 'OPTIONS'];
/** Where Keystone's clients read the errors. */
const keystonePrefix = '/v3/auth/';
/** Where the limit itself names no time. */
const retryAfterSeconds = 10;

export function answerFailures(app: ApiApp, parts: ApiParts, routes: RouteMap): void {
  app.addHook('onRequest', async (request, reply) => {
    reply.header('X-Request-Id', request.id);
  });
  app.setErrorHandler((error, request, reply) => sendError(error, request, reply, parts));
  app.setNotFoundHandler((request, reply) => {
    const allowed = routes.methodsFor(pathOf(request));
    // Clients take 404 for "not offered here" when they only read.
    const isKnown = allowed.length > 0 && !readMethods.includes(request.method);
    if (isKnown) reply.header('Allow', allowed.join(', '));
    const condition = isKnown ? 'method-not-allowed' : 'route-unknown';
    return sendError(new RequestError(condition), request, reply, parts);
  });
  app.addHook('onResponse', async (request, reply) => {
    parts.log.info(
      {
        requestId: request.id,
        method: request.method,
        path: pathOf(request),
        status: reply.statusCode,
        durationMs: Math.round(reply.elapsedTime),
      },
      'request answered',
    );
  });
}

/** For what fails before there is a route: a broken address, or bytes that are no HTTP. */
export function answerMalformed(
  parts: ApiParts,
): Pick<FastifyServerOptions, 'frameworkErrors' | 'clientErrorHandler'> {
  return {
    frameworkErrors: (error, request, reply) => {
      const answer = reply as unknown as FastifyReply;
      answer.header('X-Request-Id', request.id);
      sendError(error, request as FastifyRequest, answer, parts);
    },
    clientErrorHandler: (_error, socket) => {
      if (socket.destroyed || !socket.writable) {
        socket.destroy();
        return;
      }
      const context = { language: 'en', requestId: parts.random.hex(16) } as const;
      const { status, body } = answerError(new RequestError('request-malformed'), context);
      socket.end(renderRaw(status, JSON.stringify(body), context.requestId));
    },
  };
}

function sendError(
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
  parts: ApiParts,
): FastifyReply {
  const { status, body } = explain(error, request);
  const known = readError(error);
  const about = { requestId: request.id, status, errorCode: body.error_code };
  if (known instanceof CairnError && status >= 500) {
    const { kind, details, cause, stack } = known;
    parts.log.error({ ...about, kind, details, cause, stack }, known.message);
  } else {
    parts.log.debug(about, known.message);
  }
  // Asked for again at once, what is too much stays too much.
  if (status === 429 && !reply.hasHeader('Retry-After')) {
    reply.header('Retry-After', retryAfterSeconds);
  }
  return reply.code(status).type('application/json; charset=utf-8').send(body);
}

function explain(error: unknown, request: FastifyRequest): ErrorAnswer {
  const answer = answerError(readError(error), {
    language: readLanguage(request.headers['x-language']),
    requestId: request.id,
  });
  const path = pathOf(request).replaceAll(/\/+/g, '/');
  return path.startsWith(keystonePrefix) ? withKeystoneForm(answer) : answer;
}

function pathOf(request: FastifyRequest): string {
  return request.url.split('?')[0] ?? '';
}

function renderRaw(status: number, body: string, requestId: string): string {
  return [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`,
    'Content-Type: application/json; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
    `X-Request-Id: ${requestId}`,
    'Connection: close',
    '',
    body,
  ].join('\r\n');
}
