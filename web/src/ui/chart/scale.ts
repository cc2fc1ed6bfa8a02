/** The arithmetic of a chart: what an axis spans, where its marks stand, how values become pixels. */

export type ChartPoint = { readonly x: number; readonly y: number };
export type Span = readonly [low: number, high: number];
/** Values to pixels, and back. */
export type Scale = { readonly toPixels: (value: number) => number; readonly toValue: (pixels: number) => number };

/** The span of some numbers; null of none. */
export function spanOf(values: Iterable<number>): Span | null {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low <= high ? [low, high] : null;
}

/** Round numbers, 1, 2 or 5 times a power of ten apart, that lie within a span: about as many as wanted. */
export function findTicks([low, high]: Span, wanted: number): number[] {
  const step = chooseStep(high - low, wanted);
  if (step === 0) return [low];
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, place) => tidy((first + place) * step));
}

/** A span widened to round numbers, so that an axis begins and ends with a mark; of one value, some room around it. */
export function roundSpan([low, high]: Span, wanted: number): Span {
  if (low === high) {
    const room = Math.abs(low) / 2 || 1;
    return [tidy(low - room), tidy(high + room)];
  }
  const step = chooseStep(high - low, wanted);
  return [tidy(Math.floor(low / step + 1e-9) * step), tidy(Math.ceil(high / step - 1e-9) * step)];
}

function chooseStep(length: number, wanted: number): number {
  if (length <= 0) return 0;
  const rough = length / Math.max(wanted, 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  const factor = [1, 2, 5, 10].find((one) => one * power >= rough * (1 - 1e-9)) ?? 10;
  return factor * power;
}

/** Without the dust of binary fractions: 0.30000000000000004 is 0.3. */
function tidy(value: number): number {
  return Number(value.toPrecision(12));
}

/** A straight scale from a span of values to a span of pixels. */
export function makeScale([low, high]: Span, [from, to]: Span): Scale {
  const length = high - low || 1;
  return {
    toPixels: (value) => from + ((value - low) / length) * (to - from),
    toValue: (pixels) => low + ((pixels - from) / (to - from || 1)) * length,
  };
}

/** The `d` of a path through points, to a tenth of a pixel. */
export function drawLine(points: readonly ChartPoint[], x: Scale, y: Scale): string {
  return points
    .map((point, place) => `${place ? "L" : "M"}${x.toPixels(point.x).toFixed(1)} ${y.toPixels(point.y).toFixed(1)}`)
    .join("");
}

/** The place of the point whose x is nearest; points stand in the order of x. -1 without points. */
export function findNearest(points: readonly ChartPoint[], x: number): number {
  let low = 0;
  let high = points.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((points[middle]?.x ?? 0) < x) low = middle + 1;
    else high = middle;
  }
  const [before, at] = [points[low - 1], points[low]];
  if (!at) return -1;
  return before && x - before.x <= at.x - x ? low - 1 : low;
}

/** A value as an axis or a legend shows it: as many digits as tell it from its neighbours, and no more. */
export function formatValue(value: number): string {
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size >= 1000) return Math.round(value).toLocaleString("en-US");
  if (size < 1e-3) return value.toExponential(1).replace(/\.0e/, "e").replace("e-", "e−");
  return String(Number(value.toPrecision(size >= 100 ? 4 : 3)));
}
