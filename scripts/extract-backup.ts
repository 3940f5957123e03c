// Turns a backup into a PostgreSQL data folder, by docs/repository-format.md alone: shares no code
// with the server. The file table and all sizes are verified before the target is touched, pages as
// they are written; `global/pg_control` comes last, so no server starts on what a failure left.
import { createDecipheriv, createHash, hkdfSync } from 'node:crypto';
import * as fs from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { zstdDecompressSync } from 'node:zlib';

const usage = `usage: extract-backup.ts --repository DIR --key HEX|--key-file FILE --backup ID
                         --to NEWDIR [--tablespace OID=DIR]…`;
const kinds = { pack: 1, map: 2, manifest: 3 } as const;
const [partPages, framesMax] = [8192, 16];

type Sealed = { path: string; key: Uint8Array; footer: Buffer };
type DirectoryEntry = { type: 'directory'; path: string; mode: number };
type FileFacts = { size: number; modified: number; page: number };
type FileParts = { parts: { map: number; frame: number }[] };
type FileEntry = { type: 'file'; path: string; mode: number } & FileFacts & FileParts;
type Objects = { name: string; size: number }[];
type Source = { format: number; repository_id: string; instance: { engine: string } };
type Notes = { tablespaces?: { oid: string; location: string }[] };
type Totals = { files: number; directories: number; logical_bytes: number };
type Table = { totals: Totals; table: { frames: number; sha256: string } };
type Content = { engine: { version: string; notes: Notes }; packs: Objects; maps: Objects };
type Header = Source & Table & Content;

process.on('uncaughtException', ({ message }) => {
  console.error(`extract-backup: ${message}`);
  process.exit(1);
});
const text = { type: 'string' } as const;
const options = { repository: text, key: text, 'key-file': text, backup: text, to: text };
const tablespace = { type: 'string', multiple: true, default: [] as string[] } as const;
const { values: given } = parseArgs({ options: { ...options, tablespace } });
const { repository: root = '', backup = '', to = '', 'key-file': keyFile = '' } = given;
check(root && backup && to && !given.key === !!keyFile, usage);
const hex = given.key ?? fs.readFileSync(keyFile, 'utf8').trim();
check(/^[0-9a-f]{64}$/i.test(hex), 'the master key must be 64 hexadecimal digits');
const masterKey = Buffer.from(hex, 'hex');
const keyHash = createHash('sha256').update('cairn master key').update(masterKey).digest('hex');
const masterKeyId = keyHash.slice(0, 16);
const [objects, frames] = [new Map<string, Sealed>(), new Map<string, Buffer>()];
console.log(extract(resolve(to)));

function check(condition: unknown, problem: string): asserts condition {
  if (!condition) throw new Error(problem);
}

/** Names the object, or the path, in whatever goes wrong there. */
function within<T>(name: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw new Error(`${name}: ${(error as Error).message}`);
  }
}

function readJson(name: string): Record<string, string> {
  const value = JSON.parse(fs.readFileSync(join(root, name), 'utf8'));
  check(value?.format === 1, `format ${value?.format} is unknown here`);
  return value;
}

function readAt(path: string, at: number, sizeBytes: number): Buffer {
  const bytes = Buffer.alloc(sizeBytes);
  const file = fs.openSync(path, 'r');
  check(fs.readSync(file, bytes, 0, sizeBytes, at) === sizeBytes, 'ends too early');
  fs.closeSync(file);
  return bytes;
}

function openGcm(key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, sealed: Buffer): Buffer {
  const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: 16 });
  decipher.setAAD(aad).setAuthTag(sealed.subarray(-16));
  return Buffer.concat([decipher.update(sealed.subarray(0, -16)), decipher.final()]);
}

function unseal(path: string, key: Uint8Array, number: number, at: number, size: number): Buffer {
  const sealed = readAt(path, at, size);
  const [rawBytes, codec] = [sealed.readUInt32BE(4), sealed.readUInt8(8)];
  check(sealed.readUInt32BE(0) + 25 === size && codec <= 1, 'its head is wrong');
  const nonce = Buffer.alloc(12);
  nonce.writeUInt32BE(number, 8);
  const aad = Buffer.concat([nonce.subarray(8), sealed.subarray(4, 9)]);
  const plain = openGcm(key, nonce, aad, sealed.subarray(9));
  const raw = codec === 1 ? zstdDecompressSync(plain, { maxOutputLength: rawBytes || 1 }) : plain;
  check(raw.length === rawBytes, `has ${raw.length} bytes of ${rawBytes}`);
  return raw;
}

