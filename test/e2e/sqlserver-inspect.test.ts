// What an inspection of a SQL Server says: of a server where everything is as it should be, and of
// each thing that is not, with the statement that mends it.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { Finding } from '../../src/engines/engine.ts';
import type { Connection } from '../../src/model/instance.ts';
import { never } from '../fixtures/repositories.ts';
import type { SqlServerScene } from '../fixtures/sqlserver-scene.ts';
import { createSqlServerScene } from '../fixtures/sqlserver-scene.ts';

let scene: SqlServerScene;

beforeEach(async () => {
  scene = await createSqlServerScene({
    databases: {
      shop: { pageCount: 60, recoveryModel: 'FULL' },
      'st]ock': { pageCount: 20, recoveryModel: 'SIMPLE' },
    },
  });
});
afterEach(() => scene[Symbol.asyncDispose]());

async function inspect(connection: Connection = scene.connection): Promise<readonly Finding[]> {
  return (await scene.driver.inspect(connection, never)).findings;
}

function find(findings: readonly Finding[], check: string): Finding {
  const found = findings.filter((finding) => finding.check === check);
  assert.equal(found.length, 1, `${check} in ${JSON.stringify(findings, null, 1)}`);
  return found[0] as Finding;
}

const severityOf = (findings: readonly Finding[], check: string) => find(findings, check).severity;

const withOptions = (options: Readonly<Record<string, string>>): Connection => ({
  ...scene.connection,
  options,
});

