// Takes SQL text apart as it flows by, as the command line client does (MariaDB documentation,
// "Delimiters in the mariadb client", "Comment Syntax", "String Literals"): quotes, comments and
// `DELIMITER` lines are understood, so that nothing inside a value, a name or the body of a
// procedure is taken for the beginning of a statement. Only the beginning of a statement is ever
// held back; values pass by in views of the pushed bytes.
import { CairnError } from '../../model/errors.ts';

export type StatementEvent =
  /** A comment between statements, without its line break. */
  | { readonly kind: 'comment'; readonly text: string }
  /** A `DELIMITER` line, with its line break: an order to the client. */
  | { readonly kind: 'delimiter'; readonly bytes: Uint8Array }
  /** Its first kilobyte, or all of it. */
  | { readonly kind: 'begin'; readonly head: string }
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  /** How many pairs of parentheses it had at its outermost level. */
  | { readonly kind: 'end'; readonly groups: number };

const headBytes = 1024;
const commentBytesMax = 2 ** 20;
/** No token that must be seen as a whole is longer. */
const tokenBytes = 4;
const code = (char: string): number => char.charCodeAt(0);
const newline = 0x0a;
const backslash = 0x5c;
const [semicolon, dash, hash] = [code(';'), code('-'), code('#')];
const [slash, star, bang, letterM] = [code('/'), code('*'), code('!'), code('M')];
const [open, close, backtick] = [code('('), code(')'), code('`')];
const quotes = new Set([...'\'"`'].map(code));
/** A dump sets the mode that a routine was made in, and sets it back to its own. */
const sqlModePattern = /^\/\*!50003 SET sql_mode\s*=\s*(?:'([^']*)'|@saved_sql_mode)/;

/** What a byte of a statement may mean; nothing, most of the time. */
const isSpecial = new Uint8Array(256);
for (const char of '\'"`-#/();') isSpecial[code(char)] = 1;

export class StatementReader {
  /** The beginning of a statement or a token that has not come as a whole. */
  #carry: Uint8Array = new Uint8Array(0);
  #bytes: Uint8Array = new Uint8Array(0);
  #at = 0;
  #isLast = false;
  #isInStatement = false;
  #quote = 0;
  #comment: 'none' | 'line' | 'block' = 'none';
  #delimiterBytes = 1;
  #depth = 0;
  #groups = 0;
  #events: StatementEvent[] = [];
  /** False: a backslash in a string is one. */
  #hasEscapes = true;

  /** @throws engine-refused for text that no dump holds */
  *push(bytes: Uint8Array): Generator<StatementEvent> {
    this.#bytes = this.#carry.byteLength === 0 ? bytes : Buffer.concat([this.#carry, bytes]);
    this.#at = 0;
    yield* this.#read();
    this.#carry = Uint8Array.from(this.#bytes.subarray(this.#at));
  }

  /** @throws engine-refused when the text ends midway */
  *end(): Generator<StatementEvent> {
    this.#isLast = true;
    yield* this.push(new Uint8Array(0));
    if (this.#isInStatement || this.#carry.byteLength > 0) throw malformed('it ends midway');
  }

  *#read(): Generator<StatementEvent> {
    for (;;) {
      const isStuck = this.#isInStatement ? !this.#readStatement() : !this.#readBetween();
      const events = this.#events;
      this.#events = [];
      yield* events;
      if (isStuck) return;
    }
  }