/** From the wrap of our master key: the first one, or one that a change of that key has added. */
function unwrapDataKey(keyId: string): Buffer {
  const added = `keys/${keyId}.${masterKeyId}.json`;
  const name = fs.existsSync(join(root, added)) ? added : `keys/${keyId}.json`;
  return within(name, () => {
    const { master_key_id: id, wrapped: base64 = '' } = readJson(name);
    check(id === masterKeyId, `needs master key ${id}, this one is ${masterKeyId}`);
    const wrapped = Buffer.from(base64, 'base64');
    const aad = Buffer.from(`data key ${keyId}`);
    return openGcm(masterKey, wrapped.subarray(0, 12), aad, wrapped.subarray(12));
  });
}

/** The ids of the master keys that open the repository: of its marker, unless that was changed. */
function readMasterKeyIds(first: string): readonly string[] {
  const name = fs.globSync('master-keys/[0-9]*.json', { cwd: root }).sort().at(-1);
  if (name === undefined) return [first];
  const { master_key_ids: ids } = within(name, () => readJson(name)) as Record<string, unknown>;
  check(Array.isArray(ids), `${name}: names no master keys`);
  return ids;
}

function openObject(name: string, kind: number): Sealed {
  const path = join(root, name);
  const head = readAt(path, 0, 12);
  const isObject = head.toString('latin1', 0, 8) === 'CAIRNOBJ' && head[10] === kind;
  check(isObject && head.readUInt16BE(8) === 1, `is no object of format 1 and kind ${kind}`);
  const keyId = readAt(path, 12, head.readUInt8(11)).toString();
  const salt = readAt(path, 12 + head.readUInt8(11), 16);
  const dataKey = unwrapDataKey(keyId);
  const key = new Uint8Array(hkdfSync('sha256', dataKey, salt, `cairn/1/${name}`, 32));
  const trailerAt = fs.statSync(path).size - 20;
  const trailer = readAt(path, trailerAt, 20);
  const [at, size] = [Number(trailer.readBigUInt64BE(0)), trailer.readUInt32BE(8)];
  check(trailer.toString('latin1', 12) === 'CAIRNEND' && at + size === trailerAt, 'bad trailer');
  return { path, key, footer: unseal(path, key, 0xffffffff, at, size) };
}

function readFrame(name: string, kind: number, number: number): Buffer {
  const known = frames.get(`${number} ${name}`);
  if (known) return known;
  return within(`${name}: frame ${number}`, () => {
    const { path, key, footer } = objects.get(name) ?? openObject(name, kind);
    objects.set(name, { path, key, footer });
    const entry = footer.subarray(number * 16);
    const raw = unseal(path, key, number, Number(entry.readBigUInt64BE(0)), entry.readUInt32BE(8));
    check(raw.length === entry.readUInt32BE(12), 'the footer tells another length');
    if (frames.size === framesMax) frames.clear();
    frames.set(`${number} ${name}`, raw);
    return raw;
  });
}

/** Every entry; who comes to the end knows that they are what the header announces. */
function* readTable(name: string, { table, totals }: Header) {
  let [files, directories, bytes] = [0, 0, 0];
  const hash = createHash('sha256');
  for (let number = 1; number <= table.frames; number++) {
    const raw = readFrame(name, kinds.manifest, number);
    hash.update(raw);
    for (const entry of JSON.parse(String(raw)) as (FileEntry | DirectoryEntry)[]) {
      check(!/(^|\/)\.{0,2}(\/|$)|\0/.test(entry.path), `${name}: has the path ${entry.path}`);
      if (entry.type === 'file') [files, bytes] = [files + 1, bytes + entry.size];
      else directories++;
      yield entry;
    }
  }
  const isCounted = files === totals.files && directories === totals.directories;
  const isWhole = isCounted && bytes === totals.logical_bytes;
  check(isWhole && hash.digest('hex') === table.sha256, `${name}: the file table is wrong`);
}

function parsePart(raw: Buffer) {
  let at = 0;
  const varint = (scale = 1): number => {
    const byte = raw.readUInt8(at++);
    return byte < 128 ? byte * scale : (byte - 128) * scale + varint(scale * 128);
  };
  const list = <T>(read: () => T): T[] => Array.from({ length: varint() }, () => read());
  const name = (sizeBytes: number): string => raw.toString('utf8', at, (at += sizeBytes));
  const pages = varint();
  const packs = list(() => name(varint()));
  const extents = list(() => {
    const head = varint();
    const run = { pages: Math.floor(head / 2), pack: '', frame: 0, at: 0 };
    if (head % 2 === 0) return run;
    return { ...run, pack: packs[varint()] ?? '?', frame: varint(), at: varint() };
  });
  return { pages, extents, digests: raw.subarray(at) };
}

