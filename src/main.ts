// Entry: argv → one command.
import { enableCompileCache } from 'node:module';
import { createOutput } from './cli/output.ts';
import { runCommandLine } from './cli/program.ts';
import { systemClock } from './platform/clock.ts';

enableCompileCache();
const environment = process.env;
const output = createOutput({ out: process.stdout, error: process.stderr });
const program = {
  environment,
  clock: systemClock,
  local: async () => (await import('./compose.ts')).createLocalActions(environment),
};
process.exitCode = await runCommandLine(process.argv.slice(2), program, output);
