// Runs a real S3 store for trying things out: `node scripts/object-store.ts ceph|swift`. Prints
// what to export, then runs until Ctrl-C; nothing of it is kept.
import { startObjectStore, storeKinds } from '../test/fixtures/object-store.ts';

const kind = storeKinds.find((candidate) => candidate === process.argv[2]);
if (!kind) {
  process.stderr.write(`usage: node scripts/object-store.ts ${storeKinds.join('|')}\n`);
  process.exit(2);
}
const stopping = Promise.withResolvers<void>();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, stopping.resolve);
await using store = await startObjectStore(kind);
await store.makeBucket('backups');
const settings = { ...store.environment, CAIRN_STORAGE: store.urlOf('backups', 'cairn') };
for (const [name, value] of Object.entries(settings)) {
  process.stdout.write(`export ${name}='${value}'\n`);
}
const alive = setInterval(() => undefined, 60_000);
await stopping.promise;
clearInterval(alive);
