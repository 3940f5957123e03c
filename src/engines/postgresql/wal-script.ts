// The `restore_command` of a recovery (PostgreSQL documentation, chapter "Continuous Archiving and
// Point-in-Time Recovery"): the server calls it with the name of a file and the place to put it. An
// answer of 1 means that there is no such file, upon which the server may end recovery and take
// queries; one above 125 ends the server. So 1 is answered only for names that are not planned, and
// every doubt ends the server. Pure: texts only.
import { quoteForShell } from '../../platform/shell-text.ts';

/** The folder between whoever reads the archive and the script. */
export const spoolFiles = {
  /** Whole files, to be taken by renaming them. */
  ready: 'ready',
  /** Empty files, by the names of what the server waits for. */
  asked: 'asked',
  /** A line for each name that will come when it is asked for. */
  planned: 'planned',
  /** Changes as long as there is somebody who reads the archive. */
  alive: 'alive',
  /** Is there when the archive could not be read. */
  failed: 'failed',
} as const;

/** Above 125, and none of a shell's own. */
const abortCode = 200;
const pollsPerSecond = 20;

/** With `%f` and `%p` as arguments. */
export function formatFetchScript(spoolDir: string, silenceSeconds: number): string {
  const { ready, asked, planned, alive, failed } = spoolFiles;
  return `#!/bin/sh
# Written by Cairn: hands a planned file of log to the server that recovers.
# 0: it is there. 1: there is no such file. ${abortCode}: nobody can tell, and recovery must end.
spool=${quoteForShell(spoolDir)}
mv -f "$spool/${ready}/$1" "$2" 2>/dev/null && exit 0
grep -qxF -e "$1" "$spool/${planned}"
case $? in 0) ;; 1) exit 1 ;; *) exit ${abortCode} ;; esac
: > "$spool/${asked}/$1" || exit ${abortCode}
last=
polls=0
while [ ! -e "$spool/${failed}" ]; do
  if mv -f "$spool/${ready}/$1" "$2" 2>/dev/null; then
    rm -f "$spool/${asked}/$1"
    exit 0
  fi
  beat=$(cat "$spool/${alive}" 2>/dev/null)
  if [ "$beat" = "$last" ]; then polls=$((polls + 1)); else last=$beat; polls=0; fi
  [ "$polls" -lt ${silenceSeconds * pollsPerSecond} ] || exit ${abortCode}
  sleep ${1 / pollsPerSecond} 2>/dev/null || sleep 1
done
exit ${abortCode}
`;
}

/** The setting: a percent sign of the path itself is doubled. */
export function formatRestoreCommand(scriptPath: string): string {
  return `/bin/sh ${quoteForShell(scriptPath).replaceAll('%', '%%')} %f %p`;
}
