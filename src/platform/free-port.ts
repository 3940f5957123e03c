import { createServer } from 'node:net';
import { CairnError } from '../model/errors.ts';

/** A port on this machine that nobody listens on now; zero: any. @throws conflict */
export async function choosePort(wanted: number): Promise<number> {
  return await new Promise((resolve, reject) => {
    const probe = createServer();
    probe.on('error', (cause) => {
      const text = `port ${wanted} on 127.0.0.1 cannot be used: ${cause.message}`;
      reject(new CairnError('conflict', text, { hint: 'choose another port', cause }));
    });
    probe.listen({ port: wanted, host: '127.0.0.1', exclusive: true }, () => {
      const address = probe.address();
      const port = typeof address === 'object' && address ? address.port : wanted;
      probe.close(() => resolve(port));
    });
  });
}
