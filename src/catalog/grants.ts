import type { ProjectId, UserId } from '../model/ids.ts';
import { roles } from '../model/permission.ts';
import type { Grant, IdentityRecords } from './catalog.ts';
import type { CatalogDatabase } from './dialect.ts';
import { toProject } from './identity-rows.ts';
import { readWord } from './row-values.ts';
import type { GrantRow } from './schema.ts';

type GrantRecords = Pick<
  IdentityRecords,
  'listGrants' | 'findProjectGrants' | 'listDomainGrants' | 'setGrant' | 'deleteGrant'
>;

const everyProject = '';

export function grantRecords({ db, traits }: CatalogDatabase): GrantRecords {
  return {
    async listGrants(userId) {
      const query = db.selectFrom('grants').selectAll().where('user_id', '=', userId);
      return (await query.orderBy('project_id').execute()).map(toGrant);
    },
    async findProjectGrants(id, userId) {
      const rows = await db
        .selectFrom('projects')
        .leftJoin('grants', (join) =>
          join.on('grants.user_id', '=', userId).on('grants.project_id', 'in', [id, everyProject]),
        )
        .selectAll('projects')
        .select(['grants.project_id', 'grants.role'])
        .where('projects.id', '=', id)
        .execute();
      const project = rows[0] && toProject(rows[0]);
      if (!project) return null;
      const grants = rows.flatMap(({ project_id, role }) =>
        project_id !== null && role !== null
          ? [toGrant({ user_id: userId, project_id, role })]
          : [],
      );
      return { project, grants };
    },
    async listDomainGrants(domainId) {
      const users = db.selectFrom('users').select('id').where('domain_id', '=', domainId);
      const rows = await db
        .selectFrom('grants')
        .selectAll()
        .where('user_id', 'in', users)
        .orderBy('user_id')
        .orderBy('project_id')
        // Who counts the owners decides on what must not change meanwhile.
        .$if(traits.hasRowLocks && db.isTransaction, (query) => query.forUpdate())
        .execute();
      return rows.map(toGrant);
    },
    async setGrant({ userId, projectId, role }) {
      await db
        .insertInto('grants')
        .values({ user_id: userId, project_id: projectId ?? everyProject, role })
        .onConflict((conflict) => conflict.columns(['user_id', 'project_id']).doUpdateSet({ role }))
        .execute();
    },
    async deleteGrant(userId, projectId) {
      await db
        .deleteFrom('grants')
        .where('user_id', '=', userId)
        .where('project_id', '=', projectId ?? everyProject)
        .execute();
    },
  };
}

function toGrant(row: GrantRow): Grant {
  return {
    userId: row.user_id as UserId,
    projectId: row.project_id === everyProject ? null : (row.project_id as ProjectId),
    role: readWord(roles, row.role, 'grants.role'),
  };
}
