/** What was used lately, by name, within bounds of number and of bytes; the last two always stay: what is shown, and what comes next. */
export class RecentPixels<Pixels> {
  readonly #most: number;
  readonly #mostBytes: number;
  /** The one used last comes last. */
  readonly #kept = new Map<string, { readonly pixels: Pixels; readonly bytes: number }>();
  #bytes = 0;

  constructor(most: number, mostBytes: number) {
    this.#most = most;
    this.#mostBytes = mostBytes;
  }

  /** The kept one, which is used now, or undefined. */
  use(name: string): Pixels | undefined {
    const found = this.#kept.get(name);
    if (found) {
      this.#kept.delete(name);
      this.#kept.set(name, found);
    }
    return found?.pixels;
  }

  /** Keeps another one; what was used longest ago makes room for it. */
  keep(name: string, pixels: Pixels, bytes: number): void {
    this.drop(name);
    this.#kept.set(name, { pixels, bytes });
    this.#bytes += bytes;
    for (const oldest of this.#kept.keys()) {
      const fits = this.#kept.size <= this.#most && this.#bytes <= this.#mostBytes;
      if (fits || this.#kept.size <= 2) break;
      this.drop(oldest);
    }
  }

  drop(name: string): void {
    this.#bytes -= this.#kept.get(name)?.bytes ?? 0;
    this.#kept.delete(name);
  }
}
