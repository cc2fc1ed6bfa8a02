/** Numbers and words as people read them. */

const COUNTS = new Intl.NumberFormat("en-US");

export function formatCount(count: number): string {
  return COUNTS.format(count);
}

/** "1 picture", "2,000 pictures". */
export function countOf(count: number, noun: string, plural = `${noun}s`): string {
  return `${formatCount(count)} ${count === 1 ? noun : plural}`;
}

/** The first characters of an id, enough to tell versions apart. */
export function shortId(id: string): string {
  return id.slice(0, 12);
}

export function formatBytes(bytes: number): string {
  const units = ["B", "kB", "MB", "GB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value >= 100 || unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}
