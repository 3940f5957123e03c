// The catalogue of errors: kind, reason or condition → status, RDS `error_code` and text. Codes are
// those of the published tables; where the tables have none (a database server that cannot be
// backed up), a code of our own is used. Codes on which clients retry by themselves (DBS.201202)
// stand only where trying again helps.
import type { ErrorReason } from '../model/error-reasons.ts';
import type { ErrorKind } from '../model/errors.ts';

export type Entry = {
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

export const byKind: Readonly<Record<ErrorKind, Entry>> = {
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

export const byReason: Readonly<Record<ErrorReason, Entry>> = {
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
  'backup-incremental': entry(
    400,
    'DBS.201207',
    'An incremental backup is a stretch of log: it is not used by itself.',
    '增量备份不支持单独执行该操作。',
  ),
  'log-interval-invalid': entry(
    400,
    'DBS.280001',
    'The interval of incremental backups is not valid.',
    '增量备份周期不合法。',
  ),
  'contents-unknown': entry(
    400,
    'DBS.201207',
    'The backup has no list of databases and tables.',
    '该备份没有数据库和表的列表。',
  ),
  'differential-not-offered': entry(
    400,
    'DBS.201207',
    'Differential backups are not offered for this engine.',
    '该引擎不支持差异备份。',
  ),
  'database-unknown': entry(
    400,
    'DBS.280128',
    'The database name does not exist.',
    '数据库名不存在。',
  ),
  'database-name-taken': entry(409, 'DBS.201201', 'The database exists already.', '数据库已存在。'),
  'database-name-invalid': entry(
    400,
    'DBS.280277',
    'The database name is not valid.',
    '数据库名称不合法。',
  ),
  'table-unknown': entry(400, 'DBS.280001', 'The table cannot be restored.', '无法恢复该表。'),
  'table-name-taken': entry(409, 'DBS.201201', 'The table exists already.', '表已存在。'),
  'role-unknown': entry(400, 'DBS.280001', 'A role does not exist.', '角色不存在。'),
  'databases-not-offered': entry(
    400,
    'DBS.201207',
    'Not offered for single databases.',
    '不支持指定数据库的此操作。',
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
  'backup-not-running': entry(
    409,
    'DBS.200402',
    'No backup of the instance is running.',
    '该实例没有正在进行的备份。',
  ),
  'policy-keep-days-invalid': entry(
    400,
    'DBS.280250',
    'The retention days are not valid.',
    '备份保留天数不合法。',
  ),
  'policy-start-time-invalid': entry(
    400,
    'DBS.280253',
    'The backup window is not valid.',
    '备份时间段不合法。',
  ),
  'policy-period-invalid': entry(
    400,
    'DBS.280251',
    'The backup cycle is not valid.',
    '备份周期不合法。',
  ),
  'offsite-not-offered': entry(
    400,
    'DBS.280001',
    'There is no second storage.',
    '没有可用的异地存储。',
  ),
  'new-instance-not-offered': entry(
    400,
    'DBS.201207',
    'Cairn starts no servers of this engine.',
    '不支持将该引擎恢复到新实例。',
  ),
  'restore-in-place-not-offered': entry(
    400,
    'DBS.201207',
    'Cairn cannot restore over this instance.',
    '不支持恢复到该实例。',
  ),
  'recovery-not-offered': entry(
    400,
    'DBS.280001',
    'The log of this engine cannot be replayed that way.',
    '该引擎不支持此恢复方式。',
  ),
  'restore-time-unreachable': entry(
    400,
    'DBS.280001',
    'The time is outside the restorable windows.',
    '恢复时间点不在可恢复时间段内。',
  ),
  'instance-quota-reached': entry(
    413,
    'DBS.200046',
    'The instance quota is reached.',
    '实例配额不足。',
  ),
  'too-many-tags': entry(
    400,
    'DBS.280001',
    'An instance has at most 20 tags.',
    '每个实例最多20个标签。',
  ),
  'client-token-reused': entry(
    409,
    'DBS.201201',
    'The client token belongs to another request.',
    '该客户端令牌已用于其他请求。',
  ),
  'link-invalid': entry(
    403,
    'DBS.280015',
    'The link is not valid or has expired.',
    '链接无效或已过期。',
  ),
  'action-not-allowed': entry(
    403,
    'DBS.200010',
    'Your role does not allow it.',
    '您的角色无权执行该操作。',
  ),
  'login-locked': entry(
    401,
    'APIGW.0301',
    'The login is locked for some minutes after too many failures.',
    '登录失败次数过多，已被暂时锁定。',
  ),
  'logins-saturated': entry(
    429,
    'APIGW.0308',
    'Too many logins at once; retry later.',
    '登录请求过多，请稍后重试。',
  ),
  'downloads-saturated': entry(
    429,
    'APIGW.0308',
    'Too many downloads are being opened at once; retry later.',
    '同时打开的下载过多，请稍后重试。',
  ),
  'token-unknown': entry(404, 'DBS.290013', 'The token does not exist.', '令牌不存在。'),
  'user-unknown': entry(404, 'DBS.290013', 'The user does not exist.', '用户不存在。'),
  'user-name-taken': entry(409, 'DBS.201201', 'The user name exists already.', '用户名已存在。'),
  'project-unknown': entry(404, 'DBS.290013', 'The project does not exist.', '项目不存在。'),
  'project-name-taken': entry(
    409,
    'DBS.201201',
    'The project name exists already.',
    '项目名称已存在。',
  ),
  'project-not-empty': entry(
    409,
    'DBS.200402',
    'The project still has instances or backups.',
    '项目中仍有实例或备份。',
  ),
  'access-key-unknown': entry(
    404,
    'DBS.290013',
    'The access key does not exist.',
    '访问密钥不存在。',
  ),
  'password-weak': entry(400, 'DBS.200052', 'The password is too weak.', '密码强度不足。'),
  'last-owner': entry(
    409,
    'DBS.200402',
    'There must be an owner left.',
    '必须保留至少一个所有者。',
  ),
};

/** What goes wrong before an operation is reached; nothing below this door knows these. */
export const byCondition = {
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
  'method-not-allowed': entry(
    405,
    'APIGW.0101',
    'The API has no such method.',
    'API不支持该方法。',
  ),
  'media-type-unsupported': entry(
    415,
    'APIGW.0201',
    'The request body must be JSON.',
    '请求体必须是JSON。',
  ),
  'range-outside': entry(
    416,
    'DBS.280001',
    'The range lies outside the file.',
    '请求的范围超出文件大小。',
  ),
  throttled: entry(
    429,
    'APIGW.0308',
    'Too many requests; retry later.',
    '请求过于频繁，请稍后重试。',
  ),
  'route-unknown': entry(404, 'APIGW.0101', 'The API does not exist.', 'API不存在。'),
} as const;
