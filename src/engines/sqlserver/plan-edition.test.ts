import assert from 'node:assert/strict';
import { test } from 'node:test';
import { editionOf, planEdition, serverVersionOf } from './plan-edition.ts';
import type { ServerTraits } from './server-traits.ts';
import { engineEditions } from './server-traits.ts';

type Edition = Omit<ServerTraits, 'majorVersion'>;

const standard: Edition = {
  edition: 'Standard Edition (64-bit)',
  engineEdition: engineEditions.standard,
};
const web: Edition = { edition: 'Web Edition (64-bit)', engineEdition: engineEditions.standard };
const developer: Edition = {
  edition: 'Developer Edition (64-bit)',
  engineEdition: engineEditions.enterprise,
};
const express: Edition = {
  edition: 'Express Edition (64-bit)',
  engineEdition: engineEditions.express,
};
const managed: Edition = {
  edition: 'SQL Azure',
  engineEdition: engineEditions.azureManagedInstance,
};

test('an edition has one word, and what is sold in another way has none', () => {
  const words = [standard, web, developer, express, managed].map(editionOf);
  assert.deepEqual(words, ['SE', 'WEB', 'EE', 'EXPRESS', null]);
  assert.equal(serverVersionOf('16.0.4135.4', standard), '16.0.4135.4-SE');
  assert.equal(serverVersionOf('12.0.2000.8', managed), '12.0.2000.8');
});

test('an older server refuses, whatever its edition; a lower edition may', () => {
  const of = (majorVersion: number, traits: Edition) => ({ majorVersion, ...traits });
  const cases = [
    [of(15, standard), of(15, standard), 'fine'],
    [of(13, standard), of(16, developer), 'fine'],
    [of(16, standard), of(15, developer), 'refused'],
    [of(16, developer), of(15, developer), 'refused'],
    [of(16, developer), of(16, standard), 'doubtful'],
    [of(15, standard), of(16, express), 'doubtful'],
    [of(15, standard), of(16, managed), 'fine'],
  ] as const;
  for (const [source, target, outcome] of cases) {
    assert.equal(planEdition(source, target).outcome, outcome);
  }
});
