/**
 * The tone in which a picture is shown: brightness, contrast, gamma and inversion, of what is seen, never of the data. All four are one
 * table from a channel's level to the level that is shown, which the browser applies when it puts the page together. Pure.
 */

export type Tone = {
  /** Added to each channel before the rest, -0.5..0.5 of its range. */
  readonly brightness: number;
  /** Doublings of the distance from the middle of the range, -2..5. */
  readonly contrast: number;
  /** Doublings of gamma, -2..2: more lightens what is dark. */
  readonly gamma: number;
  readonly inverts: boolean;
};

export const PLAIN: Tone = { brightness: 0, contrast: 0, gamma: 0, inverts: false };
export const TONE_LIMITS = { brightness: [-0.5, 0.5], contrast: [-2, 5], gamma: [-2, 2] } as const;

const LEVELS = 256;
/** Of what is seen, so much may lie above the brightest level that is told from the others, and as much below the darkest. */
const CUT = 0.005;

export function isPlain({ brightness, contrast, gamma, inverts }: Tone): boolean {
  return brightness === 0 && contrast === 0 && gamma === 0 && !inverts;
}

/** What is shown for each of 256 levels, 0..1. */
export function toneTable({ brightness, contrast, gamma, inverts }: Tone): readonly number[] {
  return Array.from({ length: LEVELS }, (_, level) => {
    const stretched = (level / (LEVELS - 1) + brightness - 0.5) * 2 ** contrast + 0.5;
    const shown = Math.min(1, Math.max(0, stretched)) ** (1 / 2 ** gamma);
    return inverts ? 1 - shown : shown;
  });
}

/**
 * The tone in which the levels of some pixels fill the whole range, but for the darkest and the brightest few; of four bytes a pixel
 * the fourth is left out. Gamma and inversion stay.
 */
export function stretchTone(tone: Tone, pixels: Uint8ClampedArray): Tone {
  const counts = new Uint32Array(LEVELS);
  for (let at = 0; at < pixels.length; at += 4) {
    for (let channel = at; channel < at + 3; channel++)
      counts[pixels[channel] as number] = (counts[pixels[channel] as number] as number) + 1;
  }
  const most = CUT * 0.75 * pixels.length;
  const low = findLevel(counts, most, 0, 1);
  const high = findLevel(counts, most, LEVELS - 1, -1);
  const span = Math.max(1, high - low) / (LEVELS - 1);
  return {
    ...tone,
    brightness: limit("brightness", 0.5 - (low + high) / 2 / (LEVELS - 1)),
    contrast: limit("contrast", -Math.log2(span)),
  };
}

/** The first level, counted from one end, up to which there are more than so many. */
function findLevel(counts: Uint32Array, most: number, from: number, by: 1 | -1): number {
  let sum = 0;
  for (let level = from; level >= 0 && level < counts.length; level += by) {
    sum += counts[level] as number;
    if (sum > most) return level;
  }
  return from;
}

function limit(name: keyof typeof TONE_LIMITS, value: number): number {
  const [least, most] = TONE_LIMITS[name];
  return Math.min(most, Math.max(least, value));
}

/** A tone from a browser's storage; what is none is the plain one. */
export function readTone(text: string | null): Tone {
  try {
    const stored = JSON.parse(text ?? "null") as Partial<Tone> | null;
    const number = (name: keyof typeof TONE_LIMITS) => limit(name, Number(stored?.[name]) || 0);
    return {
      brightness: number("brightness"),
      contrast: number("contrast"),
      gamma: number("gamma"),
      inverts: stored?.inverts === true,
    };
  } catch (error) {
    if (error instanceof SyntaxError) return PLAIN;
    throw error;
  }
}
