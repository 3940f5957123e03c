import type { PreviousBackup } from '../../engines/engine.ts';
import { CairnError } from '../../model/errors.ts';
import type { RepositoryReader } from '../../repository/repository.ts';

/** What a driver may know of the backup that its sink can keep pages of. */
export function toPreviousBackup(reader: RepositoryReader): PreviousBackup {
  const { serverVersion, systemIdentifier, startPosition, notes } = reader.stored.facts.base;
  return {
    ...{ serverVersion, systemIdentifier, startPosition, notes },
    findFile: (path) => reader.findFile(path),
    async *read(path, signal) {
      const file = reader.findFile(path);
      if (!file) throw new CairnError('not-found', `the previous backup has no file ${path}`);
      yield* reader.stream([{ path, startBytes: 0, endBytes: file.sizeBytes }], signal);
    },
  };
}
