// Log sequence numbers, always as text or bigint: numeric(25,0) has more digits than a number of
// JavaScript keeps. The decimal form that msdb and RESTORE use is three fields in one: the number
// of the virtual log file, the offset of the block (ten digits) and the slot (five). Views of the
// log print the same fields in hexadecimal (SQL Server documentation, "Transaction log
// architecture").
import { CairnError } from '../../model/errors.ts';

const hexPattern = /^(?:0x)?([0-9a-f]{8}):([0-9a-f]{8}):([0-9a-f]{4})$/i;
const decimalPattern = /^\d{1,25}$/;

/** `34000000017600037` or `00000022:000001b8:0025`; null when it is neither. */
export function findLsn(text: string): bigint | null {
  if (decimalPattern.test(text)) return BigInt(text);
  const fields = hexPattern.exec(text);
  if (fields === null) return null;
  const [file, block, slot] = fields.slice(1).map((field) => BigInt(`0x${field}`));
  return (file ?? 0n) * 10n ** 15n + (block ?? 0n) * 10n ** 5n + (slot ?? 0n);
}

/** @throws invalid */
export function parseLsn(text: string): bigint {
  const lsn = findLsn(text);
  if (lsn === null) {
    throw new CairnError('invalid', `${JSON.stringify(text)} is not a log sequence number`, {
      hint: 'It looks like 34000000017600037 or 00000022:000001b8:0025.',
    });
  }
  return lsn;
}

/** The decimal form, as RESTORE takes it. @throws invalid outside numeric(25,0) */
export function formatLsn(lsn: bigint): string {
  if (lsn < 0n || lsn >= 10n ** 25n) {
    throw new CairnError('invalid', `${lsn} is not a log sequence number`);
  }
  return lsn.toString();
}
