import type { Static } from 'typebox';
import { Type } from 'typebox';
import { roles } from '../../model/permission.ts';
import { named, nullable, refTo, refusedAs, words } from './define.ts';

const loginName = () =>
  Type.String({
    pattern: '^[A-Za-z][A-Za-z0-9._@-]{0,63}$',
    description:
      '1 to 64 letters, digits and `. _ @ -`, a letter first; case-sensitive, unique; taken: 409',
  });

const password = (rest = '') =>
  Type.String({
    maxLength: 1024,
    description:
      '12 to 128 characters, at least 6 different ones, without the name of the user; else 400 ' +
      `DBS.200052${rest}`,
    ...refusedAs('password-weak'),
  });

export const RoleSchema = named(
  'Role',
  words(roles, {
    description:
      '`viewer` reads; `operator` also makes and stops backups and restores to new places; ' +
      '`owner` may everything',
  }),
);

export const GrantSchema = named(
  'Grant',
  Type.Object({
    project_id: nullable(
      Type.String({ description: 'null: every project, and the management of users and projects' }),
    ),
    role: refTo(RoleSchema),
  }),
);
export type GrantWire = Static<typeof GrantSchema>;

export const UserSchema = named(
  'User',
  Type.Object({
    id: Type.String(),
    name: Type.String(),
    created: Type.String(),
    grants: Type.Array(refTo(GrantSchema)),
  }),
);
export type UserWire = Static<typeof UserSchema>;

export const UserResponseSchema = named('UserResponse', Type.Object({ user: refTo(UserSchema) }));
export type UserResponse = Static<typeof UserResponseSchema>;

export const UserListSchema = named(
  'UserList',
  Type.Object({ users: Type.Array(refTo(UserSchema)) }),
);
export type UserListWire = Static<typeof UserListSchema>;

export const CreateUserRequestSchema = named(
  'CreateUserRequest',
  Type.Object({
    name: loginName(),
    password: Type.Optional(password('; left out: one is made')),
    grants: Type.Optional(Type.Array(refTo(GrantSchema), { maxItems: 100 })),
  }),
);

export const CreateUserResponseSchema = named(
  'CreateUserResponse',
  Type.Object({
    user: refTo(UserSchema),
    password: nullable(
      Type.String({ description: 'the one that was made, shown here only; null: the given one' }),
    ),
  }),
);
export type CreateUserResponse = Static<typeof CreateUserResponseSchema>;

export const ChangePasswordRequestSchema = named(
  'ChangePasswordRequest',
  Type.Object({
    password: password(),
    current_password: Type.Optional(
      Type.String({ maxLength: 1024, description: 'needed for one’s own password; wrong: 403' }),
    ),
  }),
);

export const SetGrantRequestSchema = named(
  'SetGrantRequest',
  Type.Object({ role: refTo(RoleSchema) }),
);

export const GrantListSchema = named(
  'GrantList',
  Type.Object({ grants: Type.Array(refTo(GrantSchema)) }),
);
export type GrantListWire = Static<typeof GrantListSchema>;

export const AccessKeySchema = named(
  'AccessKey',
  Type.Object({ access_key: Type.String(), user_id: Type.String(), created: Type.String() }),
);
export type AccessKeyWire = Static<typeof AccessKeySchema>;

export const AccessKeyListSchema = named(
  'AccessKeyList',
  Type.Object({ access_keys: Type.Array(refTo(AccessKeySchema)) }),
);
export type AccessKeyListWire = Static<typeof AccessKeyListSchema>;

export const CreateAccessKeyResponseSchema = named(
  'CreateAccessKeyResponse',
  Type.Object({
    access_key: Type.String(),
    secret_key: Type.String({ description: 'shown here only' }),
    user_id: Type.String(),
    created: Type.String(),
  }),
);
export type CreateAccessKeyResponse = Static<typeof CreateAccessKeyResponseSchema>;
