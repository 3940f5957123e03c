import { CairnError } from '../../model/errors.ts';
import { Secret } from '../../model/secret.ts';
import type {
  Credentials,
  DomainReference,
  TokenScope,
  UserReference,
} from '../../operations/identity/issue-token.ts';
import type { CreateTokenRequest } from '../schema/identity.ts';

type Identity = CreateTokenRequest['auth']['identity'];
type Scope = CreateTokenRequest['auth']['scope'];
type UserWire = NonNullable<Identity['password']>['user'];

export function readCredentials({ methods, password, token }: Identity): Credentials {
  if (methods.includes('password') && password) {
    const { user } = password;
    return { kind: 'password', user: readUser(user), password: new Secret(user.password) };
  }
  if (methods.includes('token') && token) {
    return { kind: 'token', token: new Secret(token.id) };
  }
  throw new CairnError('invalid', 'auth.identity must hold one of the methods password and token');
}

/** Without a scope, the token is one for the domain: it lists projects and opens none. */
export function readScope(scope: Scope): TokenScope {
  const project = scope?.project;
  if (!project) return { kind: 'domain', domain: readDomain(scope?.domain) };
  const domain = readDomain(project.domain);
  if (project.id !== undefined) return { kind: 'project-id', id: project.id, domain };
  if (project.name !== undefined) return { kind: 'project-name', name: project.name, domain };
  throw new CairnError('invalid', 'auth.scope.project must hold id or name');
}

function readUser({ id, name, domain }: UserWire): UserReference {
  if (name !== undefined) return { kind: 'name', name, domain: readDomain(domain) };
  if (id !== undefined) return { kind: 'id', id };
  throw new CairnError('invalid', 'auth.identity.password.user must hold id or name');
}

function readDomain(domain: UserWire['domain']): DomainReference | null {
  if (domain?.name !== undefined) return { kind: 'name', name: domain.name };
  if (domain?.id !== undefined) return { kind: 'id', id: domain.id };
  return null;
}
