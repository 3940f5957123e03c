// Dumps made by hand after real ones of mariadb-dump 10.11; those of mysqldump 8 follow its manual
// and have never been run here.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CairnError } from '../../model/errors.ts';
import type { DumpSegment } from './logical-dump.ts';
import { DumpReader } from './logical-dump.ts';

const preamble = [
  '/*M!999999\\- enable the sandbox mode */ ',
  '-- MariaDB dump 10.19',
  '/*!40101 SET NAMES utf8mb4 */;',
  "-- CHANGE MASTER TO MASTER_LOG_FILE='bin.000007', MASTER_LOG_POS=1234;",
];
const postamble = [
  "-- SET GLOBAL gtid_slave_pos='0-11-31,1-12-5';",
  '/*!40103 SET TIME_ZONE=@OLD_TIME_ZONE */;',
  '-- Dump completed on 2026-11-24 20:25:33',
];
const orders = [
  'DROP TABLE IF EXISTS `orders`;',
  'CREATE TABLE `orders` (\n  `id` int\n);',
  'LOCK TABLES `orders` WRITE;',
  "INSERT INTO `orders` VALUES\n(1,'a),(\\'b'),\n(2,NULL);",
  'INSERT INTO `orders` VALUES\n(3,0x00FF);',
  'UNLOCK TABLES;',
];
const trigger = [
  "/*!50003 SET sql_mode              = 'NO_BACKSLASH_ESCAPES' */ ;",
  'DELIMITER ;;',
  '/*!50003 CREATE*/ /*!50017 DEFINER=`se``ller`@`%`*/ ' +
    '/*!50003 trigger t before insert on orders\nfor each row begin\n' +
    "set @a = '\\';\n-- USE `other`;\nUSE `other`;\nend */;;",
  'DELIMITER ;',
  '/*!50003 SET sql_mode              = @saved_sql_mode */ ;',
];
const database = (name: string): readonly string[] => [
  `-- Current Database: \`${name}\``,
  `CREATE DATABASE /*!32312 IF NOT EXISTS*/ \`${name}\`;`,
  `USE \`${name}\`;`,
];
const views = [
  'USE `shop`;',
  '/*!50001 CREATE ALGORITHM=UNDEFINED */\n' +
    '/*!50013 DEFINER=`root`@`localhost` SQL SECURITY DEFINER */\n' +
    '/*!50001 VIEW `v` AS select 1 */;',
  'USE `em``pty`;',
];
const whole = [
  ...[preamble, database('shop'), orders, trigger],
  ...[database('em``pty'), views, postamble],
].flat();

function collect(lines: readonly string[], expected = ['shop', 'em`pty']) {
  const reader = new DumpReader();
  const texts: Record<string, string> = {};
  const add = (segments: readonly DumpSegment[]): void => {
    for (const { database: name, part, table, bytes } of segments) {
      const key = [name, part, ...(table === null ? [] : [table])].join(' ');
      texts[key] = (texts[key] ?? '') + Buffer.from(bytes).toString();
    }
  };
  add(reader.push(Buffer.from(`${lines.join('\n')}\n`)));
  add(reader.end(expected));
  return { reader, texts };
}

const join = (lines: readonly string[]): string => lines.map((line) => `${line}\n`).join('');

test('every database becomes a text of its own, in parts that load one after another', () => {
  const { texts } = collect(whole);
  const settings = '/*!40101 SET NAMES utf8mb4 */;\n';
  const tail = '/*!40103 SET TIME_ZONE=@OLD_TIME_ZONE */;\n';
  assert.deepEqual(texts, {
    'shop head': settings + join(orders.slice(0, 2)),
    // Without the locks: with them a default may not read its sequence.
    'shop tables orders': join(orders.slice(3, 5)),
    'shop programs': join(trigger),
    'shop views': join(views.slice(1, 2)),
    'shop tail': tail,
    'em`pty head': settings,
    'em`pty tail': tail,
  });
});

test('rows, accounts that bodies run as, and the place in the binary log are told', () => {
  const { reader } = collect(whole);
  assert.deepEqual(reader.textOf('shop'), {
    tables: [{ name: 'orders', rows: 3 }],
    definers: ['`root`@`localhost`', '`se``ller`@`%`'],
    largestStatementBytes: Buffer.byteLength(trigger[2] ?? ''),
  });
  assert.deepEqual(reader.textOf('em`pty').tables, []);
  const gtidSet = '0-11-31,1-12-5';
  assert.deepEqual(reader.position, { file: 'bin.000007', offsetBytes: 1234, gtidSet });
});

test('rows of a list of columns, of one line and of MySQL 8 are counted', () => {
  const insert = (text: string): number => {
    const lines = orders.map((line) => (line.startsWith('INSERT') ? text : line));
    return collect(whole.toSpliced(7, orders.length, ...lines)).reader.textOf('shop').tables[0]
      ?.rows as number;
  };
  assert.equal(insert('INSERT INTO `orders` (`id`, `a(b`) VALUES (1,2),(3,4);'), 4);
  assert.equal(insert("INSERT INTO `orders` VALUES (1,_binary 'a\\0(\\'),('),(2,point(1,2));"), 4);
  assert.equal(insert('INSERT  IGNORE INTO `orders` VALUES (1);'), 2);
});

test('MySQL says in newer words where its log stood', () => {
  const said = "-- CHANGE REPLICATION SOURCE TO SOURCE_LOG_FILE='b.9', SOURCE_LOG_POS=157;";
  const { reader } = collect(whole.map((line) => (line.includes('MASTER_LOG_FILE') ? said : line)));
  assert.deepEqual(reader.position?.file, 'b.9');
});

test('a dump that is cut anywhere is refused', () => {
  const text = Buffer.from(join(whole));
  for (let length = 0; length < text.length - 30; length++) {
    const reader = new DumpReader();
    assert.throws(() => {
      reader.push(text.subarray(0, length));
      reader.end(['shop', 'em`pty']);
    }, CairnError);
  }
});

test('a dump of other databases than asked for is refused', () => {
  assert.throws(() => collect(whole, ['shop', 'em`pty', 'x']), /holds no database x/);
  assert.throws(() => collect(whole, ['shop']), /holds another database/);
});

test('what says in a body that the dump is complete does not make it so', () => {
  const body = [
    'DELIMITER ;;',
    'CREATE PROCEDURE p()\n-- Dump completed\nselect 1 ;;',
    'DELIMITER ;',
  ];
  const lines = [...whole.slice(0, -1), ...body];
  assert.throws(() => collect(lines), /without saying that it is complete/);
});
