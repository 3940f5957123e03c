// Entry: argv → one command.
import { enableCompileCache } from 'node:module';
import { createOutput } from './cli/output.ts';
import { runCommandLine } from './cli/program.ts';
import { createProgram } from './compose.ts';

enableCompileCache();
const output = createOutput({ out: process.stdout, error: process.stderr });
const args = process.argv.slice(2);
process.exitCode = await runCommandLine(args, createProgram(process.env), output);
