import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mulberry32 } from '../../../test/fixtures/mulberry32.ts';
import { CairnError } from '../../model/errors.ts';
import { StatementReader } from './logical-statements.ts';

/** What there is, each statement as one text with its number of groups. */
function read(text: string, sizes: () => number = () => text.length): readonly string[] {
  const reader = new StatementReader();
  const bytes = Buffer.from(text);
  const found: string[] = [];
  let statement = '';
  const take = (events: ReturnType<StatementReader['push']>): void => {
    for (const event of events) {
      if (event.kind === 'comment') found.push(`comment ${event.text}`);
      if (event.kind === 'delimiter') found.push(Buffer.from(event.bytes).toString().trim());
      if (event.kind === 'begin') assert.equal(statement, '');
      if (event.kind === 'bytes') statement += Buffer.from(event.bytes).toString('latin1');
      if (event.kind !== 'end') continue;
      found.push(`${event.groups} ${Buffer.from(statement, 'latin1').toString()}`);
      statement = '';
    }
  };
  for (let at = 0; at < bytes.length; ) {
    const size = sizes();
    take(reader.push(bytes.subarray(at, at + size)));
    at += size;
  }
  take(reader.end());
  return found;
}

test('statements end at semicolons that are in no string, name or comment', () => {
  const text = [
    "INSERT INTO `a;b` VALUES (1,'x;y'),(2,'it\\'s; (3)'),(3,'''; ('),(4,\"\\\";\");",
    'CREATE TABLE `t``;` (a int /* ; */, b int -- ;\n, c int # ;\n);',
    "/*!50001 CREATE VIEW v AS SELECT ';*/' */;",
    "SELECT 5-3, 5--3, '\\\\';",
  ];
  assert.deepEqual(read(text.join('\n')), [
    `4 ${text[0]}`,
    `1 ${text[1]}`,
    `0 ${text[2]}`,
    `0 ${text[3]}`,
  ]);
});

test('what a body holds ends nothing before its own delimiter', () => {
  const body = "CREATE PROCEDURE p() begin select '\nDELIMITER ;\n;;'; /*\nDELIMITER ;\n*/ end ;;";
  assert.deepEqual(read(`DELIMITER ;;\n${body}\nDELIMITER ;\nSELECT 1;`), [
    ...['DELIMITER ;;', `1 ${body}`, 'DELIMITER ;', '0 SELECT 1;'],
  ]);
});

test('comments between statements come on their own, and the order to newer clients is one', () => {
  const sandbox = '/*M!999999\\- enable the sandbox mode */ ';
  assert.deepEqual(read(`${sandbox}\n-- one; two\n--\n/* a\n; b */\nSELECT 1;\n-- last`), [
    ...[`comment ${sandbox}`, 'comment -- one; two', 'comment --', 'comment /* a\n; b */'],
    ...['0 SELECT 1;', 'comment -- last'],
  ]);
});

test('a backslash is a character while a routine is made that takes it for one', () => {
  const set = "/*!50003 SET sql_mode              = 'NO_BACKSLASH_ESCAPES' */ ;";
  const back = '/*!50003 SET sql_mode              = @saved_sql_mode */ ;';
  const statements = [set, "SELECT '\\';", back, "SELECT '\\';';"];
  assert.deepEqual(
    read(statements.join('\n')),
    statements.map((statement) => `0 ${statement}`),
  );
});

test('a text that ends midway is refused', () => {
  for (const text of [
    "SELECT 'a",
    'SELECT 1',
    'SELECT `a;',
    '/* never',
    "INSERT INTO t VALUES (1,'",
  ]) {
    assert.throws(() => read(text), CairnError, text);
  }
  assert.throws(() => read('DELIMITER //\n'), /delimiter \/\//);
});

test('it does not matter how the text is cut', () => {
  const random = mulberry32(7);
  const pieces = [
    ...[
      "'",
      '"',
      '`',
      '\\',
      ';',
      ';;',
      '--',
      '-- ',
      '#',
      '/*',
      '*/',
      '/*!',
      '\n',
      '(',
      ')',
      'é',
      'x',
    ],
  ];
  let refused = 0;
  for (let round = 0; round < 400; round++) {
    const length = 1 + Math.floor(random() * 60);
    const parts = Array.from({ length }, () => pieces[Math.floor(random() * pieces.length)]);
    const text = `SELECT ${parts.join('')}`;
    const outcome = (sizes?: () => number): unknown => {
      try {
        return read(text, sizes);
      } catch (error) {
        assert.ok(error instanceof CairnError);
        return error.message;
      }
    };
    const whole = outcome();
    refused += typeof whole === 'string' ? 1 : 0;
    assert.deepEqual(
      outcome(() => 1),
      whole,
      text,
    );
    assert.deepEqual(
      outcome(() => 1 + Math.floor(random() * 7)),
      whole,
      text,
    );
  }
  assert.ok(refused > 20 && refused < 400, `${refused} were refused`);
});
