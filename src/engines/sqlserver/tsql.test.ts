// What every statement is, judged by a reader of T-SQL that knows nothing of the builders: it
// splits a text into words, bracketed names, literals and variables after the rules of the language
// ("Tokens" in the SQL Server documentation: a bracket ends at a single `]`, a literal at a single
// `'`).
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { TsqlSample } from '../../../scripts/tsql-samples.ts';
import {
  hostileNames,
  impossibleNames,
  nameGates,
  refusalOf,
  tsqlSamples,
} from '../../../scripts/tsql-samples.ts';
import { statementText } from './statement.ts';

type Token =
  | { readonly kind: 'word' | 'sign' | 'variable'; readonly text: string; readonly depth: number }
  | { readonly kind: 'identifier' | 'literal'; readonly text: string; readonly depth: number };

function tokenize(text: string): readonly Token[] {
  const tokens: Token[] = [];
  let [at, depth] = [0, 0];
  while (at < text.length) {
    const rest = text.slice(at);
    if (/^(?:--|\/\*)/.test(rest)) throw new Error(`a comment at ${at}: ${text}`);
    const space = /^\s+/.exec(rest);
    if (space !== null) {
      at += space[0].length;
      continue;
    }
    const quoted = /^N?'/.test(rest) ? readUntil(rest, "'") : null;
    const bracketed = rest.startsWith('[') ? readUntil(rest, ']') : null;
    const found = quoted ?? bracketed;
    if (found !== null) {
      tokens.push({ kind: quoted === null ? 'identifier' : 'literal', text: found.text, depth });
      at += found.length;
      continue;
    }
    const plain = /^(?:@@?[A-Za-z0-9_]+|[A-Za-z_][A-Za-z0-9_]*|\d+)/.exec(rest)?.[0];
    const sign = plain ?? rest.charAt(0);
    if (plain === undefined && !/^[(),.=*<>-]$/.test(sign)) {
      throw new Error(`${JSON.stringify(sign)} at ${at}: ${text}`);
    }
    if (sign === ')') depth -= 1;
    const kind = plain === undefined ? 'sign' : plain.startsWith('@') ? 'variable' : 'word';
    tokens.push({ kind, text: sign, depth });
    if (sign === '(') depth += 1;
    at += sign.length;
  }
  assert.equal(depth, 0, text);
  return tokens;
}

