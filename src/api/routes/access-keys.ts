import { Type } from 'typebox';
import {
  createAccessKey,
  deleteAccessKey,
  listAccessKeys,
} from '../../operations/identity/manage-access-keys.ts';
import type { ApiApp, ApiParts } from '../api-parts.ts';
import { callerOf } from '../auth.ts';
import { presentAccessKey, presentNewAccessKey } from '../present/user.ts';
import { refTo } from '../schema/define.ts';
import { errorAnswers } from '../schema/error-answers.ts';
import { AccessKeyListSchema, CreateAccessKeyResponseSchema } from '../schema/user.ts';
import { aboutUser, UserPathSchema } from './users.ts';

const tags = ['management'];

/** `/cairn/v1/users/{id}/access-keys` and `/cairn/v1/access-keys/{key}` */
export function registerAccessKeyRoutes(app: ApiApp, parts: ApiParts): void {
  app.get(
    '/users/:userId/access-keys',
    {
      schema: {
        operationId: 'listAccessKeys',
        description: 'Oldest first, without the secret keys. For owners, and for oneself.',
        tags,
        params: UserPathSchema,
        response: { 200: refTo(AccessKeyListSchema), ...errorAnswers },
      },
    },
    async (request) => {
      const id = aboutUser(request, request.params.userId);
      const keys = await listAccessKeys(parts, callerOf(request).user, id);
      return { access_keys: keys.map(presentAccessKey) };
    },
  );
  app.post(
    '/users/:userId/access-keys',
    {
      schema: {
        operationId: 'createAccessKey',
        description:
          'The answer is the only place where the secret key is shown. It takes no body. For ' +
          'owners, and for oneself.',
        tags,
        params: UserPathSchema,
        response: { 201: refTo(CreateAccessKeyResponseSchema), ...errorAnswers },
      },
    },
    async (request, reply) => {
      const id = aboutUser(request, request.params.userId);
      const key = await createAccessKey(parts, callerOf(request).user, id);
      return await reply.code(201).send(presentNewAccessKey(key));
    },
  );
  app.delete(
    '/access-keys/:accessKey',
    {
      schema: {
        operationId: 'deleteAccessKey',
        description: 'From now on it signs nothing. For owners, and one’s own.',
        tags,
        params: Type.Object({ accessKey: Type.String() }),
        response: { 204: Type.Null({ description: 'no body' }), ...errorAnswers },
      },
    },
    async (request, reply) => {
      await deleteAccessKey(parts, callerOf(request).user, request.params.accessKey);
      return await reply.code(204).send(null);
    },
  );
}