  /** What begins here; false: more bytes are needed. */
  #readBetween(): boolean {
    this.#skipSpace();
    const left = this.#bytes.byteLength - this.#at;
    if (left === 0 || (left < headBytes && !this.#isLast)) return false;
    const head = Buffer.from(this.#bytes.buffer, this.#bytes.byteOffset + this.#at, left)
      .subarray(0, headBytes)
      .toString('utf8');
    // The order to the client that newer dumps begin with ends with its line too.
    if (/^(?:#|--(?:\s|$)|\/\*M?!999999\\-)/.test(head)) return this.#readComment('\n', 0);
    if (/^\/\*(?!!|M!)/.test(head)) return this.#readComment('*/', 2);
    const delimiter = /^delimiter[ \t]+(\S+)[ \t]*\r?\n/i.exec(head);
    if (delimiter) {
      const [line, word = ''] = delimiter;
      if (word !== ';' && word !== ';;') throw malformed(`it has the delimiter ${word}`);
      this.#delimiterBytes = word.length;
      this.#events.push({ kind: 'delimiter', bytes: this.#take(this.#at + line.length) });
      return true;
    }
    const sqlMode = sqlModePattern.exec(head);
    if (sqlMode) this.#hasEscapes = !/NO_BACKSLASH_ESCAPES/.test(sqlMode[1] ?? '');
    this.#isInStatement = true;
    this.#depth = 0;
    this.#groups = 0;
    this.#events.push({ kind: 'begin', head });
    return true;
  }

  #readComment(end: string, endBytes: number): boolean {
    const rest = Buffer.from(this.#bytes.buffer, this.#bytes.byteOffset, this.#bytes.byteLength);
    const endsAt = rest.indexOf(end, this.#at);
    if (endsAt < 0 && !this.#isLast) {
      if (rest.byteLength - this.#at > commentBytesMax)
        throw malformed('it has an endless comment');
      return false;
    }
    if (endsAt < 0 && endBytes > 0) throw malformed('a comment does not end');
    const bytes = this.#take(endsAt < 0 ? rest.byteLength : endsAt + endBytes);
    this.#events.push({ kind: 'comment', text: Buffer.from(bytes).toString('utf8') });
    return true;
  }

  /** To its end (true), or to the end of the bytes. */
  #readStatement(): boolean {
    const bytes = this.#bytes;
    const begin = this.#at;
    let at = begin;
    // Quotes and comments may begin or end at any of these; whoever moves on says how far.
    while (at < bytes.byteLength) {
      if (this.#quote !== 0) at = this.#passQuoted(at);
      else if (this.#comment !== 'none') at = this.#passComment(at);
      else at = passPlain(bytes, at);
      if (at >= bytes.byteLength) break;
      if (bytes.byteLength - at < tokenBytes && !this.#isLast) break;
      if (this.#isEnd(at)) {
        this.#finish(begin, at + this.#delimiterBytes);
        return true;
      }
      at += this.#readToken(at);
    }
    const passed = Math.min(at, bytes.byteLength);
    if (passed > begin) this.#events.push({ kind: 'bytes', bytes: this.#take(passed) });
    return false;
  }

  #isEnd(at: number): boolean {
    if (this.#quote !== 0 || this.#comment !== 'none') return false;
    if (this.#bytes[at] !== semicolon) return false;
    return this.#delimiterBytes === 1 || this.#bytes[at + 1] === semicolon;
  }

  #finish(begin: number, end: number): void {
    if (end > begin) this.#events.push({ kind: 'bytes', bytes: this.#take(end) });
    this.#events.push({ kind: 'end', groups: this.#groups });
    this.#isInStatement = false;
  }

  /** To the next byte that ends the string or escapes another. */
  #passQuoted(from: number): number {
    const bytes = this.#bytes;
    const quote = this.#quote;
    const escape = this.#hasEscapes && quote !== backtick ? backslash : quote;
    let at = from;
    while (at < bytes.byteLength && bytes[at] !== quote && bytes[at] !== escape) at++;
    return at;
  }

  #passComment(from: number): number {
    const bytes = this.#bytes;
    const wanted = this.#comment === 'line' ? newline : star;
    const at = bytes.indexOf(wanted, from);
    return at < 0 ? bytes.byteLength : at;
  }

  /** Answers how many bytes it has. */
  #readToken(at: number): number {
    const [first, second, third] = [this.#bytes[at], this.#bytes[at + 1], this.#bytes[at + 2]];
    if (this.#quote !== 0) {
      if (first !== this.#quote) return 2;
      this.#quote = 0;
      return 1;
    }
    if (this.#comment === 'line') {
      this.#comment = 'none';
      return 1;
    }
    if (this.#comment === 'block') {
      if (second !== slash) return 1;
      this.#comment = 'none';
      return 2;
    }
    if (first !== undefined && quotes.has(first)) this.#quote = first;
    else if (first === open) {
      if (this.#depth++ === 0) this.#groups++;
    } else if (first === close) this.#depth--;
    else if (first === hash) this.#comment = 'line';
    else if (first === dash && second === dash && isBlank(third)) this.#comment = 'line';
    else if (first === slash && second === star) {
      // Those with a version hold statements, for the client too.
      const isConditional = third === bang || (third === letterM && this.#bytes[at + 3] === bang);
      if (!isConditional) this.#comment = 'block';
      return 2;
    }
    return 1;
  }

  #skipSpace(): void {
    while (this.#at < this.#bytes.byteLength && isBlank(this.#bytes[this.#at])) this.#at++;
  }

  #take(end: number): Uint8Array {
    const bytes = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return bytes;
  }
}

/**
 * A small text, in one piece for each statement or order to the client; each byte is a character.
 * @throws engine-refused
 */
export function splitDump(text: Uint8Array): readonly string[] {
  const reader = new StatementReader();
  const pieces: string[] = [];
  let parts: Uint8Array[] = [];
  for (const event of [...reader.push(text), ...reader.end()]) {
    if (event.kind === 'bytes' || event.kind === 'delimiter') parts.push(event.bytes);
    if (event.kind !== 'end' && event.kind !== 'delimiter') continue;
    pieces.push(`${Buffer.concat(parts).toString('latin1').trimEnd()}\n`);
    parts = [];
  }
  return pieces;
}

/** A dump that is not one. */
export function malformed(why: string): CairnError {
  return new CairnError('engine-refused', `the dump is not whole: ${why}`, {
    hint: 'take the backup again; if it fails again, look at the dump program by hand',
  });
}

function passPlain(bytes: Uint8Array, from: number): number {
  let at = from;
  while (at < bytes.byteLength && isSpecial[bytes[at] ?? 0] === 0) at++;
  return at;
}

function isBlank(byte: number | undefined): boolean {
  return byte === undefined || byte === 0x20 || (byte >= 0x09 && byte <= 0x0d);
}
