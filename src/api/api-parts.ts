import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type {
  FastifyBaseLogger,
  FastifyInstance,
  FastifyRequest,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerDefault,
} from 'fastify';
import type { DownloadSettings } from '../operations/download/download-parts.ts';
import type { RequestParts } from '../operations/parts.ts';
import type { RateLimits } from './rate-limit.ts';

export type ApiParts = RequestParts & {
  readonly downloads: DownloadSettings;
  /** How clients reach this server, without a final `/`; null: as each request says (`Host`). */
  readonly publicUrl: string | null;
  readonly rateLimits: RateLimits;
};

export type ApiApp = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>;

/** The address that links and catalogue entries begin with. */
export function baseUrlOf(request: FastifyRequest, { publicUrl }: ApiParts): string {
  return publicUrl ?? `${request.protocol}://${request.host}`;
}