/** The bytes of a file that are not holes, page by page compared with their digests. */
function* readRuns(maps: Objects, file: FileEntry) {
  const pageCount = Math.ceil(file.size / file.page);
  check(file.parts.length === Math.ceil(pageCount / partPages), 'has another number of parts');
  for (const [index, { map, frame }] of file.parts.entries()) {
    const part = parsePart(readFrame(maps[map]?.name ?? '?', kinds.map, frame));
    let [page, digestAt] = [index * partPages, 0];
    const pagesEnd = Math.min(page + partPages, pageCount);
    for (const { pages, pack, ...stored } of part.extents) {
      const at = page * file.page;
      page += pages;
      if (pack === '') continue;
      const end = stored.at + Math.min(page * file.page, file.size) - at;
      const bytes = readFrame(pack, kinds.pack, stored.frame).subarray(stored.at, end);
      for (let from = 0; from < end - stored.at; from += file.page, digestAt += 16) {
        const hash = createHash('sha256').update(bytes.subarray(from, from + file.page));
        const isSame = hash.digest().compare(part.digests, digestAt, digestAt + 16, 0, 16) === 0;
        check(isSame, `${pack}: frame ${stored.frame} has another page at ${at + from}`);
      }
      yield { at, bytes };
    }
    const isWhole = page === pagesEnd && part.pages === page - index * partPages;
    check(isWhole && digestAt === part.digests.length, `part ${index} covers other pages`);
  }
}

function writeFile(maps: Objects, entry: FileEntry, path: string): void {
  const file = fs.openSync(path, 'wx', 0o600);
  fs.ftruncateSync(file, entry.size);
  for (const { at, bytes } of readRuns(maps, entry)) {
    check(fs.writeSync(file, bytes, 0, bytes.length, at) === bytes.length, 'was not fully written');
  }
  fs.fchmodSync(file, entry.mode);
  fs.futimesSync(file, entry.modified / 1000, entry.modified / 1000);
  fs.closeSync(file);
}

/** Folders and links to them; a tablespace that lay inside the data folder stays there. */
function makeFolders(target: string, { tablespaces = [] }: Notes): Map<string, string> {
  const folders = new Map<string, string>();
  for (const { oid, location } of tablespaces) {
    if (location.startsWith('/')) folders.set(oid, join(`${target}-tablespaces`, oid));
  }
  for (const [oid = '', folder = ''] of given.tablespace.map((each) => each.split(/=(.*)/s))) {
    check(folder && folders.has(oid), `--tablespace ${oid}: no folder, or not in the backup`);
    folders.set(oid, resolve(folder));
  }
  for (const folder of [target, ...folders.values()]) {
    fs.mkdirSync(folder, { recursive: true });
    check(fs.readdirSync(folder).length === 0, `${folder}: is not empty`);
    fs.chmodSync(folder, 0o700);
  }
  fs.mkdirSync(join(target, 'pg_tblspc'));
  for (const [oid, folder] of folders) fs.symlinkSync(folder, join(target, 'pg_tblspc', oid));
  return folders;
}

function extract(target: string): string {
  const [name] = fs.globSync(`instances/*/backups/${backup}/manifest`, { cwd: root });
  check(name && /^\w+$/.test(backup), `backup ${backup}: is not here`);
  const repository = within('repository.json', () => readJson('repository.json'));
  const ids = readMasterKeyIds(repository.master_key_id ?? '');
  check(ids.includes(masterKeyId), `repository.json: has another key, ${ids.join(' or ')}`);
  const header: Header = JSON.parse(String(readFrame(name, kinds.manifest, 0)));
  const isOurs = header.format === 1 && header.repository_id === repository.repository_id;
  check(isOurs && header.instance.engine === 'postgresql', `${name}: is not for this reader`);
  for (const { name, size } of [...header.packs, ...header.maps]) {
    const found = within(name, () => fs.statSync(join(root, name)).size);
    check(found === size, `${name}: has ${found} bytes of ${size}`);
  }
  const entries = () => readTable(name, header);
  const directories = [...entries().filter(({ type }) => type === 'directory')];
  const folders = makeFolders(target, header.engine.notes);
  for (const { path } of directories) fs.mkdirSync(join(target, path), { recursive: true });
  let map = '';
  for (const [oid, at] of folders) map += `${oid} ${at.replace(/[\\\n\r]/g, '\\$&')}\n`;
  for (const isLast of [false, true]) {
    for (const entry of entries()) {
      if (entry.type !== 'file' || (entry.path === 'global/pg_control') !== isLast) continue;
      fs.mkdirSync(join(target, dirname(entry.path)), { recursive: true, mode: 0o700 });
      within(entry.path, () => writeFile(header.maps, entry, join(target, entry.path)));
    }
    if (folders.size > 0) fs.writeFileSync(join(target, 'tablespace_map'), map);
  }
  for (const { path, mode } of directories.reverse()) fs.chmodSync(join(target, path), mode);
  return `backup ${backup}: ${header.totals.files} files, ${folders.size} tablespaces in ${target}`;
}
