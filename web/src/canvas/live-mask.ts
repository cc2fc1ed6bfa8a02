/** The mask under a brush: its pixels as a picture that follows every stroke, copying only what the stroke changed. */
import type { Preview } from "../editor/tool";
import type { Mask } from "../geometry/masks";
import type { BoxXyxy } from "../geometry/points";
import { MASK_OPACITY } from "./masks";
import { parseColour } from "./style";

export type PaintedMask = NonNullable<Preview["mask"]>;

export class LiveMask {
  readonly canvas: HTMLCanvasElement;
  readonly #pixels: Mask;
  readonly #context: CanvasRenderingContext2D | null;
  readonly #colour: readonly [number, number, number];

  constructor(pixels: Mask, colour: string | undefined) {
    this.canvas = document.createElement("canvas");
    this.canvas.width = pixels.width;
    this.canvas.height = pixels.height;
    this.#pixels = pixels;
    this.#context = this.canvas.getContext("2d");
    this.#colour = parseColour(colour ?? "") ?? [138, 143, 152];
    this.copy([0, 0, pixels.width, pixels.height]);
  }

  shows(pixels: Mask): boolean {
    return this.#pixels === pixels;
  }

  /** Copies whole pixels of a rectangle within the mask. */
  copy([left, top, right, bottom]: BoxXyxy): void {
    if (right <= left || bottom <= top) return;
    const image = new ImageData(right - left, bottom - top);
    const [red, green, blue] = this.#colour;
    for (let y = top; y < bottom; y += 1) {
      for (let x = left; x < right; x += 1) {
        if (!this.#pixels.data[y * this.#pixels.width + x]) continue;
        const place = 4 * ((y - top) * image.width + x - left);
        image.data[place] = red;
        image.data[place + 1] = green;
        image.data[place + 2] = blue;
        image.data[place + 3] = MASK_OPACITY;
      }
    }
    this.#context?.putImageData(image, left, top);
  }
}
