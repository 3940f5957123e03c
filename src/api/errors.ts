// The one place where an error becomes a status, an RDS `error_code` and a text. Codes are those of
// the published tables; where the tables have none (a database server that cannot be backed up), a
// code of our own is used. Codes on which clients retry by themselves (DBS.201202) stand only where
// trying again helps.
import type { FastifyError } from 'fastify';
import type { ErrorReason } from '../model/error-reasons.ts';
import type { ErrorKind } from '../model/errors.ts';
import { CairnError, toCairnError } from '../model/errors.ts';
import { isReason, reasonKeyword } from './schema/define.ts';
import type { ErrorBody } from './schema/error.ts';

type Entry = {
  readonly status: number;
  readonly code: string;
  readonly en: string;
  readonly zh: string;
};

const entry = (status: number, code: string, en: string, zh: string): Entry => ({
  status,
  code,
  en,
  zh,
});

const serverFailure = entry(500, 'DBS.108000', 'The server failed.', '服务器内部错误。');

const byKind: Readonly<Record<ErrorKind, Entry>> = {
  'not-found': entry(404, 'DBS.290013', 'The resource does not exist.', '资源不存在。'),
  conflict: entry(
    409,
    'DBS.201202',
    'Another operation is running; retry later.',
    '实例正在执行其他操作，请稍后重试。',
  ),
  invalid: entry(400, 'DBS.280001', 'A parameter is not valid.', '参数错误。'),
  unauthenticated: entry(
    401,
    'APIGW.0301',
    'Incorrect IAM authentication information.',
    'IAM认证信息错误。',
  ),
  forbidden: entry(403, 'DBS.280015', 'You have no permission for it.', '资源不存在或无权限访问。'),
  'engine-unreachable': entry(
    502,
    'CAIRN.0001',
    'The database server cannot be reached.',
    '无法连接数据库服务器。',
  ),
  'engine-refused': entry(
    422,
    'CAIRN.0002',
    'The database server refused.',
    '数据库服务器拒绝了请求。',
  ),
  'storage-unavailable': entry(
    503,
    'DBS.108002',
    'The storage is not available.',
    '存储暂不可用。',
  ),
  'storage-full': entry(503, 'DBS.108005', 'The storage is full.', '存储空间已满。'),
  'repository-damaged': entry(500, 'DBS.290015', 'The repository is damaged.', '备份仓库已损坏。'),
  'log-gap': entry(409, 'DBS.200402', 'The log archive has a gap.', '日志归档存在缺口。'),
  cancelled: entry(503, 'DBS.108002', 'The request was ended before its time.', '请求已被终止。'),
  bug: serverFailure,
};

const byReason: Readonly<Record<ErrorReason, Entry>> = {
  'instance-id-malformed': entry(
    400,
    'DBS.280404',
    'The instance id is malformed.',
    '实例ID格式错误。',
  ),
  'instance-unknown': entry(404, 'DBS.200002', 'The instance does not exist.', '实例不存在。'),
  'instance-name-invalid': entry(
    400,
    'DBS.200021',
    'The instance name is not valid.',
    '实例名称不合法。',
  ),
  'instance-name-taken': entry(
    409,
    'DBS.200022',
    'The instance name exists already.',
    '实例名称已存在。',
  ),
  'instance-busy': entry(
    409,
    'DBS.201202',
    'The instance is busy with another operation; retry later.',
    '实例正在执行其他操作，请稍后重试。',
  ),
  'instance-not-active': entry(
    400,
    'DBS.200086',
    'The state of the instance does not allow it.',
    '当前实例状态不允许执行该操作。',
  ),
  'database-type-invalid': entry(
    400,
    'DBS.280235',
    'The database type is not valid.',
    '数据库类型不合法。',
  ),
  'backup-unknown': entry(404, 'DBS.201010', 'The backup does not exist.', '备份信息不存在。'),
  'backup-name-invalid': entry(
    400,
    'DBS.280277',
    'The backup name is not valid.',
    '备份名称不合法。',
  ),
  'backup-name-taken': entry(
    409,
    'DBS.201209',
    'The backup name exists already.',
    '备份名称已存在。',
  ),
  'backup-description-invalid': entry(
    400,
    'DBS.280127',
    'The backup description is not valid.',
    '备份描述不合法。',
  ),
  'backup-running': entry(409, 'DBS.201205', 'A backup is running.', '正在进行备份。'),
  'backup-building': entry(
    409,
    'DBS.201202',
    'The backup is still being made; retry later.',
    '备份正在创建中，请稍后重试。',
  ),
  'backup-not-manual': entry(
    409,
    'DBS.200402',
    'Only manual backups can be deleted.',
    '只能删除手动备份。',
  ),
  'backup-not-completed': entry(
    400,
    'DBS.201208',
    'The state of the backup does not allow it.',
    '当前备份状态不允许执行该操作。',
  ),
  'backup-in-use': entry(400, 'DBS.201208', 'The backup is in use.', '备份正在使用中。'),
  'databases-not-offered': entry(
    400,
    'DBS.201207',
    'Backups of single databases are not offered yet.',
    '暂不支持指定数据库的备份。',
  ),
  'engine-mismatch': entry(
    400,
    'DBS.201207',
    'The engine is not that of the backup.',
    '数据库引擎与备份不一致。',
  ),
  'version-mismatch': entry(
    400,
    'DBS.200041',
    'The version is not that of the backup.',
    '数据库版本与备份不一致。',
  ),
  'job-unknown': entry(400, 'DBS.200543', 'The job does not exist.', '任务不存在。'),
  'job-ended': entry(409, 'DBS.200402', 'The job has ended.', '任务已结束。'),
  'job-not-cancellable': entry(
    409,
    'DBS.200402',
    'The job cannot be cancelled.',
    '该任务不可取消。',
  ),
  'project-mismatch': entry(
    403,
    'DBS.280015',
    'The project is not the one of the login.',
    '资源不存在或无权限访问。',
  ),
  'server-not-ready': entry(
    422,
    'CAIRN.0003',
    'The database server cannot be backed up as it is.',
    '数据库服务器不满足备份条件。',
  ),
};

/** What goes wrong before an operation is reached; nothing below this door knows these. */
const byCondition = {
  'body-empty': entry(400, 'DBS.200006', 'The request body is empty.', '请求体为空。'),
  'body-malformed': entry(
    400,
    'APIGW.0201',
    'The request body is not valid JSON.',
    '请求体不是合法的JSON。',
  ),
  'body-too-large': entry(
    413,
    'APIGW.0201',
    'The request body is larger than 1 MiB.',
    '请求体超过1 MiB。',
  ),
  'request-malformed': entry(400, 'APIGW.0201', 'The request is malformed.', '请求格式错误。'),
  'route-unknown': entry(404, 'APIGW.0101', 'The API does not exist.', 'API不存在。'),
} as const;

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

/** The form that Keystone clients read; only the token call uses it. */
export function withKeystoneForm({ status, body }: ErrorAnswer): ErrorAnswer {
  const title = status === 401 ? 'Unauthorized' : status < 500 ? 'Bad Request' : 'Server Error';
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
