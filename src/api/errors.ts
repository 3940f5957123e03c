// The one place where an error becomes an answer; `error-catalogue.ts` holds statuses, codes and
// texts.
import { STATUS_CODES } from 'node:http';
import type { FastifyError } from 'fastify';
import type { ErrorKind } from '../model/errors.ts';
import { CairnError, toCairnError } from '../model/errors.ts';
import { byCondition, byKind, byReason } from './error-catalogue.ts';
import { isReason, reasonKeyword } from './schema/define.ts';
import type { ErrorBody } from './schema/error.ts';

/** A condition of the HTTP door. */
export class RequestError extends Error {
  readonly condition: keyof typeof byCondition;

  constructor(condition: keyof typeof byCondition) {
    super(byCondition[condition].en);
    this.condition = condition;
  }
}

export type Language = 'en' | 'zh';
export type ErrorAnswer = { readonly status: number; readonly body: ErrorBody };

/** Chinese for `zh-cn`, English for everything else. */
export function readLanguage(header: string | readonly string[] | undefined): Language {
  return String(header ?? '')
    .toLowerCase()
    .startsWith('zh')
    ? 'zh'
    : 'en';
}

export function answerError(
  error: CairnError | RequestError,
  { language, requestId }: { readonly language: Language; readonly requestId: string },
): ErrorAnswer {
  const { status, code, en, zh } =
    error instanceof RequestError
      ? byCondition[error.condition]
      : error.reason === null
        ? byKind[error.kind]
        : byReason[error.reason];
  const said = error instanceof CairnError && isForClients(error.kind, status) ? error : null;
  const text =
    language === 'zh' ? `${zh}${said ? `（${said.message}）` : ''}` : said ? sentences(said) : en;
  return { status, body: { error_code: code, error_msg: text, request_id: requestId } };
}

/** What our own machinery says of itself (addresses, paths, the text of a bug) is for the log. */
function isForClients(kind: ErrorKind, status: number): boolean {
  return status < 500 || kind === 'engine-unreachable' || kind === 'cancelled';
}

/** The form that Keystone clients read, next to ours. */
export function withKeystoneForm({ status, body }: ErrorAnswer): ErrorAnswer {
  const title = STATUS_CODES[status] ?? '';
  return { status, body: { ...body, error: { code: status, message: body.error_msg, title } } };
}

/** Everything that a handler, a hook or Fastify itself may throw. */
export function readError(error: unknown): CairnError | RequestError {
  if (error instanceof CairnError || error instanceof RequestError) return error;
  if (!isFastifyError(error)) return toCairnError(error);
  if (error.validation) return explainValidation(error);
  if (error.code === 'FST_ERR_CTP_BODY_TOO_LARGE') return new RequestError('body-too-large');
  if (error.code === 'FST_ERR_HANDLER_TIMEOUT') {
    return new CairnError('cancelled', 'the request took too long', { cause: error });
  }
  const { statusCode = 500 } = error;
  return statusCode < 500 ? new RequestError('request-malformed') : toCairnError(error);
}

type ValidationDetail = {
  readonly keyword?: string;
  readonly instancePath?: string;
  readonly message?: string;
  readonly parentSchema?: Readonly<Record<string, unknown>>;
};

/**
 * The schema of the property says which rule it states (`x-reason`); a wrong type is a wrong type
 * anywhere.
 */
function explainValidation(error: FastifyError): CairnError {
  const detail: ValidationDetail = error.validation?.[0] ?? {};
  const place = (detail.instancePath ?? '').slice(1).replaceAll('/', '.');
  const what = place === '' ? `the ${error.validationContext ?? 'request'}` : `parameter ${place}`;
  const text = `${what} ${detail.message ?? 'is not valid'}`;
  const reason = detail.keyword === 'type' ? null : detail.parentSchema?.[reasonKeyword];
  if (!isReason(reason)) return new CairnError('invalid', text);
  const rule = byReason[reason].en.replace(/^T/, 't').replace(/\.$/, '');
  return new CairnError('invalid', `${rule}: ${text}`, { reason });
}

function isFastifyError(error: unknown): error is FastifyError {
  return error instanceof Error && 'code' in error && String(error.code).startsWith('FST_');
}

function sentences({ message, hint }: CairnError): string {
  return hint === null ? sentence(message) : `${sentence(message)} ${sentence(hint)}`;
}

/** A text that begins with the name of a field keeps it as it is. */
function sentence(text: string): string {
  const isWord = /^[a-z]+(?![a-z_])/.test(text);
  return `${isWord ? text.charAt(0).toUpperCase() : text.charAt(0)}${text.slice(1)}.`;
}
