// Talks to a Cairn service over HTTP with the credentials of `credentials.json`: logs in for a
// token once per command, turns error answers back into errors of the closed list.
import { readFile } from 'node:fs/promises';
import type { Environment } from '../config/config.ts';
import { credentialsPath } from '../config/config.ts';
import type { ErrorKind } from '../model/errors.ts';
import { CairnError } from '../model/errors.ts';
import { Secret } from '../model/secret.ts';
import { writePrivateFile } from '../platform/private-file.ts';
import type { Random } from '../platform/random.ts';

const requestTimeoutMs = 60_000;
/** Where an answer of status 429 names no time. */
const retryAfterSeconds = 30;
const retryAfterMaxSeconds = 120;

export type ServiceOptions = {
  readonly dataDir?: string | undefined;
  readonly environment: Environment;
};

type Credentials = {
  readonly endpoint: string;
  readonly projectId: string;
  readonly domain: string;
  readonly user: string;
  readonly password: Secret;
};

/** An error answer whose body says more than code and text, such as findings. */
export class ServiceError extends CairnError {
  readonly body: unknown;
  /** Of status 429: when to come again. Null for every other answer. */
  readonly retryAfterMs: number | null;

  constructor(kind: ErrorKind, message: string, answer: ErrorAnswer) {
    super(kind, message, answer.retryAfterMs === null ? {} : { hint: 'try again later' });
    this.body = answer.body;
    this.retryAfterMs = answer.retryAfterMs;
  }
}

type ErrorAnswer = { readonly body: unknown; readonly retryAfterMs: number | null };

export class ServiceClient {
  readonly #credentials: Credentials;
  readonly #path: string;
  #token: Secret | null = null;

  private constructor(credentials: Credentials, path: string) {
    this.#credentials = credentials;
    this.#path = path;
  }