/** From the opening sign to the closing one that is not doubled. */
function readUntil(text: string, end: string): { text: string; length: number } {
  let value = '';
  for (let at = text.search(/['[]/) + 1; at < text.length; at += 1) {
    const sign = text.charAt(at);
    if (sign !== end) value += sign;
    else if (text.charAt(at + 1) === end) value += text.charAt((at += 1));
    else return { text: value, length: at + 1 };
  }
  throw new Error(`not closed: ${text}`);
}

/** Of T-SQL, without a sign between two of them: a second one would be a second statement. */
const beginnings = new Set(
  (
    'ALTER BACKUP BEGIN BULK COMMIT CREATE DBCC DECLARE DELETE DENY DROP EXEC EXECUTE GO GRANT ' +
    'IF INSERT KILL MERGE PRINT RECONFIGURE RESTORE REVERT REVOKE ROLLBACK SAVE SELECT SHUTDOWN ' +
    'TRUNCATE UPDATE USE WAITFOR WHILE'
  ).split(' '),
);
/** Words of that list that belong to the statement they stand in. */
const inside: Readonly<Record<string, readonly string[]>> = {
  'set-single-user': ['ROLLBACK'],
};

function beginningsIn({ name }: TsqlSample, tokens: readonly Token[]): readonly string[] {
  return tokens
    .filter(({ kind, depth }) => kind === 'word' && depth === 0)
    .map(({ text }) => text.toUpperCase())
    .filter((word) => beginnings.has(word) && inside[name]?.includes(word) !== true);
}

/** What stands behind each `DISK =` or `URL =`. */
function devicesIn(sample: TsqlSample, tokens: readonly Token[]): readonly string[] {
  return tokens.flatMap(({ kind, text }, index) => {
    if (kind !== 'word' || (text !== 'DISK' && text !== 'URL')) return [];
    assert.equal(tokens[index + 1]?.text, '=');
    return [valueOf(sample, tokens[index + 2])];
  });
}

function valueOf({ statement }: TsqlSample, token: Token | undefined): string {
  if (token?.kind !== 'variable') return token?.text ?? '';
  const parameter = statement.parameters.find(({ name }) => `@${name}` === token.text);
  return String(parameter?.value);
}

suite('every T-SQL text', () => {
  const samples = tsqlSamples().map((sample) => {
    return { sample, tokens: tokenize(statementText(sample.statement)) };
  });

  test('covers a few hundred hostile names', () => {
    assert.ok(hostileNames.length >= 200, String(hostileNames.length));
    assert.equal(new Set(hostileNames).size, hostileNames.length);
  });

  test('is one statement, without comments or separators', () => {
    for (const { sample, tokens } of samples) {
      const text = statementText(sample.statement);
      assert.deepEqual(beginningsIn(sample, tokens), [sample.expected.begins.split(' ')[0]], text);
      const words = tokens.slice(0, 2).map((token) => token.text);
      assert.ok(words.join(' ').startsWith(sample.expected.begins), text);
    }
  });

  test('names the database it was asked for, whatever it is called', () => {
    for (const { sample, tokens } of samples) {
      const { database } = sample.expected;
      if (database === null) continue;
      const values = tokens
        .filter(({ kind }) => kind !== 'word' && kind !== 'sign')
        .map((token) => valueOf(sample, token));
      assert.ok(values.includes(database), `${statementText(sample.statement)}: ${values}`);
    }
  });

  test('names the devices it was asked for, in their order', () => {
    for (const { sample, tokens } of samples) {
      assert.deepEqual(devicesIn(sample, tokens), sample.expected.devices);
    }
  });

  test('gives literals and bracketed names back as they were given', () => {
    for (const { sample, tokens } of samples) {
      const values = tokens.map(({ text }) => text);
      for (const literal of sample.expected.literals) assert.ok(values.includes(literal), literal);
    }
  });

  test('uses each of its parameters, and no other variable', () => {
    for (const { sample, tokens } of samples) {
      const used = tokens.filter(({ kind }) => kind === 'variable').map(({ text }) => text);
      const own = sample.statement.parameters.map(({ name }) => `@${name}`);
      const server = used.filter((name) => name.startsWith('@@'));
      assert.deepEqual(new Set(used), new Set([...own, ...server]), sample.name);
      assert.equal(new Set(own).size, own.length, sample.name);
    }
  });

  test('sends no value that its type would cut off', () => {
    for (const { sample } of samples) {
      for (const parameter of sample.statement.parameters) {
        if (typeof parameter.value !== 'string') continue;
        const max = 'lengthMax' in parameter ? parameter.lengthMax : 128;
        assert.ok(parameter.value.length <= max, `${sample.name} ${parameter.name}`);
        if (parameter.type === 'varchar') assert.match(parameter.value, /^[\x20-\x7e]*$/);
      }
    }
  });
});

suite('names that no server has', () => {
  for (const [gate, build] of Object.entries(nameGates)) {
    test(`are refused as ${gate}`, () => {
      for (const name of impossibleNames) {
        assert.equal(refusalOf(build, name), 'invalid', JSON.stringify(name));
      }
    });
  }
});

suite('the reader itself', () => {
  test('sees what a careless builder would let through', () => {
    assert.throws(() => tokenize('DROP DATABASE [a]; DROP DATABASE [x]'), /";"/);
    assert.throws(() => tokenize("DBCC CHECKDB (N'a') -- x"), /comment/);
    assert.throws(() => tokenize('DROP DATABASE [a'), /not closed/);
    const twice = tokenize('DROP DATABASE [a] DROP DATABASE [x]');
    const [sample] = tsqlSamples();
    assert.ok(sample);
    assert.deepEqual(beginningsIn(sample, twice), ['DROP', 'DROP']);
    assert.deepEqual(
      tokenize("[a]]b] N'c''d'").map(({ text }) => text),
      ['a]b', "c'd"],
    );
  });
});
