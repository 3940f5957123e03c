// Links to backups, and the files behind them. A file is streamed from the repository; what fails
// midway ends the connection without the promised length, so that no client takes it for all.
import { Socket } from 'node:net';
import { Readable } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Static } from 'typebox';
import { Type } from 'typebox';
import type { ProjectId } from '../../model/ids.ts';
import { listBackupFiles, openLink } from '../../operations/download/backup-file.ts';
import type { Download } from '../../operations/download/open-download.ts';
import { deadlineSignal } from '../../platform/deadline.ts';
import type { ApiApp, ApiParts } from '../api-parts.ts';
import { baseUrlOf } from '../api-parts.ts';
import { projectOf } from '../auth.ts';
import { parseByteRange } from '../byte-range.ts';
import { RequestError } from '../errors.ts';
import { needs } from '../permission.ts';
import { presentBackupFiles } from '../present/download.ts';
import { refTo } from '../schema/define.ts';
import {
  BackupFilesSchema,
  DownloadPathSchema,
  DownloadQuerySchema,
  downloadRefusals,
  fileAnswer,
  ListBackupFilesQuerySchema,
} from '../schema/download.ts';
import { errorAnswers } from '../schema/error-answers.ts';
import { requireBackupId } from './path-ids.ts';

const tags = ['downloads'];
/** Each holds two windows of the repository in memory. */
const downloadsMax = 8;
const retryAfterSeconds = 30;
/** To read the manifest of a large backup. */
const openTimeoutMs = 50_000;
/**
 * A client that takes nothing holds a place. Node grants a second span when something lay in the
 * queue of the socket at the end of the first, so it is twice this at most.
 */
const stalledMs = 60_000;
/** The longest that a timer takes: a download may last for days. */
const handlerTimeout = 2 ** 31 - 1;

/** `/v3/{project}/backup-files` */
export function registerBackupFileRoutes(app: ApiApp, parts: ApiParts): void {
  app.get(
    '/backup-files',
    {
      config: needs('rds:backup:download'),
      schema: {
        operationId: 'listBackupFiles',
        description:
          'One file, the whole server as .tar.zst; of single databases the files of pg_dump.',
        tags,
        params: Type.Object({ projectId: Type.String() }),
        querystring: ListBackupFilesQuerySchema,
        response: { 200: refTo(BackupFilesSchema), ...errorAnswers },
      },
    },
    async (request) => {
      const backupId = requireBackupId(request.query.backup_id);
      const wanted = { projectId: projectOf(request), backupId };
      const files = await listBackupFiles(parts, wanted, deadlineSignal(openTimeoutMs));
      return presentBackupFiles(files, baseUrlOf(request, parts));
    },
  );
}

/** `/cairn/v1/downloads/…`: the link is all the login that there is. */
export function registerDownloadRoute(app: ApiApp, parts: ApiParts): void {
  let running = 0;
  app.route({
    method: ['GET', 'HEAD'],
    url: '/cairn/v1/downloads/:projectId/:backupId/:fileName',
    handlerTimeout,
    schema: {
      operationId: 'downloadBackup',
      description:
        'The link of listBackupFiles: the bytes with their exact length. One byte range, ' +
        `If-Range and HEAD are understood. ${downloadRefusals}`,
      tags,
      security: [],
      params: DownloadPathSchema,
      querystring: DownloadQuerySchema,
      response: { 200: fileAnswer, 206: fileAnswer, ...errorAnswers },
    },
    handler: async (request, reply) => {
      const { params, query } = request;
      if (request.method === 'HEAD') {
        const download = await open(params, query, parts);
        describe(download, reply).header('Content-Length', download.sizeBytes);
        return await reply.code(200).send(undefined);
      }
      if (running >= downloadsMax) {
        reply.header('Retry-After', retryAfterSeconds);
        throw new RequestError('throttled');
      }
      running++;
      let body: Readable | null = null;
      try {
        const download = await open(params, query, parts);
        limitStall(request);
        body = answerBytes(download, request, reply, parts).once('close', () => running--);
      } finally {
        if (body === null) running--;
      }
      return await reply.send(body);
    },
  });
}

async function open(
  path: Static<typeof DownloadPathSchema>,
  { expires = '', signature = '' }: Static<typeof DownloadQuerySchema>,
  parts: ApiParts,
): Promise<Download> {
  const link = {
    // Ours, if the signature is: who made it up gets no further.
    projectId: path.projectId as ProjectId,
    backupId: requireBackupId(path.backupId),
    fileName: path.fileName,
    expiresSeconds: /^\d{1,12}$/.test(expires) ? Number(expires) : 0,
  };
  return await openLink(parts, { ...link, signature }, deadlineSignal(openTimeoutMs));
}

/** Status and headers of the whole file or the range, and the stream of its bytes. */
function answerBytes(
  download: Download,
  request: FastifyRequest,
  reply: FastifyReply,
  parts: ApiParts,
): Readable {
  const { sizeBytes } = download;
  const range = parseByteRange(wantedRange(request, download), sizeBytes);
  if (range.kind === 'outside') {
    reply.header('Content-Range', `bytes */${sizeBytes}`);
    throw new RequestError('range-outside');
  }
  const isPart = range.kind === 'part';
  const span = isPart ? range : { startBytes: 0, endBytes: sizeBytes };
  const { startBytes, endBytes } = span;
  describe(download, reply).header('Content-Length', endBytes - startBytes);
  if (isPart) reply.header('Content-Range', `bytes ${startBytes}-${endBytes - 1}/${sizeBytes}`);
  reply.code(isPart ? 206 : 200);
  const stop = new AbortController();
  return Readable.from(download.read(span, stop.signal), { objectMode: false })
    .on('error', (err) => {
      const about = { err, requestId: request.id, fileName: download.fileName };
      parts.log.error(about, 'a download was broken off');
    })
    .on('close', () => stop.abort());
}

/** Until the answer ends: the next one on the connection begins with the server's own span. */
function limitStall({ raw: { socket } }: FastifyRequest): void {
  // A request that is injected has no socket that could stall.
  if (socket instanceof Socket) socket.setTimeout(stalledMs);
}

/** With `If-Range`, the range counts only when the file is still the same (RFC 9110, 13.1.5). */
function wantedRange({ headers }: FastifyRequest, { tag }: Download): string | undefined {
  const condition = headers['if-range'];
  return condition === undefined || condition === `"${tag}"` ? headers.range : undefined;
}

function describe({ fileName, mediaType, tag }: Download, reply: FastifyReply): FastifyReply {
  return reply
    .type(mediaType)
    .header('Accept-Ranges', 'bytes')
    .header('ETag', `"${tag}"`)
    .header('Content-Disposition', `attachment; filename="${fileName}"`)
    .header('Cache-Control', 'private, no-store, no-transform');
}