  /** @throws not-found when there are no credentials, invalid when the file is none */
  static async open(options: ServiceOptions): Promise<ServiceClient> {
    const path = credentialsPath({ dataDir: options.dataDir }, options.environment);
    const text = await readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
      throw new CairnError('not-found', `cannot read ${path}: ${cause.code ?? cause.message}`, {
        hint: 'name the data folder of the service with --data, or its file in CAIRN_CREDENTIALS',
        cause,
      });
    });
    return new ServiceClient(parseCredentials(text, path), path);
  }

  get endpoint(): string {
    return this.#credentials.endpoint;
  }

  get projectId(): string {
    return this.#credentials.projectId;
  }

  get userName(): string {
    return this.#credentials.user;
  }

  /** `/v3/{project}` and the path. The answer's type is the caller's claim about our own API. */
  async rds<T>(method: string, path: string, body?: unknown): Promise<T> {
    return (await this.#send(method, `/v3/${this.projectId}${path}`, body)) as T;
  }

  /** The same below `/v3.1`, which a few calls have moved to. */
  async rdsNewer<T>(method: string, path: string, body?: unknown): Promise<T> {
    return (await this.#send(method, `/v3.1/${this.projectId}${path}`, body)) as T;
  }

  /** `/cairn/v1/{project}` and the path. */
  async cairn<T>(method: string, path: string, body?: unknown): Promise<T> {
    return (await this.#send(method, `/cairn/v1/${this.projectId}${path}`, body)) as T;
  }

  /** `/cairn/v1` and the path: users and projects. */
  async manage<T>(method: string, path: string, body?: unknown): Promise<T> {
    return (await this.#send(method, `/cairn/v1${path}`, body)) as T;
  }

  async changeOwnPassword(password: Secret): Promise<void> {
    const current = this.#credentials.password.reveal();
    const body = { password: password.reveal(), current_password: current };
    await this.manage('PUT', '/users/me/password', body);
  }

  /** In the file of credentials, so that the next command can log in. */
  async saveOwnPassword(password: Secret, random: Random): Promise<void> {
    const record: Record<string, unknown> = JSON.parse(await readFile(this.#path, 'utf8'));
    const changed = { ...record, password: password.reveal() };
    await writePrivateFile(this.#path, `${JSON.stringify(changed, null, 2)}\n`, random);
  }

  /** The token of this command; the first call logs in. */
  async token(): Promise<Secret> {
    this.#token ??= await this.#login();
    return this.#token;
  }

  async #send(method: string, path: string, body: unknown): Promise<unknown> {
    const headers = { 'X-Auth-Token': (await this.token()).reveal() };
    return (await this.#fetch(method, path, body, headers)).body;
  }

  async #login(): Promise<Secret> {
    const { domain, user, password, projectId } = this.#credentials;
    const identity = {
      methods: ['password'],
      password: { user: { name: user, password: password.reveal(), domain: { name: domain } } },
    };
    const request = { auth: { identity, scope: { project: { id: projectId } } } };
    const { headers } = await this.#fetch('POST', '/v3/auth/tokens?nocatalog=1', request, {});
    return new Secret(headers.get('x-subject-token') ?? '');
  }

  async #fetch(
    method: string,
    path: string,
    body: unknown,
    headers: Readonly<Record<string, string>>,
  ): Promise<{ readonly headers: Headers; readonly body: unknown }> {
    const response = await fetch(`${this.endpoint}${path}`, {
      method,
      headers: {
        ...headers,
        ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(requestTimeoutMs),
    }).catch((cause: Error) => {
      throw new CairnError('engine-unreachable', `no service answers at ${this.endpoint}`, {
        hint: 'start it with: cairn serve',
        cause,
      });
    });
    const text = await response.text();
    const answer = text === '' ? null : parseAnswer(text, response.status);
    if (!response.ok) throw toError(response, answer);
    return { headers: response.headers, body: answer };
  }
}

function parseAnswer(text: string, status: number): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new CairnError('bug', `the service answered ${status} with something that is not JSON`, {
      cause,
    });
  }
}

/** What an answer of status 429 asks for, 1 second to 2 minutes; null for every other answer. */
export function retryAfterMsOf({ status, headers }: Response): number | null {
  if (status !== 429) return null;
  const seconds = Number(headers.get('retry-after') ?? retryAfterSeconds);
  const asked = Number.isFinite(seconds) ? seconds : retryAfterSeconds;
  return 1000 * Math.min(retryAfterMaxSeconds, Math.max(1, asked));
}

function toError(response: Response, body: unknown): CairnError {
  const { status } = response;
  const answer = (body ?? {}) as { error_code?: unknown; error_msg?: unknown };
  const code = typeof answer.error_code === 'string' ? ` (${answer.error_code})` : '';
  const text = typeof answer.error_msg === 'string' ? answer.error_msg : `HTTP status ${status}`;
  const retryAfterMs = retryAfterMsOf(response);
  const kind = kindOf(status, answer.error_code);
  return new ServiceError(kind, `${text}${code}`, { body, retryAfterMs });
}

/** Where the code says more than the status: the RDS family answers 400 to nearly everything. */
const kindsByCode: Readonly<Record<string, ErrorKind>> = {
  'APIGW.0308': 'conflict',
  'CAIRN.0001': 'engine-unreachable',
  'CAIRN.0002': 'engine-refused',
  'CAIRN.0003': 'engine-refused',
  'DBS.108002': 'storage-unavailable',
  'DBS.108005': 'storage-full',
  'DBS.200086': 'conflict',
  'DBS.200543': 'not-found',
  'DBS.201208': 'conflict',
  'DBS.290015': 'repository-damaged',
};

function kindOf(status: number, code: unknown): ErrorKind {
  const known = typeof code === 'string' ? kindsByCode[code] : undefined;
  if (known) return known;
  if (status === 401) return 'unauthenticated';
  if (status === 403) return 'forbidden';
  if (status === 404) return 'not-found';
  if (status === 409 || status === 429) return 'conflict';
  return status < 500 ? 'invalid' : 'bug';
}

function parseCredentials(text: string, path: string): Credentials {
  let record: Partial<Record<string, unknown>> = {};
  try {
    record = JSON.parse(text);
  } catch (cause) {
    throw new CairnError('invalid', `${path} is not JSON`, { cause });
  }
  const read = (key: string): string => {
    const value = record[key];
    if (typeof value === 'string') return value;
    throw new CairnError('invalid', `${path} holds no ${key}`);
  };
  return {
    endpoint: read('endpoint').replace(/\/+$/, ''),
    projectId: read('project_id'),
    domain: read('domain'),
    user: read('user'),
    password: new Secret(read('password')),
  };
}
