/**
 * Paints a picture and the shapes on it into two canvases, at most once per frame of the screen and only where something changed. It
 * knows the document only as a list of shapes to draw; what the hand holds is drawn above it, by the overlay.
 */
import { boxEncloses, boxesMeet } from "../geometry/boxes";
import type { BoxXyxy, Size } from "../geometry/points";
import type { View } from "../geometry/view";
import { boundsOf } from "../labels/shapes";
import { Layer, type Region } from "./layer";
import { LiveMask, type PaintedMask } from "./live-mask";
import type { Picture } from "./picture";
import { type Boxed, drawPlate, layOutPlates, type Plate } from "./plates";
import { findChanges, isSameSource, makeScene, type Scene, type SceneSource } from "./scene";
import { drawShape } from "./shapes";
import { MARKED_LINE_WIDTH, MARKER_RADIUS } from "./style";

/** How far a line or a marker may reach beyond its shape, CSS pixels. */
const AROUND = MARKER_RADIUS + MARKED_LINE_WIDTH;
/** With more shapes, zooming shows a scaled picture until it rests. */
const CROWDED = 300;
/** The zoom rests after so long, and a scaled picture is shown no longer than so long, ms. */
const REST = 90;
const LONGEST_SCALED = 160;
/** Above so many CSS pixels per pixel, pixels are shown as squares. */
export const SQUARES_FROM = 4;

export class Painter {
  readonly #pictureLayer: Layer;
  readonly #shapesLayer: Layer;
  readonly #maskLayer: Layer;
  #size: Size = { width: 0, height: 0 };
  #ratio = 1;
  #view: View | null = null;
  #picture: Picture | null = null;
  #source: SceneSource | null = null;
  #scene: Scene = [];
  #boxed: readonly Boxed[] = [];
  #tags: readonly Plate[] = [];
  /** For what the names were laid out: a scale and a part of the picture; null: for nothing that holds any more. */
  #tagged: { readonly scale: number; readonly box: BoxXyxy } | null = null;
  #areTagsStale = false;
  #mask: LiveMask | null = null;
  #frame = 0;
  #rest = 0;
  #zoomedAt = Number.NEGATIVE_INFINITY;
  #sharpAt = Number.NEGATIVE_INFINITY;

  constructor(picture: HTMLCanvasElement, shapes: HTMLCanvasElement, mask: HTMLCanvasElement) {
    this.#pictureLayer = new Layer(picture, (context, _, view) => this.#paintPicture(context, view));
    this.#shapesLayer = new Layer(shapes, (context, region, view) => this.#paintShapes(context, region, view));
    this.#maskLayer = new Layer(mask, (context, _, view) => this.#paintMask(context, view));
  }

