// The house rules that a machine can hold: who may import whom, what may be read where, how long
// things get.
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, it } from 'node:test';

const root = resolve(import.meta.dirname, '..');
const linesMax = 400;
const columnsMax = 100;

/** Folder of `src` → what it may import besides itself. A path names one file: a door. */
const importTable: Readonly<Record<string, readonly string[]>> = {
  model: [],
  platform: ['model'],
  config: ['model', 'platform'],
  storage: ['model', 'platform'],
  repository: ['model', 'platform', 'storage/storage.ts'],
  engines: ['model', 'platform'],
  catalog: ['model', 'platform'],
  jobs: ['model', 'platform', 'catalog'],
  operations: [
    ...['model', 'platform', 'catalog', 'jobs'],
    ...['engines/engine.ts', 'repository/repository.ts'],
  ],
  api: ['model', 'platform', 'catalog', 'operations'],
  cli: ['model', 'platform', 'config', 'operations', 'api'],
};
/** Put everything together, so they may import anything. */
const composers = [
  ...['compose.ts', 'compose-copy.ts', 'compose-engines.ts', 'compose-ground.ts'],
  ...['compose-keys.ts', 'compose-storage.ts', 'main.ts'],
];
/** Started by path, never imported. */
const entries = ['main.ts', 'repository/page-thread.ts'];

type Source = { readonly path: string; readonly text: string; readonly imports: readonly string[] };

function readSources(pattern: string): Source[] {
  return globSync(pattern, { cwd: root }).map((path) => {
    const text = readFileSync(join(root, path), 'utf8');
    const found = text.matchAll(
      /^(?:import|export)[^'"]*?from '([^']+)'|^import '([^']+)'|import\('([^']+)'\)/gm,
    );
    return {
      path,
      text,
      imports: [...found].map((match) => match[1] ?? match[2] ?? match[3] ?? ''),
    };
  });
}

const isTest = ({ path }: Source): boolean => path.endsWith('.test.ts');
const everything = readSources('{src,test,scripts,bench}/**/*.ts');
const sources = readSources('src/**/*.ts').filter((source) => !isTest(source));

/** The imported file, relative to `src`; null for a package. */
function target(source: Source, specifier: string): string | null {
  if (!specifier.startsWith('.')) return null;
  return relative(join(root, 'src'), join(root, dirname(source.path), specifier));
}

function violations(
  check: (source: Source) => string[],
  of: readonly Source[] = sources,
): string[] {
  return of.flatMap((source) => check(source).map((what) => `${source.path}: ${what}`));
}

export function importViolation(from: string, to: string): string | null {
  const [folder = '', ...rest] = from.split('/');
  if (rest.length === 0) return composers.includes(from) ? null : 'a file without a folder';
  const allowed = importTable[folder];
  if (!allowed) return `folder ${folder} is not in the table`;
  const [toFolder = ''] = to.split('/');
  if (toFolder === folder) return folder === 'engines' ? engineViolation(from, to) : null;
  if (allowed.includes(toFolder) || allowed.includes(to)) return null;
  return `${folder} may not import ${to}`;
}

function engineViolation(from: string, to: string): string | null {
  const [, engine] = from.split('/');
  const [, other = ''] = to.split('/');
  // What lies beside the engines' folders is their common door.
  return other.endsWith('.ts') || engine === other ? null : 'an engine may not import another';
}

describe('the house', () => {
  it('imports only what the table allows', () => {
    const found = violations((source) =>
      source.imports.flatMap((specifier) => {
        const to = target(source, specifier);
        const what = to === null ? null : importViolation(relative('src', source.path), to);
        return what === null ? [] : [what];
      }),
    );
    assert.deepEqual(found, []);
  });

  it('finds planted violations', () => {
    assert.match(importViolation('model/a.ts', 'platform/clock.ts') ?? '', /may not import/);
    assert.match(
      importViolation('operations/x/a.ts', 'repository/pack.ts') ?? '',
      /may not import/,
    );
    assert.match(importViolation('engines/mysql/a.ts', 'engines/postgresql/b.ts') ?? '', /another/);
    assert.equal(importViolation('operations/x/a.ts', 'repository/repository.ts'), null);
    assert.match(importViolation('stray.ts', 'model/ids.ts') ?? '', /without a folder/);
  });

  it('keeps the model free of the outside', () => {
    const outside = violations(
      (source) => source.imports.filter((specifier) => !specifier.startsWith('.')),
      sources.filter(({ path }) => path.startsWith('src/model/')),
    );
    assert.deepEqual(outside, []);
  });

  it('reads environment, wall clock and randomness only where they are handed in', () => {
    const bans: readonly { what: RegExp; where: RegExp }[] = [
      { what: /process\.env\b/, where: /^src\/(main\.ts|config\/)/ },
      { what: /\bDate\.now\(\)|new Date\(\)/, where: /^src\/platform\// },
      { what: /Math\.random\(\)/, where: /^$/ },
      { what: /process\.exit\b/, where: /^src\/main\.ts/ },
      { what: /console\.(log|error|warn)/, where: /^$/ },
      { what: /\b(FIXME|XXX|TODO)\b/, where: /^$/ },
      { what: /biome-ignore|@ts-ignore|@ts-expect-error/, where: /^$/ },
    ];
    const found = violations((source) =>
      bans.flatMap(({ what, where }) =>
        what.test(source.text) && !where.test(source.path) ? [String(what)] : [],
      ),
    );
    assert.deepEqual(found, []);
  });

  it('keeps files and lines short', () => {
    const found = violations((source) => {
      const lines = source.text.split('\n');
      const wide = lines.findIndex((line) => [...line].length > columnsMax);
      return [
        ...(lines.length > linesMax ? [`${lines.length} lines`] : []),
        ...(wide >= 0 ? [`line ${wide + 1} has more than ${columnsMax} characters`] : []),
      ];
    }, everything);
    assert.deepEqual(found, []);
  });

  it('has no file that nobody imports', () => {
    const imported = new Set(
      everything.flatMap((source) => source.imports.map((specifier) => target(source, specifier))),
    );
    const orphans = sources
      .map(({ path }) => relative('src', path))
      .filter((path) => !entries.includes(path) && !imported.has(path));
    assert.deepEqual(orphans, []);
  });

  it('has no barrels and imports with extension', () => {
    assert.deepEqual(
      sources.filter(({ path }) => path.endsWith('/index.ts')).map(({ path }) => path),
      [],
    );
    const bare = violations(
      (source) => source.imports.filter((name) => name.startsWith('.') && !name.endsWith('.ts')),
      everything,
    );
    assert.deepEqual(bare, []);
  });
});
