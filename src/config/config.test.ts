import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isErrorKind } from '../model/errors.ts';
import { credentialsPath, loadConfig } from './config.ts';

describe('the configuration', () => {
  it('lets options win over the environment, and that over the defaults', () => {
    const environment = { CAIRN_DATA: '/env', CAIRN_LISTEN: '0.0.0.0:1' };
    const config = loadConfig({ dataDir: '/option', listen: '[::1]:9000' }, environment);
    assert.equal(config.dataDir, '/option');
    assert.equal(config.host, '::1');
    assert.equal(config.port, 9000);
    assert.equal(loadConfig({}, environment).dataDir, '/env');
    const { host, port } = loadConfig({ dataDir: '/d' }, {});
    assert.deepEqual([host, port], ['127.0.0.1', 8635]);
  });

  it('refuses what is no address, no level and no number in range', () => {
    const bad: readonly [string, string][] = [
      ['CAIRN_LISTEN', 'here'],
      ['CAIRN_LISTEN', '127.0.0.1:70000'],
      ['CAIRN_LOG_LEVEL', 'loud'],
      ['CAIRN_JOB_LEASE_MS', '10'],
      ['CAIRN_JOB_CONCURRENCY', '1.5'],
    ];
    for (const [name, value] of bad) {
      assert.throws(
        () => loadConfig({ dataDir: '/d' }, { [name]: value }),
        (error) => isErrorKind(error, 'invalid') && error.message.includes(value),
        `${name}=${value}`,
      );
    }
  });

  it('hides what is secret in it', () => {
    const environment = {
      CAIRN_DATABASE_URL: 'postgres://u:secret-word@h/d',
      CAIRN_MASTER_KEY: 'ab'.repeat(32),
    };
    const printed = JSON.stringify(loadConfig({ dataDir: '/d' }, environment));
    assert.doesNotMatch(printed, /secret-word|abab/);
  });

  it('finds the credentials where the command line is pointed to', () => {
    const environment = { CAIRN_CREDENTIALS: '/c.json', CAIRN_DATA: '/env' };
    assert.equal(credentialsPath({ dataDir: '/d' }, environment), '/d/credentials.json');
    assert.equal(credentialsPath({}, environment), '/c.json');
    assert.equal(credentialsPath({}, { CAIRN_DATA: '/env' }), '/env/credentials.json');
  });
});
