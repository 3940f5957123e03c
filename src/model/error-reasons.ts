// Why a request was refused, finer than the kind of the error. A closed list of stable words:
// callers and tests rely on them; texts may change. `api/errors.ts` knows the RDS code of each.

export const errorReasons = [
  'instance-id-malformed',
  'instance-unknown',
  'instance-name-invalid',
  'instance-name-taken',
  'instance-busy',
  'instance-not-active',
  'database-type-invalid',
  'backup-unknown',
  'backup-name-invalid',
  'backup-name-taken',
  'backup-description-invalid',
  'backup-running',
  'backup-building',
  'backup-not-manual',
  'backup-not-completed',
  'backup-in-use',
  'databases-not-offered',
  'engine-mismatch',
  'version-mismatch',
  'job-unknown',
  'job-ended',
  'job-not-cancellable',
  'project-mismatch',
  'server-not-ready',
] as const;
export type ErrorReason = (typeof errorReasons)[number];
