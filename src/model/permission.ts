// Who may do what. Every operation of the API needs one action; a role is a set of actions. Action
// names are those of the RDS family (`rds:backup:create`), so that existing policies read alike;
// what only Cairn has is `cairn:…`.

export const roles = ['owner', 'operator', 'viewer'] as const;
export type Role = (typeof roles)[number];

const viewerActions = [
  'rds:backup:list',
  'rds:instance:list',
  'rds:instance:getBackupPolicy',
  'rds:task:list',
  'rds:tag:list',
] as const;

/** What changes things but loses nothing, and what a person on call needs at night. */
const operatorActions = [
  'rds:backup:create',
  'rds:backup:stop',
  'rds:instance:create',
  'rds:instance:dealTag',
  'cairn:job:cancel',
  'cairn:instance:check',
  'cairn:repository:prune',
  'cairn:repository:check',
] as const;

/** What loses or gives away data, or decides what is kept. */
const ownerActions = [
  'rds:backup:delete',
  'rds:backup:download',
  'rds:instance:modifyBackupPolicy',
  'rds:instance:restoreInPlace',
  'rds:instance:tableRestore',
  'rds:instance:delete',
  'rds:instance:setRecycleBin',
  'rds:instance:switchLogReplay',
  'cairn:instance:register',
  'cairn:repository:rotateKeys',
] as const;

export const actions = [...viewerActions, ...operatorActions, ...ownerActions] as const;
export type Action = (typeof actions)[number];

const actionsOf: Readonly<Record<Role, readonly Action[]>> = {
  viewer: viewerActions,
  operator: [...viewerActions, ...operatorActions],
  owner: actions,
};

export function isAllowed(role: Role, action: Action): boolean {
  return actionsOf[role].includes(action);
}

/** Weakest first. */
export function rolesWith(action: Action): readonly Role[] {
  return roles.filter((role) => isAllowed(role, action)).toReversed();
}

/** The one that allows more; null when there is neither. */
export function strongerRole(a: Role | null, b: Role | null): Role | null {
  return roles.find((role) => role === a || role === b) ?? null;
}
