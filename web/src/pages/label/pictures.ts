/** Pictures ready to be painted: the labels from the server and the pixels as a bitmap, loaded ahead where the hand will go next. */
import { pictureUrl } from "../../api/addresses";
import { Picture } from "../../canvas/picture";
import type { LabelledItem } from "../../labels/annotation";
import { RecentPixels } from "./recent-pixels";
import { loadItem } from "./requests";

export type Loaded = { readonly item: LabelledItem; readonly picture: Picture };

/** So many pictures' pixels are kept, if they take no more than so many bytes: this one, its neighbours, and where one came from. */
const KEPT = 4;
const KEPT_BYTES = 256 << 20;
/** Labels that were loaded ahead are used no later, ms: somebody else may work on the same dataset. */
const FRESH = 60_000;

export class PictureLoader {
  readonly #dataset: string;
  /** By blob: pixels never change. */
  readonly #pixels = new RecentPixels<Promise<ImageBitmap>>(KEPT, KEPT_BYTES);
  /** Labels change, so what was loaded ahead is used once. */
  readonly #ahead = new Map<number, { readonly item: Promise<LabelledItem>; readonly since: number }>();

  constructor(dataset: string) {
    this.#dataset = dataset;
  }

  async load(position: number): Promise<Loaded> {
    const ahead = this.#ahead.get(position);
    this.#ahead.delete(position);
    const isFresh = ahead !== undefined && performance.now() - ahead.since < FRESH;
    const item = await (isFresh ? ahead.item : loadItem(this.#dataset, position));
    const bitmap = await this.#loadPixels(item);
    return { item, picture: new Picture(bitmap, { width: item.width, height: item.height }) };
  }

  /** Loads labels and pixels in the background; what fails is asked for again when it is wanted. */
  async prepare(position: number): Promise<void> {
    const item = loadItem(this.#dataset, position);
    this.#ahead.set(position, { item, since: performance.now() });
    try {
      await this.#loadPixels(await item);
    } catch {
      this.#ahead.delete(position);
    }
  }

  /** What was loaded ahead is asked for again: labels of other pictures were changed. */
  forgetLabels(): void {
    this.#ahead.clear();
  }

  #loadPixels(item: LabelledItem): Promise<ImageBitmap> {
    const known = this.#pixels.use(item.blob);
    if (known) return known;
    const pixels = fetchPixels(pictureUrl(this.#dataset, item), item);
    this.#pixels.keep(item.blob, pixels, 4 * item.width * item.height);
    pixels.catch(() => this.#pixels.drop(item.blob));
    return pixels;
  }
}

async function fetchPixels(address: string, { file_name, width, height }: LabelledItem): Promise<ImageBitmap> {
  const response = await fetch(address, { credentials: "same-origin" });
  if (!response.ok) throw new Error(`The server gave no pixels of ${file_name} (status ${response.status}).`);
  try {
    // The server's pictures are upright, and labels are in their pixels: nothing is to be turned, scaled or recoloured.
    const bitmap = await createImageBitmap(await response.blob(), {
      imageOrientation: "none",
      colorSpaceConversion: "none",
    });
    if (bitmap.width !== width || bitmap.height !== height) {
      throw new Error(`expected ${width} x ${height} pixels, got ${bitmap.width} x ${bitmap.height}`);
    }
    return bitmap;
  } catch (error) {
    throw new Error(`This browser cannot show ${file_name}: ${error instanceof Error ? error.message : error}.`);
  }
}
