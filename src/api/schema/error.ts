import type { Static } from 'typebox';
import { Type } from 'typebox';
import { named, nullable, refTo, words } from './define.ts';

export const ErrorSchema = named(
  'Error',
  Type.Object(
    {
      error_code: Type.String({ examples: ['DBS.280277'] }),
      error_msg: Type.String({ description: 'English, or Chinese with X-Language: zh-cn' }),
      request_id: Type.String(),
      error: Type.Optional(
        Type.Object(
          { code: Type.Integer(), message: Type.String(), title: Type.String() },
          { description: 'the form of Keystone; only below /v3/auth' },
        ),
      ),
    },
    { description: 'Every answer that is no success' },
  ),
);
export type ErrorBody = Static<typeof ErrorSchema>;

export const FindingSchema = named(
  'Finding',
  Type.Object({
    check: Type.String({ examples: ['wal_level'] }),
    severity: words(['blocking', 'warning', 'fine']),
    message: Type.String(),
    hint: nullable(Type.String()),
  }),
);
export type FindingWire = Static<typeof FindingSchema>;

export const RefusalSchema = named(
  'Refusal',
  Type.Object(
    {
      error_code: Type.String(),
      error_msg: Type.String(),
      request_id: Type.String(),
      findings: Type.Optional(Type.Array(refTo(FindingSchema))),
    },
    { description: 'The server cannot be backed up as it is; the findings say what to mend' },
  ),
);
