import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { errorReasons } from '../model/error-reasons.ts';
import { CairnError, errorKinds } from '../model/errors.ts';
import { answerError, RequestError, readError, readLanguage } from './errors.ts';

const english = { language: 'en', requestId: 'r' } as const;
const chinese = { language: 'zh', requestId: 'r' } as const;

describe('an error on the wire', () => {
  const errors = [
    ...errorKinds.map((kind) => new CairnError(kind, 'some text')),
    ...errorReasons.map((reason) => new CairnError('invalid', 'some text', { reason })),
  ];
  test('has a status, a code and a text in both languages', () => {
    for (const error of errors) {
      const { status, body } = answerError(error, english);
      const label = `${error.kind} ${error.reason}`;
      assert.ok(status >= 400 && status < 600, label);
      assert.match(body.error_code, /^(DBS\.\d{6}|APIGW\.\d{4}|CAIRN\.\d{4})$/, label);
      assert.match(body.error_msg, /^[A-Z].*\.$/, label);
      assert.match(answerError(error, chinese).body.error_msg, /\p{Script=Han}/u, label);
      assert.equal(body.request_id, 'r');
    }
  });
  test('401 is kept for a wrong login: clients then fetch a new token and repeat', () => {
    const unauthenticated = errors.filter((error) => answerError(error, english).status === 401);
    assert.deepEqual(
      unauthenticated.map((error) => error.reason ?? error.kind),
      ['unauthenticated', 'login-locked'],
    );
  });
  test('a hint follows the text', () => {
    const error = new CairnError('invalid', 'port must be a number', { hint: 'write 5432' });
    assert.equal(answerError(error, english).body.error_msg, 'Port must be a number. Write 5432.');
  });
  test('the name of a field keeps its case', () => {
    const error = new CairnError('invalid', 'begin_time is missing');
    assert.equal(answerError(error, english).body.error_msg, 'begin_time is missing.');
  });
  test('the text of a bug stays inside', () => {
    const { status, body } = answerError(new CairnError('bug', 'row 17 of table x'), english);
    assert.equal(status, 500);
    assert.doesNotMatch(body.error_msg, /row 17/);
    const unforeseen = readError(new TypeError('cannot read x of undefined'));
    assert.doesNotMatch(answerError(unforeseen, english).body.error_msg, /undefined/);
  });
  test('details and cause stay inside', () => {
    const error = new CairnError('storage-unavailable', 'not now', {
      details: { table: 'tokens' },
      cause: new Error('password is abc'),
    });
    assert.doesNotMatch(JSON.stringify(answerError(error, english)), /tokens|abc/);
  });
  test('conditions of the door have codes of the gateway', () => {
    const { status, body } = answerError(new RequestError('route-unknown'), english);
    assert.equal(status, 404);
    assert.equal(body.error_code, 'APIGW.0101');
  });
});

test('the language is Chinese for zh-cn only', () => {
  assert.equal(readLanguage('zh-cn'), 'zh');
  assert.equal(readLanguage('ZH-CN'), 'zh');
  assert.equal(readLanguage('en-us'), 'en');
  assert.equal(readLanguage('de'), 'en');
  assert.equal(readLanguage(undefined), 'en');
});
