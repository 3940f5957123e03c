// What speaks of tables and runs by itself (views, routines, triggers, events), as a dump writes
// it, changed for a database beside the one that it comes from.
import { CairnError } from '../../model/errors.ts';
import { splitDump } from './logical-statements.ts';

/** As the dump's own session is; each statement brings what else it needs. */
const settings =
  "SET SQL_MODE='NO_AUTO_VALUE_ON_ZERO', TIME_ZONE='+00:00', FOREIGN_KEY_CHECKS=0, SQL_NOTES=0;\n";
const bytesMax = 64 * 1024 * 1024;

/** Keeps a text that is small unless somebody makes it large. */
export class ProgramText {
  readonly #parts: Uint8Array[] = [];
  #bytes = 0;

  add(bytes: Uint8Array): void {
    this.#bytes += bytes.byteLength;
    if (this.#bytes > bytesMax) {
      throw new CairnError('engine-refused', 'the routines and views of a database are too large');
    }
    this.#parts.push(Uint8Array.from(bytes));
  }

  get isEmpty(): boolean {
    return this.#bytes === 0;
  }

  /**
   * For a database that stands beside its original. Events come back switched off: one that removes
   * old rows would do so with those that were just restored.
   */
  forCopy(): Buffer {
    const statements = splitDump(Buffer.concat(this.#parts));
    const text = statements.map((statement) => placeTrigger(disableEvent(statement))).join('');
    return Buffer.from(settings + text, 'latin1');
  }
}

const eventPattern = new RegExp(
  '^(/\\*!50106 CREATE\\*/[^\\n]*?\\bEVENT `(?:[^`]|``)*` ON SCHEDULE [^]*?' +
    ' ON COMPLETION (?:NOT )?PRESERVE )(?:ENABLE|DISABLE)\\b',
);

export function disableEvent(statement: string): string {
  return statement.replace(eventPattern, '$1DISABLE');
}

const word = '(?:`(?:[^`]|``)*`|[\\w$\\x80-\\xff]+)';
const owner = `(?:${word}\\s*\\.\\s*)?`;
const trigger = '^/\\*!50003 CREATE\\*/ (?:/\\*!50017 DEFINER=[^\\n]*?\\*/ )?/\\*!50003 TRIGGER\\s';
const triggerPattern = new RegExp(trigger, 'i');
const placePattern = new RegExp(
  `(${trigger}+(?:IF\\s+NOT\\s+EXISTS\\s+)?)${owner}` +
    `(${word}\\s+(?:BEFORE|AFTER)\\s+[\\w\\s,\`]+?\\s+ON\\s+)${owner}(${word})(?=\\s)`,
  'i',
);

/**
 * A trigger is kept as it was typed, perhaps with the database that it belongs to: it would come
 * back on the original. @throws engine-refused when that cannot be told
 */
export function placeTrigger(statement: string): string {
  if (!triggerPattern.test(statement)) return statement;
  const placed = statement.replace(placePattern, '$1$2$3');
  if (placePattern.test(statement)) return placed;
  throw new CairnError(
    'engine-refused',
    `a trigger is written in a way that hides where it belongs: ${statement.slice(0, 200).trim()}`,
    { hint: 'make it anew on the source, without comments before its body' },
  );
}
