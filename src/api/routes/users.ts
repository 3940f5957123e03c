import type { FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import { CairnError } from '../../model/errors.ts';
import type { ProjectId } from '../../model/ids.ts';
import { parseProjectId } from '../../model/ids.ts';
import { Secret } from '../../model/secret.ts';
import { changePassword } from '../../operations/identity/change-password.ts';
import { revokeGrant, setGrant } from '../../operations/identity/manage-grants.ts';
import {
  createUser,
  deleteUser,
  getUser,
  listUsers,
} from '../../operations/identity/manage-users.ts';
import type { ApiApp, ApiParts } from '../api-parts.ts';
import { callerOf } from '../auth.ts';
import { presentGrants, presentUser } from '../present/user.ts';
import { refTo } from '../schema/define.ts';
import { errorAnswers } from '../schema/error-answers.ts';
import {
  ChangePasswordRequestSchema,
  CreateUserRequestSchema,
  CreateUserResponseSchema,
  GrantListSchema,
  SetGrantRequestSchema,
  UserListSchema,
  UserResponseSchema,
} from '../schema/user.ts';

const tags = ['management'];
const nothing = Type.Null({ description: 'no body' });
const everyProject = 'all';

export const UserPathSchema = Type.Object({
  userId: Type.String({ description: '`me` is the caller' }),
});
const GrantPathSchema = Type.Object({
  userId: Type.String({ description: '`me` is the caller' }),
  projectId: Type.String({ description: '`all` is every project' }),
});

/** `/cairn/v1/users…`: outside of every project; for owners of the domain, and for oneself. */
export function registerUserRoutes(app: ApiApp, parts: ApiParts): void {
  addReading(app, parts);
  addCreation(app, parts);
  addPassword(app, parts);
  addGrants(app, parts);
}

export function aboutUser(request: FastifyRequest, userId: string): string {
  return userId === 'me' ? callerOf(request).user.id : userId;
}

function addReading(app: ApiApp, parts: ApiParts): void {
  app.get(
    '/users',
    {
      schema: {
        operationId: 'listUsers',
        description: 'By name. For owners of every project.',
        tags,
        response: { 200: refTo(UserListSchema), ...errorAnswers },
      },
    },
    async (request) => {
      const users = await listUsers(parts, callerOf(request).user);
      return { users: users.map(presentUser) };
    },
  );
  app.get(
    '/users/:userId',
    {
      schema: {
        operationId: 'showUser',
        description: 'For owners of every project, and for oneself.',
        tags,
        params: UserPathSchema,
        response: { 200: refTo(UserResponseSchema), ...errorAnswers },
      },
    },
    async (request) => {
      const id = aboutUser(request, request.params.userId);
      return { user: presentUser(await getUser(parts, callerOf(request).user, id)) };
    },
  );
}

function addCreation(app: ApiApp, parts: ApiParts): void {
  app.post(
    '/users',
    {
      schema: {
        operationId: 'createUser',
        description: 'For owners of every project. Without a grant, a user can log in and no more.',
        tags,
        body: refTo(CreateUserRequestSchema),
        response: { 201: refTo(CreateUserResponseSchema), ...errorAnswers },
      },
    },
    async (request, reply) => {
      const { name, password, grants = [] } = request.body;
      const made = await createUser(parts, callerOf(request).user, {
        name,
        password: password === undefined ? null : new Secret(password),
        grants: grants.map(({ project_id, role }) => ({
          projectId: project_id === null ? null : requireProjectId(project_id),
          role,
        })),
      });
      const shown = made.password?.reveal() ?? null;
      return await reply.code(201).send({ user: presentUser(made), password: shown });
    },
  );
  app.delete(
    '/users/:userId',
    {
      schema: {
        operationId: 'deleteUser',
        description:
          'With access keys, tokens and grants. For owners of every project; the last one stays: ' +
          '409 DBS.200402.',
        tags,
        params: UserPathSchema,
        response: { 204: nothing, ...errorAnswers },
      },
    },
    async (request, reply) => {
      const id = aboutUser(request, request.params.userId);
      await deleteUser(parts, callerOf(request).user, id);
      return await reply.code(204).send(null);
    },
  );
}

function addPassword(app: ApiApp, parts: ApiParts): void {
  app.put(
    '/users/:userId/password',
    {
      schema: {
        operationId: 'changePassword',
        description:
          'Ends all tokens of the user; access keys stay. For owners of every project, and for ' +
          'oneself.',
        tags,
        params: UserPathSchema,
        body: refTo(ChangePasswordRequestSchema),
        response: { 204: nothing, ...errorAnswers },
      },
    },
    async (request, reply) => {
      const { password, current_password } = request.body;
      const id = aboutUser(request, request.params.userId);
      await changePassword(parts, callerOf(request).user, id, {
        password: new Secret(password),
        currentPassword: current_password === undefined ? null : new Secret(current_password),
      });
      return await reply.code(204).send(null);
    },
  );
}

function addGrants(app: ApiApp, parts: ApiParts): void {
  app.get(
    '/users/:userId/grants',
    {
      schema: {
        operationId: 'listGrants',
        description: 'For owners of every project, and for oneself.',
        tags,
        params: UserPathSchema,
        response: { 200: refTo(GrantListSchema), ...errorAnswers },
      },
    },
    async (request) => {
      const id = aboutUser(request, request.params.userId);
      const { grants } = await getUser(parts, callerOf(request).user, id);
      return { grants: presentGrants(grants) };
    },
  );
  app.put(
    '/users/:userId/grants/:projectId',
    {
      schema: {
        operationId: 'setGrant',
        description:
          'Replaces the role that the user had there. For owners of every project; the last one ' +
          'stays: 409 DBS.200402.',
        tags,
        params: GrantPathSchema,
        body: refTo(SetGrantRequestSchema),
        response: { 200: refTo(GrantListSchema), ...errorAnswers },
      },
    },
    async (request) => {
      const { params, body } = request;
      const projectId = readProject(params.projectId);
      const id = aboutUser(request, params.userId);
      const { role } = body;
      const grants = await setGrant(parts, callerOf(request).user, id, { projectId, role });
      return { grants: presentGrants(grants) };
    },
  );
  app.delete(
    '/users/:userId/grants/:projectId',
    {
      schema: {
        operationId: 'revokeGrant',
        description: 'Also when there is none. For owners of every project; the last one stays.',
        tags,
        params: GrantPathSchema,
        response: { 204: nothing, ...errorAnswers },
      },
    },
    async (request, reply) => {
      const { params } = request;
      const id = aboutUser(request, params.userId);
      await revokeGrant(parts, callerOf(request).user, id, readProject(params.projectId));
      return await reply.code(204).send(null);
    },
  );
}

function readProject(text: string): ProjectId | null {
  return text === everyProject ? null : requireProjectId(text);
}

export function requireProjectId(text: string): ProjectId {
  const id = parseProjectId(text);
  if (id) return id;
  throw new CairnError('not-found', 'the project does not exist', { reason: 'project-unknown' });
}
