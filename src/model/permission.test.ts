import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { actions, isAllowed, roles, rolesWith, strongerRole } from './permission.ts';

test('a stronger role holds everything that a weaker one holds', () => {
  for (const action of actions) {
    const [weakest] = rolesWith(action);
    assert.ok(weakest);
    for (const role of roles.slice(0, roles.indexOf(weakest) + 1)) {
      assert.ok(isAllowed(role, action), `${role} ${action}`);
    }
  }
  assert.equal(isAllowed('viewer', 'rds:backup:create'), false);
  assert.equal(isAllowed('operator', 'rds:backup:delete'), false);
});

test('the stronger of two', () => {
  assert.equal(strongerRole('viewer', 'owner'), 'owner');
  assert.equal(strongerRole(null, 'viewer'), 'viewer');
  assert.equal(strongerRole(null, null), null);
});

test('the table of docs/access.md is that of the code', () => {
  const text = readFileSync(new URL('../../docs/access.md', import.meta.url), 'utf8');
  const rows = [...text.matchAll(/^\| `((?:rds|cairn):[\w:]+)` \| (\w+) \|$/gm)];
  assert.deepEqual(
    rows.map(([, action, role]) => `${action} ${role}`).sort(),
    actions.map((action) => `${action} ${rolesWith(action)[0]}`).sort(),
  );
});
