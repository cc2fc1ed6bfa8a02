/** How long to wait before the next try: twice as long after each failure, up to half a minute, and never all clients at once. */
const FIRST_MS = 500;
const LONGEST_MS = 30_000;

/** Milliseconds after so many failures in a row (1 or more); between half and all of the full wait, by chance. */
export function waitAfter(failures: number, random: () => number): number {
  const full = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(failures - 1, 30));
  return full * (0.5 + random() / 2);
}
