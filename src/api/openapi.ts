import swagger from '@fastify/swagger';
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
      info: { title: 'Cairn', description, version: '0.1.0' },
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

/** The text of `openapi.json`. The app must be ready. */
export function renderOpenapi(app: ApiApp): string {
  return `${JSON.stringify(app.swagger(), null, 2)}\n`;
}
