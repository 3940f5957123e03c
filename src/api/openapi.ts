import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import { version } from '../model/version.ts';
import type { ApiApp } from './api-parts.ts';

const description = `The RDS v3 backup API, and Cairn's own operations under /cairn/v1.

Times are \`yyyy-mm-ddThh:mm:ss+0000\`, sizes are kB unless the name says bytes. Every answer that
is no success is JSON with \`error_code\`, \`error_msg\` and \`request_id\`; \`X-Language: zh-cn\`
asks for Chinese texts. The keyword \`x-reason\` names the rule that a property states.`;

/** Must be registered before the routes that the document is to show. */
export function collectOpenapi(app: ApiApp): void {
  app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'Cairn', description, version },
      components: {
        securitySchemes: {
          token: { type: 'apiKey', in: 'header', name: 'X-Auth-Token' },
          signature: {
            type: 'apiKey',
            in: 'header',
            name: 'Authorization',
            description: 'SDK-HMAC-SHA256 with an access key',
          },
        },
      },
      security: [{ token: [] }, { signature: [] }],
    },
    refResolver: {
      buildLocalReference: ({ $id }, _base, _fragment, index) => String($id ?? `def-${index}`),
    },
  });
}

/**
 * The same document for people, at `/docs`: its scripts and styles come from this server, so it
 * works on a closed network. Must be registered after the document.
 */
export function showReference(app: ApiApp): void {
  app.register(swaggerUi, {
    routePrefix: '/docs',
    staticCSP: true,
    uiConfig: { layout: 'BaseLayout', docExpansion: 'list', deepLinking: true },
    theme: { title: 'Cairn API' },
  });
}

/** The text of `openapi.json`. The app must be ready. */
export function renderOpenapi(app: ApiApp): string {
  return `${JSON.stringify(app.swagger(), null, 2)}\n`;
}