describe('the inspection of a SQL Server', () => {
  it('says what it is, that it was never tried, and leaves nothing in the exchange', async () => {
    const inspection = await scene.driver.inspect(scene.connection, never);
    const { serverVersion, systemIdentifier, sizeBytes, findings } = inspection;
    assert.match(serverVersion, /^16\.0\.4195\.2/);
    assert.ok(systemIdentifier.length > 0);
    assert.equal(sizeBytes, (60 + 20 + 3 * 4) * 8192);
    const blocking = findings.filter(({ severity }) => severity === 'blocking');
    assert.deepEqual(blocking, []);
    assert.match(
      find(findings, 'version').message,
      /2022 \(16\.0\.4195\.2\).* not run with a real/,
    );
    assert.match(find(findings, 'exchange').message, /see the same/);
    assert.equal(severityOf(findings, 'rights-backup'), 'fine');
    assert.deepEqual(await scene.listFolder(), []);
  });

  it('names the statement for databases without a log that can be backed up', async () => {
    const findings = await inspect();
    assert.match(find(findings, 'recovery-model').message, /of st\]ock: recovery SIMPLE/);
    const { hint } = find(findings, 'recovery-model');
    assert.match(hint ?? '', /ALTER DATABASE \[st\]\]ock\] SET RECOVERY FULL; then/);
    assert.match(find(findings, 'log-chain').message, /first full backup of shop$/);
    await scene.backUp();
    assert.ok(!(await inspect()).some(({ check }) => check === 'log-chain'));
  });

  it('tells databases that are not online', async () => {
    scene.database('shop').state = 'RESTORING';
    assert.match(find(await inspect(), 'databases').message, /left out .*: shop \(RESTORING\)/);
  });

  it('names the rights that are missing, and who lacks them', async () => {
    const { denied } = scene.server.world;
    denied.add('BACKUP DATABASE').add('msdb').add('VIEW SERVER STATE').add('CREATE DATABASE');
    const findings = await inspect();
    const backup = find(findings, 'rights-backup');
    assert.equal(backup.severity, 'blocking');
    assert.match(
      backup.hint ?? '',
      /^USE \[shop\]; ALTER ROLE db_backupoperator ADD MEMBER \[backup\]; USE \[st\]\]ock\]; /,
    );
    const history = find(findings, 'rights-history');
    assert.equal(history.severity, 'blocking');
    assert.match(history.hint ?? '', /GRANT SELECT ON dbo\.backupset TO \[backup\]/);
    assert.match(find(findings, 'rights-state').hint ?? '', /GRANT VIEW SERVER STATE TO \[b/);
    assert.match(find(findings, 'rights-restore').hint ?? '', /GRANT CREATE ANY DATABASE TO/);
    // Without that right the server does not say what it sees, and nothing is claimed.
    assert.match(find(findings, 'exchange').message, /the first backup tells/);
    denied.clear();
    denied.add('BACKUP LOG');
    assert.equal(severityOf(await inspect(), 'rights-log'), 'warning');
  });

  it('finds that the two sides do not see the same folder, and that one is missing', async () => {
    const elsewhere = await mkdtemp(join(tmpdir(), 'cairn-elsewhere-'));
    try {
      const { backupFolder = '' } = scene.connection.options ?? {};
      const other = find(
        await inspect(withOptions({ backupFolder, backupFolderHere: elsewhere })),
        'exchange',
      );
      assert.equal(other.severity, 'blocking');
      assert.match(other.message, /the server does not see what this host puts into/);
      assert.match(other.hint ?? '', /account that SQL Server runs as/);
      const missing = join(elsewhere, 'missing');
      const gone = find(
        await inspect(withOptions({ backupFolder, backupFolderHere: missing })),
        'exchange',
      );
      assert.equal(gone.severity, 'blocking');
      assert.match(gone.message, /cannot be used from here: .*missing/);
    } finally {
      await rm(elsewhere, { recursive: true });
    }
    const none = find(await inspect(withOptions({})), 'exchange');
    assert.deepEqual([none.severity, none.hint?.includes('backupUrl')], ['blocking', true]);
  });

  it('warns of keys that nobody has saved', async () => {
    const shop = scene.database('shop');
    shop.encryption = { certificate: 'tde]cert', keySavedAt: null };
    const unsaved = find(await inspect(), 'encryption');
    assert.equal(unsaved.severity, 'warning');
    assert.match(unsaved.hint ?? '', /BACKUP CERTIFICATE \[tde\]\]cert\] TO FILE/);
    shop.encryption = { certificate: 'tde', keySavedAt: '2026-01-02T03:04:05' };
    assert.equal(severityOf(await inspect(), 'encryption'), 'fine');
    scene.server.world.denied.add('VIEW SERVER STATE');
    assert.match(find(await inspect(), 'encryption').message, /^shop: encrypted/);
  });

  it('finds the backups of other tools, and leaves ours and copies out', async () => {
    await scene.backUp();
    const { world } = scene.server;
    const [ours] = world.history;
    assert.ok(ours);
    const names = (findings: readonly Finding[]) =>
      findings.map(({ check }) => check).filter((check) => check.startsWith('other-'));
    world.history.push({ ...ours, is_copy_only: true, devices: ['D:\\theirs.bak'] });
    assert.deepEqual(names(await inspect()), []);
    world.history.push({ ...ours, devices: ['D:\\theirs.bak'] });
    world.history.push({ ...ours, type: 'L', devices: ['D:\\theirs.trn'] });
    const findings = await inspect();
    assert.deepEqual(names(findings), ['other-log-backups', 'other-full-backups']);
    assert.match(find(findings, 'other-full-backups').message, /of shop .*last by backup at 20/);
  });

  it('tells the roles of replicas, and looks at the host by them', async () => {
    const shop = scene.database('shop');
    const [fine] = await scene.driver.lookAtHosts(scene.connection, never);
    assert.equal(fine?.role, 'primary');
    shop.replicaRole = 'primary';
    assert.match(find(await inspect(), 'availability-groups').message, /primary .* shop \(ag1\)/);
    shop.replicaRole = 'secondary';
    const secondary = find(await inspect(), 'availability-groups');
    assert.equal(secondary.severity, 'warning');
    const [host] = await scene.driver.lookAtHosts(scene.connection, never);
    assert.equal(host?.role, 'standby');
    scene.server.world.denied.add('VIEW SERVER STATE');
    assert.match(find(await inspect(), 'availability-groups').message, /hidden from the login/);
    const [hidden] = await scene.driver.lookAtHosts(scene.connection, never);
    assert.equal(hidden?.role, 'unknown');
  });

  it('says so of a host that does not answer', async () => {
    const port = scene.connection.port;
    await scene.server[Symbol.asyncDispose]();
    const [host] = await scene.driver.lookAtHosts({ ...scene.connection, port }, never);
    assert.equal(host?.role, 'unknown');
  });
});
