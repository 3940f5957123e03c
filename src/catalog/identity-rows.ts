import type { ProjectId, UserId } from '../model/ids.ts';
import type { Project, User } from './catalog.ts';
import type { ProjectRow, UserRow } from './schema.ts';

export function toProject(row: ProjectRow): Project {
  return { id: row.id as ProjectId, name: row.name, domainId: row.domain_id };
}

export function toUser(row: UserRow): User {
  return {
    id: row.id as UserId,
    name: row.name,
    domainId: row.domain_id,
    domainName: row.domain_name,
    passwordHash: row.password_hash,
    createdAt: new Date(row.created_at),
  };
}
