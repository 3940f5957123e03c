export const KiB = 1024;
export const MiB = 1024 * KiB;
export const GiB = 1024 * MiB;

/** A size for a reader: `1.4 GB` (powers of ten, as disks and clouds count). */
export function formatBytes(sizeBytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'] as const;
  let value = sizeBytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  const digits = unit === 0 || value >= 100 ? 0 : 1;
  return `${value.toFixed(digits)} ${units[unit]}`;
}

/** A span for a reader: `850 ms`, `12.3 s`, `4 min 05 s`. */
export function formatDuration(spanMs: number): string {
  if (spanMs < 1000) return `${Math.round(spanMs)} ms`;
  if (spanMs < 60_000) return `${(spanMs / 1000).toFixed(1)} s`;
  const minutes = Math.floor(spanMs / 60_000);
  const seconds = Math.floor((spanMs % 60_000) / 1000);
  return `${minutes} min ${String(seconds).padStart(2, '0')} s`;
}
