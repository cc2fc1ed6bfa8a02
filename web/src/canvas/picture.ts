/** A picture and its halves, quarters, ...: drawn from the one next above the wanted size, it is quick and does not shimmer. */
import type { BoxXyxy, Size } from "../geometry/points";

/** No half is made of a picture that has fewer pixels on its longer side. */
const SMALLEST = 1024;
const SAMPLE = 512;

export class Picture {
  readonly size: Size;
  readonly #levels: CanvasImageSource[];

  constructor(pixels: CanvasImageSource, size: Size) {
    this.size = size;
    this.#levels = [pixels];
  }

  /** Draws the whole picture into the rectangle (0, 0, width, height) of the context's transform; `scale` is device pixels per pixel. */
  draw(context: CanvasRenderingContext2D, scale: number): void {
    context.drawImage(this.#level(Math.max(0, Math.floor(-Math.log2(scale)))), 0, 0, this.size.width, this.size.height);
  }

  /** The pixels of a box of whole pixels. */
  read([left, top, right, bottom]: BoxXyxy): ImageData | null {
    if (right <= left || bottom <= top) return null;
    const part = new OffscreenCanvas(right - left, bottom - top);
    const context = part.getContext("2d", { willReadFrequently: true });
    context?.drawImage(this.#levels[0] as CanvasImageSource, -left, -top);
    return context?.getImageData(0, 0, part.width, part.height) ?? null;
  }

  /** The pixels of a box, the whole of which is brought to few: enough to count levels. */
  sample([left, top, right, bottom]: BoxXyxy): ImageData | null {
    if (right <= left || bottom <= top) return null;
    const scale = Math.min(1, SAMPLE / Math.max(right - left, bottom - top));
    const part = new OffscreenCanvas(Math.ceil((right - left) * scale), Math.ceil((bottom - top) * scale));
    const context = part.getContext("2d", { willReadFrequently: true });
    if (!context) return null;
    // Single pixels, not means of many: a scratch keeps its level.
    context.imageSmoothingEnabled = false;
    context.setTransform(scale, 0, 0, scale, -left * scale, -top * scale);
    context.drawImage(this.#levels[0] as CanvasImageSource, 0, 0);
    return context.getImageData(0, 0, part.width, part.height);
  }

  #level(wanted: number): CanvasImageSource {
    const most = Math.max(0, Math.floor(Math.log2(Math.max(this.size.width, this.size.height) / SMALLEST)));
    const level = Math.min(wanted, most);
    while (this.#levels.length <= level) this.#levels.push(this.#halve(this.#levels.length));
    return this.#levels[level] as CanvasImageSource;
  }

  #halve(level: number): CanvasImageSource {
    const half = document.createElement("canvas");
    half.width = Math.max(1, Math.round(this.size.width / 2 ** level));
    half.height = Math.max(1, Math.round(this.size.height / 2 ** level));
    const context = half.getContext("2d", { alpha: false });
    context?.drawImage(this.#levels[level - 1] as CanvasImageSource, 0, 0, half.width, half.height);
    return half;
  }
}
