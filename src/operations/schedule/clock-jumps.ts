import type { Clock } from '../../platform/clock.ts';

const minuteMs = 60_000;
/** More than a slow round or a correction in steps explains. */
const jumpMs = 5 * minuteMs;
const distrustMs = 60 * minuteMs;

/**
 * Whether the date can be believed. When it moves otherwise than the time that really passes, it is
 * wrong now or was wrong before: for an hour nothing may be deleted because of its age.
 */
export function watchClock(clock: Clock): { isTrusted(): boolean } {
  let offsetMs = clock.now().getTime() - clock.monotonicMs();
  let trustedFromMs = Number.NEGATIVE_INFINITY;
  return {
    isTrusted() {
      const monotonicMs = clock.monotonicMs();
      const nowOffsetMs = clock.now().getTime() - monotonicMs;
      if (Math.abs(nowOffsetMs - offsetMs) > jumpMs) trustedFromMs = monotonicMs + distrustMs;
      offsetMs = nowOffsetMs;
      return monotonicMs >= trustedFromMs;
    },
  };
}
