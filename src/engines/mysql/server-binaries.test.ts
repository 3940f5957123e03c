import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { findBackupTool, findClients, findTools, parseProgramVersion } from './server-binaries.ts';

const here = { binDirs: [], identity: null };

describe('what a program says of its version', () => {
  it('names its release series, if it is of the flavor', () => {
    const server = 'mariadbd  Ver 10.11.19-MariaDB-0+deb12u1 for debian-linux-gnu on x86_64';
    const tool = 'mariadb-backup based on MariaDB server 10.11.19-MariaDB debian-linux-gnu';
    assert.equal(parseProgramVersion(server, 'mariadb'), '10.11');
    assert.equal(parseProgramVersion(tool, 'mariadb'), '10.11');
    assert.equal(parseProgramVersion(server, 'mysql'), null);
  });

  it('is understood of MySQL and XtraBackup, as their documentation shows it', () => {
    const server =
      '/usr/sbin/mysqld  Ver 8.0.36 for Linux on x86_64 (MySQL Community Server - GPL)';
    const tool = 'xtrabackup version 8.0.35-31 based on MySQL server 8.0.35 Linux (x86_64)';
    assert.equal(parseProgramVersion(server, 'mysql'), '8.0');
    assert.equal(parseProgramVersion(tool, 'mysql'), '8.0');
  });
});

describe('the programs on this machine', () => {
  it('are those of the series', async () => {
    const tools = await findTools('10.11.1-MariaDB', here);
    assert.equal(tools.server, '/usr/sbin/mariadbd');
    for (const path of Object.values(tools)) assert.match(path ?? '', /\/(mariadb|mbstream)/);
    assert.match((await findBackupTool('10.11.1-MariaDB', here)) ?? '', /mariadb-backup$/);
    assert.match((await findClients('11.4.2-MariaDB', here)).dump, /mariadb-dump$/);
  });

  it('are missed by name', async () => {
    await assert.rejects(findTools('11.4.2-MariaDB', here), {
      kind: 'engine-refused',
      message: /MariaDB 11\.4 is not installed here; found 10\.11 in/,
    });
    assert.equal(await findBackupTool('8.0.36', here), null);
    await assert.rejects(findClients('8.0.36', here), { kind: 'engine-refused' });
  });
});
