// Where a backup lies: files as the server sees them, or objects that the server itself writes
// through its S3 connector (SQL Server documentation, "BACKUP", "SQL Server backup to URL for
// S3-compatible object storage"). Several devices are stripes: each is needed for a restore.
import { CairnError } from '../../model/errors.ts';
import { checkText } from './identifier.ts';
import type { ParameterList } from './statement.ts';

export type ServerPlatform = 'windows' | 'linux';

export type BackupDevices =
  /** Absolute paths on the server's host, or `\\server\share\…`. */
  | { readonly kind: 'disk'; readonly platform: ServerPlatform; readonly paths: readonly string[] }
  | {
      readonly kind: 's3';
      /** `s3://host:port/bucket/key` or `s3://bucket.host/key`; always spoken to over TLS. */
      readonly urls: readonly string[];
      /** Null: the server's default, `us-east-1`. */
      readonly region: string | null;
    };

export const devicesMax = 64;
/** The server keeps 260 characters with the one that ends the text. */
export const deviceNameMax = 259;

export function deviceNames(devices: BackupDevices): readonly string[] {
  return devices.kind === 'disk' ? devices.paths : devices.urls;
}

/** `DISK = @device1, DISK = @device2`. @throws invalid */
export function renderDevices(devices: BackupDevices, parameters: ParameterList): string {
  checkDevices(devices);
  const word = devices.kind === 'disk' ? 'DISK' : 'URL';
  return deviceNames(devices)
    .map((name, index) => parameters.text(`device${index + 1}`, name, deviceNameMax))
    .map((parameter) => `${word} = ${parameter}`)
    .join(', ');
}

/**
 * `BACKUP_OPTIONS = N'{"s3": {"region":"…"}}'`, nothing without a region. The grammar has no
 * variable here; the region's alphabet has nothing to quote.
 */
export function renderRegion(
  devices: BackupDevices,
  option: 'BACKUP_OPTIONS' | 'RESTORE_OPTIONS',
): readonly string[] {
  if (devices.kind === 'disk' || devices.region === null) return [];
  return [`${option} = '{"s3": {"region":"${devices.region}"}}'`];
}

/** @throws invalid for devices that no server could write to, or that are not what they seem */
export function checkDevices(devices: BackupDevices): void {
  const names = deviceNames(devices);
  if (names.length < 1 || names.length > devicesMax) {
    throw new CairnError('invalid', `a backup cannot have ${names.length} devices`, {
      hint: `SQL Server takes 1 to ${devicesMax}.`,
    });
  }
  // Windows and most volumes that Linux servers mount from it know no upper and lower case.
  if (new Set(names.map((name) => name.toLowerCase())).size < names.length) {
    throw new CairnError('invalid', 'two devices of a backup have the same name');
  }
  if (devices.kind === 'disk') {
    for (const path of devices.paths) checkPath(path, devices.platform);
  } else {
    for (const url of devices.urls) checkUrl(url);
    if (devices.region !== null && !regionPattern.test(devices.region)) {
      throw new CairnError('invalid', `${devices.region} is not the name of a region`, {
        hint: 'Use letters, digits and hyphens, as in eu-west-1.',
      });
    }
  }
}

const regionPattern = /^[A-Za-z0-9-]{1,64}$/;

/**
 * The path as it is. @throws invalid unless it is absolute, and no device of the operating system:
 * what is written to `NUL` is thrown away, and reported as a success
 */
export function checkPath(path: string, platform: ServerPlatform): string {
  checkText(path, { what: 'path', lengthMax: deviceNameMax });
  const isAbsolute = platform === 'windows' ? windowsPath.test(path) : path.startsWith('/');
  if (!isAbsolute || hasControl.test(path)) {
    throw new CairnError('invalid', `${JSON.stringify(path)} is not an absolute path`, {
      hint: `Give it as the server sees it, on ${platform}.`,
    });
  }
  const parts = path.split(platform === 'windows' ? /[\\/]/ : '/');
  if (parts.includes('..') || parts.includes('.')) {
    throw new CairnError('invalid', `the path ${JSON.stringify(path)} is not a plain one`);
  }
  const odd = platform === 'windows' ? parts.slice(1).find(isOddWindowsName) : undefined;
  if (odd !== undefined) {
    throw new CairnError('invalid', `Windows takes ${JSON.stringify(odd)} for something else`, {
      hint: `Choose another file name than in ${path}.`,
    });
  }
  return path;
}

/** `C:\…` or `\\server\share\…`; `\\.\` and `\\?\` are the devices' own. */
const windowsPath = /^(?:[A-Za-z]:[\\/]|\\\\[^\\/.?][^\\/]*\\[^\\/]+\\)/;
const hasControl = /\p{Cc}/u;
const windowsDevice = /^(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(?:\..*)?$/i;

/** Devices in any folder, alternate streams, characters that are refused, ends that are cut. */
function isOddWindowsName(name: string): boolean {
  return windowsDevice.test(name) || /[<>:"|?*]|[. ]$/.test(name);
}

function checkUrl(url: string): void {
  if (url.length > deviceNameMax) {
    throw new CairnError('invalid', `the URL of a backup has ${url.length} characters`, {
      hint: `SQL Server takes up to ${deviceNameMax}; use a shorter prefix.`,
    });
  }
  if (!urlPattern.test(url) || /\/\.{1,2}(?:\/|$)/.test(url)) {
    throw new CairnError('invalid', `${JSON.stringify(url)} is not the URL of a backup`, {
      hint: 'It looks like s3://host:9000/bucket/folder/name.bak, without anything to escape.',
    });
  }
}

const urlPattern = /^s3:\/\/[A-Za-z0-9.-]+(?::\d{1,5})?(?:\/[A-Za-z0-9._-]+)+$/;
