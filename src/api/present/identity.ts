import type { Project, User } from '../../catalog/catalog.ts';
import type { IssuedToken } from '../../operations/identity/issue-token.ts';
import type {
  DomainListWire,
  ProjectListWire,
  RegionWire,
  ServiceCatalog,
  TokenResponse,
} from '../schema/identity.ts';
import { formatTokenTime } from '../wire-time.ts';

/**
 * The region is the project's name without the part that names a sub-project (`eu-de_sub` →
 * `eu-de`).
 */
export function regionOf(project: Pick<Project, 'name'>): string {
  return project.name.split('_')[0] ?? project.name;
}

/** Clients look for the type `rdsv3` and expect the project id in the address. */
export function presentCatalog(project: Project, baseUrl: string): ServiceCatalog {
  const region = regionOf(project);
  const entry = (type: string, url: string): ServiceCatalog[number] => ({
    type,
    name: type,
    id: `${type}-${project.id}`,
    endpoints: [
      { id: `${type}-${project.id}-public`, interface: 'public', region, region_id: region, url },
    ],
  });
  return [
    entry('rdsv3', `${baseUrl}/v3/${project.id}`),
    entry('rds', `${baseUrl}/v3/${project.id}`),
    entry('identity', `${baseUrl}/v3`),
  ];
}

export function presentToken(
  { token, user, project, role }: IssuedToken,
  options: { readonly method: string; readonly catalog: ServiceCatalog | null },
): TokenResponse {
  const domain = { id: user.domainId, name: user.domainName };
  return {
    token: {
      methods: [options.method],
      issued_at: formatTokenTime(token.issuedAt),
      expires_at: formatTokenTime(token.expiresAt),
      user: { id: user.id, name: user.name, domain },
      ...(project ? { project: { id: project.id, name: project.name, domain } } : { domain }),
      roles: role === null ? [] : [{ id: role, name: role }],
      ...(options.catalog ? { catalog: options.catalog } : {}),
    },
  };
}

export function presentProjects(projects: readonly Project[], baseUrl: string): ProjectListWire {
  return {
    projects: projects.map((project) => ({
      id: project.id,
      name: project.name,
      domain_id: project.domainId,
      parent_id: project.domainId,
      is_domain: false,
      enabled: true,
      description: '',
      links: { self: `${baseUrl}/v3/projects/${project.id}` },
    })),
    links: { self: `${baseUrl}/v3/projects` },
  };
}

export function presentRegion(id: string, baseUrl: string): RegionWire {
  const self = `${baseUrl}/v3/regions/${id}`;
  return { id, description: '', parent_region_id: null, links: { self } };
}

export function presentDomains(user: User, baseUrl: string): DomainListWire {
  return {
    domains: [
      {
        id: user.domainId,
        name: user.domainName,
        enabled: true,
        description: '',
        links: { self: `${baseUrl}/v3/domains/${user.domainId}` },
      },
    ],
    links: { self: `${baseUrl}/v3/auth/domains` },
  };
}
