import { CairnError } from '../../model/errors.ts';
import type { ArchiveLayout, LogicalFile, SourceListing } from '../engine.ts';

export function planLogicalFiles(_source: SourceListing): readonly LogicalFile[] | null {
  throw new CairnError('bug', 'not written yet');
}

export function planImportCommands(_file: LogicalFile, _path: string): readonly string[] {
  throw new CairnError('bug', 'not written yet');
}

export function planArchive(_source: SourceListing): ArchiveLayout {
  throw new CairnError('bug', 'not written yet');
}
