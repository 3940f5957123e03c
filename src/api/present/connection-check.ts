import type { ConnectionCheck } from '../../operations/instances/check-connection.ts';
import type { FindingWire } from '../schema/error.ts';
import type { ConnectionCheckWire } from '../schema/registered-instance.ts';

export function presentCheck({ ready, server, findings }: ConnectionCheck): ConnectionCheckWire {
  return {
    ready,
    server: server && {
      server_version: server.serverVersion,
      major_version: server.majorVersion,
      system_identifier: server.systemIdentifier,
      size_bytes: server.sizeBytes,
    },
    findings: presentFindings(findings),
  };
}

export function presentFindings(findings: ConnectionCheck['findings']): FindingWire[] {
  return findings.map(({ check, severity, message, hint }) => ({ check, severity, message, hint }));
}
