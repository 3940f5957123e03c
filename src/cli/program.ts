// The command line: every operation, a table for people or `--json` for programs, real exit codes.
// Commands that ask the service go through the HTTP API like every other client; `serve`, `worker`,
// `restore --to`, `doctor` and `key export` work on this machine and get their parts from
// `compose.ts`.
import { Command, CommanderError } from 'commander';
import type { Config, Environment } from '../config/config.ts';
import type { CairnError } from '../model/errors.ts';
import { toCairnError } from '../model/errors.ts';
import { version } from '../model/version.ts';
import type { EngineDrivers } from '../operations/parts.ts';
import type {
  FolderRestoreRequest,
  restoreToFolder,
} from '../operations/restore/restore-to-folder.ts';
import type { Clock } from '../platform/clock.ts';
import type { MasterKey } from '../platform/master-key.ts';
import { addBackupCommands } from './backup.ts';
import { addDoctorCommand } from './doctor.ts';
import { exitCodeOf, exitCodes } from './exit-codes.ts';
import { addInstanceCommands } from './instance.ts';
import { addJobCommands } from './job.ts';
import { addKeyCommands } from './key.ts';
import type { Output } from './output.ts';
import { addPolicyCommands } from './policy.ts';
import { addProjectCommands } from './project.ts';
import { addRestoreCommand } from './restore.ts';
import { addServeCommand } from './serve.ts';
import { ServiceError } from './service-client.ts';
import { addUserCommands } from './user.ts';
import { addWorkerCommand } from './worker.ts';

export type ServeReady = {
  readonly endpoint: string;
  readonly credentials: string;
  /** First start: the file was made now. */
  readonly madeCredentials: boolean;
};

export type Program = {
  readonly environment: Environment;
  readonly clock: Clock;
  /** Loaded on demand: commands that only ask the service start three times as fast without it. */
  local(): Promise<LocalActions>;
};

/** What works on this machine; `compose.ts` hands it in. */
export type LocalActions = {
  serve(
    config: Config,
    options: {
      readonly workers: number;
      readonly signal: AbortSignal;
      readonly onReady: (ready: ServeReady) => void;
    },
  ): Promise<void>;
  worker(
    config: Config,
    options: {
      readonly pools: readonly string[];
      readonly owner: string | null;
      readonly signal: AbortSignal;
      readonly onReady: () => void;
    },
  ): Promise<void>;
  restoreToFolder(
    config: Config,
    request: Omit<FolderRestoreRequest, 'log'>,
  ): ReturnType<typeof restoreToFolder>;
  readMasterKey(config: Config): Promise<MasterKey>;
  /** Answers when the catalog does. @throws storage-unavailable */
  checkCatalog(config: Config): Promise<void>;
  /** Where the repository is. @throws not-found, storage-unavailable */
  checkStorage(config: Config): Promise<string>;
  engines(config: Config): EngineDrivers;
};

/** Runs one command. Answers the exit code; never throws, never ends the process. */
export async function runCommandLine(
  args: readonly string[],
  program: Program,
  output: Output,
): Promise<number> {
  const root = new Command('cairn')
    .description('Self-hosted, proven, deduplicated database backups behind the RDS v3 API.')
    .version(version)
    .exitOverride()
    .configureOutput({ writeOut: output.print, writeErr: output.complain })
    .showHelpAfterError('(cairn COMMAND --help says more)');
  addServeCommand(root, program, output);
  addWorkerCommand(root, program, output);
  addInstanceCommands(root, program, output);
  addBackupCommands(root, program, output);
  addPolicyCommands(root, program, output);
  addRestoreCommand(root, program, output);
  addJobCommands(root, program, output);
  addDoctorCommand(root, program, output);
  addUserCommands(root, program, output);
  addProjectCommands(root, program, output);
  addKeyCommands(root, program, output);
  for (const command of everyCommand(root)) {
    command.exitOverride().configureOutput({ writeOut: output.print, writeErr: output.complain });
  }
  try {
    await root.parseAsync(args, { from: 'user' });
    return output.exitCode;
  } catch (error) {
    return report(error, args, output);
  }
}

/** What was looked at when a server was refused: the reader of JSON wants it as much as anybody. */
function findingsOf(error: CairnError): { readonly findings?: unknown } {
  if (!(error instanceof ServiceError) || !error.body || typeof error.body !== 'object') return {};
  return 'findings' in error.body ? { findings: error.body.findings } : {};
}

function* everyCommand(command: Command): Generator<Command> {
  yield command;
  for (const child of command.commands) yield* everyCommand(child);
}

function report(error: unknown, args: readonly string[], output: Output): number {
  const wantsJson = args.includes('--json');
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return exitCodes.ok;
    // What is wrong went to standard error already, in commander's words.
    const message = error.message.replace(/^error: /, '');
    if (wantsJson) output.json({ error: { kind: 'invalid', message, hint: null } });
    return exitCodes.usage;
  }
  const known = toCairnError(error);
  const { kind, message, hint } = known;
  if (wantsJson) output.json({ error: { kind, message, hint }, ...findingsOf(known) });
  else {
    output.complain(`cairn: ${message}\n`);
    if (hint) output.complain(`  ${hint.replaceAll('\n', '\n  ')}\n`);
    if (kind === 'bug') output.complain(`${known.stack ?? ''}\n`);
  }
  return exitCodeOf(kind);
}
