// The file that the server has written of one backup of the log: what its history tells is proof
// that it was finished, so a file that is not there is another thing than one that never was.
import { CairnError } from '../../model/errors.ts';
import { deviceNames } from './devices.ts';
import type { ExchangeFile } from './exchange.ts';
import type { OwnLog } from './log-history.ts';
import { toExchangeName } from './log-names.ts';
import type { LogScene } from './log-scene.ts';
import { isServerError } from './session.ts';
import { judgeSize } from './stored-size.ts';
import { mediaStatement } from './tsql-media.ts';

type FileScene = Pick<
  LogScene,
  'session' | 'exchange' | 'keeperName' | 'sink' | 'limits' | 'clock' | 'signal'
>;

const cannotOpen = 3201;
const rightMissing = 262;

/**
 * Waits until it is here and whole. @throws log-gap when it is gone, which only the server can
 * tell; storage-unavailable when it has it, and Cairn has not
 */
export async function getLogFile(log: OwnLog, scene: FileScene): Promise<ExchangeFile> {
  const { exchange, keeperName, limits, clock, signal } = scene;
  const name = toExchangeName(keeperName, log.name);
  for (let tries = 1; ; tries += 1) {
    const file = await exchange.open(name, 0, signal);
    const recordedBytes = Math.max(1, log.sizeMinBytes ?? 1);
    const verdict = file === null ? 'short' : judgeSize(file.sizeBytes, recordedBytes);
    if (file !== null && verdict === 'whole') return file;
    if (tries >= limits.appearTries) {
      if (file !== null && verdict === 'doubtful') return file;
      throw await explainAbsence(log, scene, file);
    }
    await clock.sleep(limits.appearWaitMs, signal);
  }
}

async function explainAbsence(
  log: OwnLog,
  scene: FileScene,
  file: ExchangeFile | null,
): Promise<CairnError> {
  const { exchange, keeperName } = scene;
  const devices = exchange.devices(toExchangeName(keeperName, log.name));
  const [device = ''] = deviceNames(devices);
  const found = file === null ? 'it is not there' : `it has ${file.sizeBytes} bytes only`;
  const text = `the server has written ${device}, log of ${log.record.database}, and ${found}`;
  // Where nothing has ever come through, a wrong folder is likelier than a file that was removed.
  const isFirst = scene.sink.storedPosition === null;
  if (file === null && (isFirst || (await isSeenByServer(devices, scene)))) {
    return new CairnError('storage-unavailable', `${text} for Cairn`, {
      hint: 'both must see the same place: is the share mounted here?',
    });
  }
  return new CairnError('log-gap', text, {
    hint: 'it held log that is nowhere else: the archive begins anew, which needs a full backup',
    details: { backup: log.record.id },
  });
}

/** Without the right to ask, what Cairn sees must do. */
async function isSeenByServer(
  devices: Parameters<typeof mediaStatement>[1],
  { session, signal }: FileScene,
): Promise<boolean> {
  try {
    await session.run(mediaStatement('label', devices), { signal });
    return true;
  } catch (error) {
    if (isServerError(error, cannotOpen) || isServerError(error, rightMissing)) return false;
    throw error;
  }
}
