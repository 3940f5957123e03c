import type { ShownInstanceWire } from '../api/schema/log-archive.ts';
import type { HostStateWire } from '../api/schema/registered-instance.ts';

/** What `instance show` says of the servers of an instance with standbys. */
export function describeHosts({ hosts }: ShownInstanceWire): readonly [string, string][] {
  return (hosts ?? []).map((state) => ['server', `${state.host}:${state.port} ${roleOf(state)}`]);
}

function roleOf({ role, timeline, streaming, lag_seconds: lag, problem }: HostStateWire): string {
  switch (role) {
    case 'primary':
      return timeline === null ? 'primary' : `primary, timeline ${timeline}`;
    case 'standby': {
      const behind = lag === null ? 'nobody knows how far behind' : `${Math.round(lag)} s behind`;
      return `standby, ${behind}${streaming ? '' : ', receives no log'}`;
    }
    case 'unknown':
      return `unknown: ${problem}`;
  }
}
