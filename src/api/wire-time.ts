// Times on the wire. Out: `2026-01-05T03:00:00+0000`, always UTC. In: what the clients of many
// years send.

export function formatWireTime(at: Date): string {
  return `${at.toISOString().slice(0, 19)}+0000`;
}

/** Keystone's form, with microseconds. */
export function formatTokenTime(at: Date): string {
  return at.toISOString().replace('Z', '000Z');
}

const pattern =
  /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.\d{1,9})?(?:Z|([+ -])(\d\d):?(\d\d))?$/;

/**
 * Reads `Z`, `±hhmm`, `±hh:mm` or no zone (UTC). A blank stands for the `+` that a client forgot to
 * encode. Fractions of a second are cut. Null when the text is no moment of the calendar.
 */
export function parseWireTime(text: string): Date | null {
  const match = pattern.exec(text);
  if (!match) return null;
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number);
  const at = new Date(0);
  at.setUTCFullYear(year ?? 0, (month ?? 0) - 1, day ?? 0);
  at.setUTCHours(hour ?? 0, minute ?? 0, second ?? 0);
  // A date that rolled over (30 February, 25 o'clock) does not print as it was written.
  if (at.toISOString().slice(0, 19) !== text.slice(0, 19)) return null;
  const offsetHours = Number(match[8] ?? 0);
  const offsetMinutes = Number(match[9] ?? 0);
  if (offsetHours > 14 || offsetMinutes > 59) return null;
  const offsetMs = (offsetHours * 60 + offsetMinutes) * 60_000;
  return new Date(at.getTime() + (match[7] === '-' ? offsetMs : -offsetMs));
}
