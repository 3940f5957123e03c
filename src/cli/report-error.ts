import { CommanderError } from 'commander';
import type { CairnError } from '../model/errors.ts';
import { toCairnError } from '../model/errors.ts';
import type { ExitCode } from './exit-codes.ts';
import { exitCodeOf, exitCodes } from './exit-codes.ts';
import type { Output } from './output.ts';
import { ServiceError } from './service-client.ts';

/** Says what went wrong, as JSON when that was asked for; answers the exit code of its kind. */
export function reportError(
  error: unknown,
  { json: wantsJson }: { readonly json: boolean },
  output: Output,
): ExitCode {
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

/** What was looked at when a server was refused: the reader of JSON wants it as much as anybody. */
function findingsOf(error: CairnError): { readonly findings?: unknown } {
  if (!(error instanceof ServiceError) || !error.body || typeof error.body !== 'object') return {};
  return 'findings' in error.body ? { findings: error.body.findings } : {};
}
