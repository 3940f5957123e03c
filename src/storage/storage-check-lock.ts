// What a check says about versions and locks of a bucket.
import type { Diagnosis } from '../model/diagnosis.ts';
import type { LockTerms, Protection } from './storage.ts';

const page = 'docs/object-lock.md';

/** `terms`: of the locks that the address asks for. */
export function describeProtection(
  protection: Protection,
  terms: LockTerms | null,
): readonly Diagnosis[] {
  return [describeVersions(protection, terms), describeLock(protection, terms)];
}

function describeVersions(
  { versioning, oldVersionsExpire }: Protection,
  terms: LockTerms | null,
): Diagnosis {
  const check = 'versions';
  if (versioning === 'unknown') {
    return {
      check,
      verdict: 'ok',
      text: 'the store does not say whether it keeps them',
      hint: null,
    };
  }
  if (versioning === 'off') return { check, verdict: 'ok', text: 'are not kept', hint: null };
  if (oldVersionsExpire === true) {
    return { check, verdict: 'ok', text: 'are kept, and old ones expire', hint: null };
  }
  // Only who relies on them is expected to let us look at the rules.
  if (oldVersionsExpire === 'unknown' && terms === null) {
    return { check, verdict: 'ok', text: 'are kept; nobody says for how long', hint: null };
  }
  const text =
    oldVersionsExpire === false
      ? 'are kept for ever: what is deleted goes on costing space'
      : 'are kept; the store does not say whether old ones expire';
  const hint = `let a lifecycle rule remove noncurrent versions (${page})`;
  return { check, verdict: 'warning', text, hint };
}

function describeLock(
  { canLock, lockedByDefault }: Protection,
  terms: LockTerms | null,
): Diagnosis {
  const check = 'object lock';
  if (lockedByDefault !== null) {
    const { mode, days } = lockedByDefault;
    const text = `the bucket locks by itself whatever is written: ${mode}, ${days} days`;
    const hint = `Cairn locks what backups need: remove the default retention (${page})`;
    return { check, verdict: 'warning', text, hint };
  }
  if (terms !== null) {
    const text = `${terms.mode}: what backups need stays for ${terms.days} days at least`;
    return { check, verdict: 'ok', text, hint: null };
  }
  const text = {
    true: 'not used; the bucket has it (lock=governance or lock=compliance)',
    false: 'not used; the bucket has none',
    unknown: 'not used; the store does not say whether the bucket has it',
  }[`${canLock}`];
  return { check, verdict: 'ok', text, hint: null };
}
