import type { LogicalSource } from '../../engines/engine.ts';
import type { RepositoryReader } from '../../repository/repository.ts';

/** What a driver may know of a logical backup. */
export function toLogicalSource(reader: RepositoryReader): LogicalSource {
  const { serverVersion, notes } = reader;
  return {
    ...{ serverVersion, notes },
    directories: () => reader.directories(),
    files: () => reader.files(),
    stream: (files, signal) =>
      reader.stream(
        files.map(({ path, sizeBytes }) => ({ path, startBytes: 0, endBytes: sizeBytes })),
        signal,
      ),
  };
}
