// When automated backups are made and how long they are kept. Times are UTC: the RDS family knows
// no other.

/** Monday is 1, Sunday 7. */
export type Weekday = 1 | 2 | 3 | 4 | 5 | 6 | 7;

export type BackupSchedule = {
  /** When the window of one hour opens, in minutes after midnight UTC. */
  readonly startMinute: number;
  /** Ascending, each once, never empty. */
  readonly weekdays: readonly Weekday[];
};

export type BackupPolicy =
  | { readonly kind: 'off' }
  | { readonly kind: 'on'; readonly keepDays: number; readonly schedule: BackupSchedule };

export const windowMinutes = 60;
export const everyDay: readonly Weekday[] = [1, 2, 3, 4, 5, 6, 7];

const dayMinutes = 24 * 60;

/** What a new instance gets: every night from 02:00 UTC; 0 days: nothing. */
export function nightlyPolicy(keepDays: number): BackupPolicy {
  if (keepDays === 0) return { kind: 'off' };
  return { kind: 'on', keepDays, schedule: { startMinute: 2 * 60, weekdays: everyDay } };
}

/** `02:00-03:00` → 120; null unless it is one hour that begins at a quarter of an hour. */
export function parseWindow(text: string): number | null {
  const match = /^([01]\d|2[0-3]):(00|15|30|45)-([01]\d|2[0-3]):(\d\d)$/.exec(text);
  if (!match) return null;
  const [hour = 0, minute = 0, endHour = 0, endMinute = 0] = match.slice(1).map(Number);
  const startMinute = hour * 60 + minute;
  const endsAt = (startMinute + windowMinutes) % dayMinutes;
  return endHour * 60 + endMinute === endsAt ? startMinute : null;
}

/** The inverse: 1380 → `23:00-00:00`. */
export function formatWindow(startMinute: number): string {
  const end = (startMinute + windowMinutes) % dayMinutes;
  return `${formatMinute(startMinute)}-${formatMinute(end)}`;
}

/** `7,1,1` → [1, 7]; null when there is anything but digits from 1 (Monday) to 7. */
export function parsePeriod(text: string): readonly Weekday[] | null {
  const words = text.split(',').map((word) => word.trim());
  if (words.some((word) => !/^[1-7]$/.test(word))) return null;
  return everyDay.filter((day) => words.includes(String(day)));
}

function formatMinute(minute: number): string {
  const parts = [Math.floor(minute / 60), minute % 60];
  return parts.map((part) => String(part).padStart(2, '0')).join(':');
}