  /** CSS pixels of the canvas, and device pixels per CSS pixel. */
  resize(size: Size, ratio: number): void {
    if (size.width === this.#size.width && size.height === this.#size.height && ratio === this.#ratio) return;
    this.#size = size;
    this.#ratio = ratio;
    const device = { width: Math.round(size.width * ratio), height: Math.round(size.height * ratio) };
    this.#pictureLayer.resize(device, ratio);
    this.#shapesLayer.resize(device, ratio);
    this.#maskLayer.resize(device, ratio);
    this.#tagged = null;
    // At once: an empty canvas until the next frame would flicker.
    this.paint();
  }

  showPicture(picture: Picture | null): void {
    if (picture === this.#picture) return;
    this.#picture = picture;
    this.#pictureLayer.spoilAll();
    this.#request();
  }

  showScene(source: SceneSource): void {
    if (isSameSource(this.#source, source)) return;
    this.#source = source;
    const scene = makeScene(source);
    const changes = findChanges(this.#scene, scene);
    this.#scene = scene;
    if (changes?.length === 0) return;
    if (!changes) this.#shapesLayer.spoilAll();
    else for (const drawn of changes) this.#spoil(boundsOf(drawn.annotation));
    this.#boxed = scene.flatMap((drawn) => {
      const box = boundsOf(drawn.annotation);
      return box ? [{ drawn, box }] : [];
    });
    this.#areTagsStale = true;
    this.#request();
  }

  /** The mask that a brush paints now; of the same pixels, only what is dirty is looked at. */
  showMask(mask: PaintedMask | null, colours: ReadonlyMap<string, string>): void {
    if (!mask) {
      if (!this.#mask) return;
      this.#mask = null;
      this.#maskLayer.spoilAll();
    } else if (this.#mask?.shows(mask.pixels)) {
      if (!mask.dirty) return;
      this.#mask.copy(mask.dirty);
      this.#maskLayer.spoil(mask.dirty, 2 * this.#ratio);
    } else {
      this.#mask = new LiveMask(mask.pixels, colours.get(mask.category));
      this.#maskLayer.spoilAll();
    }
    this.#request();
  }

  showView(view: View): void {
    if (view === this.#view) return;
    if (this.#view && view.scale !== this.#view.scale) this.#zoomedAt = performance.now();
    this.#view = view;
    this.#request();
  }

  /** Paints now what the next frame would paint. */
  paint(): void {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    if (!this.#view || this.#size.width === 0) return;
    const view = toDevice(this.#view, this.#ratio);
    const now = performance.now();
    this.#pictureLayer.show(view, false);
    this.#maskLayer.toggle(this.#mask !== null);
    if (this.#mask) this.#maskLayer.show(view, false);
    const isZooming = now - this.#zoomedAt < REST && now - this.#sharpAt < LONGEST_SCALED;
    const isQuick = isZooming && this.#isCrowded(this.#view);
    if (!isQuick) this.#renewTags(this.#view);
    clearTimeout(this.#rest);
    if (this.#shapesLayer.show(view, isQuick)) this.#rest = window.setTimeout(() => this.#request(), REST);
    else this.#sharpAt = performance.now();
  }

  close(): void {
    cancelAnimationFrame(this.#frame);
    clearTimeout(this.#rest);
  }

  #request(): void {
    this.#frame ||= requestAnimationFrame(() => this.paint());
  }

  /** The part of the picture that the canvas shows, larger by so many canvases on each side. */
  #findSeen({ scale, left, top }: View, more: number): BoxXyxy {
    const { width, height } = this.#size;
    return [
      (-more * width - left) / scale,
      (-more * height - top) / scale,
      ((1 + more) * width - left) / scale,
      ((1 + more) * height - top) / scale,
    ];
  }

  #isCrowded(view: View): boolean {
    const seen = this.#findSeen(view, 0);
    let count = 0;
    for (const { box } of this.#boxed) if (boxesMeet(box, seen)) count += 1;
    return count > CROWDED;
  }

  /** Names are laid out for more than what is seen, so that moving the picture does not lay them out again and again. */
  #renewTags(view: View): void {
    const known = this.#tagged;
    const isSameScale = known?.scale === view.scale;
    if (isSameScale && !this.#areTagsStale && boxEncloses(known.box, this.#findSeen(view, 0))) return;
    const box = this.#findSeen(view, 1);
    const before = this.#tags;
    this.#tags = layOutPlates(
      this.#boxed.filter((shape) => boxesMeet(shape.box, box)),
      view.scale,
    );
    // Another scale paints everything again anyway.
    if (isSameScale) this.#spoilTags(before, this.#tags, view);
    this.#tagged = { scale: view.scale, box };
    this.#areTagsStale = false;
  }

  #spoilTags(before: readonly Plate[], after: readonly Plate[], { scale }: View): void {
    const key = ({ text, box }: Plate) => `${text} ${box.join()}`;
    const [old, young] = [new Set(before.map(key)), new Set(after.map(key))];
    const changed = [...before.filter((tag) => !young.has(key(tag))), ...after.filter((tag) => !old.has(key(tag)))];
    for (const { box } of changed) this.#spoil(box.map((value) => value / scale) as unknown as BoxXyxy);
  }

  /** With what is drawn around it. */
  #spoil(box: BoxXyxy | null): void {
    if (box) this.#shapesLayer.spoil(box, AROUND * this.#ratio + 1);
  }

  #paintPicture(context: CanvasRenderingContext2D, view: View): void {
    if (!this.#picture) return;
    context.setTransform(view.scale, 0, 0, view.scale, view.left, view.top);
    context.imageSmoothingEnabled = view.scale / this.#ratio <= SQUARES_FROM;
    this.#picture.draw(context, view.scale);
  }

  #paintMask(context: CanvasRenderingContext2D, view: View): void {
    if (!this.#mask) return;
    context.setTransform(view.scale, 0, 0, view.scale, view.left, view.top);
    context.imageSmoothingEnabled = view.scale / this.#ratio <= SQUARES_FROM;
    context.drawImage(this.#mask.canvas, 0, 0);
  }

  #paintShapes(context: CanvasRenderingContext2D, region: Region, view: View): void {
    const edge = AROUND * this.#ratio + 1;
    const [left, right] = [region.left - edge, region.right + edge].map((x) => (x - view.left) / view.scale) as [
      number,
      number,
    ];
    const [top, bottom] = [region.top - edge, region.bottom + edge].map((y) => (y - view.top) / view.scale) as [
      number,
      number,
    ];
    context.setTransform(view.scale, 0, 0, view.scale, view.left, view.top);
    const cssPixel = this.#ratio / view.scale;
    for (const { drawn, box } of this.#boxed) {
      if (box[0] > right || box[2] < left || box[1] > bottom || box[3] < top) continue;
      drawShape(context, drawn, cssPixel);
    }
    context.setTransform(this.#ratio, 0, 0, this.#ratio, view.left, view.top);
    for (const tag of this.#tags) {
      const [x, y] = [tag.box[0] * this.#ratio + view.left, tag.box[1] * this.#ratio + view.top];
      const [width, height] = [tag.box[2] - tag.box[0], tag.box[3] - tag.box[1]].map((side) => side * this.#ratio) as [
        number,
        number,
      ];
      if (x > region.right || x + width < region.left || y > region.bottom || y + height < region.top) continue;
      drawPlate(context, tag);
    }
  }
}

function toDevice({ scale, left, top }: View, ratio: number): View {
  return { scale: scale * ratio, left: left * ratio, top: top * ratio };
}
