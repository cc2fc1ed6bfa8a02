/**
 * One canvas that always shows what a paint function would paint, without painting more than it must. A picture that moves by whole
 * pixels is shifted, and only the strips that come into sight are painted; what changes is painted within its own rectangle; while a
 * crowded scene is zoomed, its last sharp picture is scaled until the hand rests. All three give the pixels of a whole painting,
 * but the scaled one.
 */
import type { BoxXyxy, Size } from "../geometry/points";
import type { View } from "../geometry/view";

/** A rectangle of whole device pixels of the canvas; right and bottom lie outside. */
export type Region = { readonly left: number; readonly top: number; readonly right: number; readonly bottom: number };

/** Paints what lies in the region, which is clipped to and empty. The view is in device pixels. */
export type Paint = (context: CanvasRenderingContext2D, region: Region, view: View) => void;

/** More rectangles than these are painted as the one around them. */
const MOST_REGIONS = 12;

export class Layer {
  readonly #canvas: HTMLCanvasElement;
  readonly #context: CanvasRenderingContext2D;
  readonly #paint: Paint;
  /** The view whose pixels the canvas has, but for what is to be painted again; null: nothing is painted. */
  #view: View | null = null;
  /** What is to be painted again: in pixels of the picture, as changes are known, and of the canvas, as strips are. */
  #changed: { readonly box: BoxXyxy; readonly edge: number }[] = [];
  #bare: Region[] = [];
  /** A sharp picture to scale from, while the canvas has a scaled one. */
  #sharp: { readonly pixels: HTMLCanvasElement; readonly view: View } | null = null;

  constructor(canvas: HTMLCanvasElement, paint: Paint, opaque = false) {
    const context = canvas.getContext("2d", { alpha: !opaque });
    if (!context) throw new Error("expected a browser with a 2D canvas; use a current Firefox, Chrome, Edge or Safari");
    this.#canvas = canvas;
    this.#context = context;
    this.#paint = paint;
  }

  /** Device pixels; a canvas that changes its size loses its pixels. */
  resize({ width, height }: Size, ratio: number): void {
    this.#canvas.style.width = `${width / ratio}px`;
    this.#canvas.style.height = `${height / ratio}px`;
    if (this.#canvas.width === width && this.#canvas.height === height) return;
    this.#canvas.width = width;
    this.#canvas.height = height;
    this.spoilAll();
  }

  /** A canvas that is not shown costs nothing when the browser puts the page together. */
  toggle(isShown: boolean): void {
    if (this.#canvas.hidden === isShown) this.#canvas.hidden = !isShown;
  }

  /** What lies in this box of the picture changed; `edge` device pixels around it are painted again too. */
  spoil(box: BoxXyxy, edge: number): void {
    this.#changed.push({ box, edge });
  }

  spoilAll(): void {
    this.#view = null;
    this.#sharp = null;
    this.#changed = [];
  }

  /** Makes the canvas show the view; `quick` allows a scaled picture, and the answer says whether it is one. */
  show(view: View, quick: boolean): boolean {
    const shift = this.#view && !this.#sharp ? findShift(this.#view, view) : null;
    if (shift) {
      this.#shift(shift.x, shift.y);
      this.#view = view;
      this.#repair(view);
      return false;
    }
    if (quick && this.#view) {
      this.#scale(this.#view, view);
      return true;
    }
    this.#view = view;
    this.#sharp = null;
    this.#bare = [this.#all()];
    this.#repair(view);
    return false;
  }

  #shift(x: number, y: number): void {
    if (x === 0 && y === 0) return;
    const { width, height } = this.#canvas;
    if (Math.abs(x) >= width || Math.abs(y) >= height) {
      this.#bare = [this.#all()];
      return;
    }
    const context = this.#context;
    context.resetTransform();
    context.globalCompositeOperation = "copy";
    context.drawImage(this.#canvas, x, y);
    context.globalCompositeOperation = "source-over";
    if (y > 0) this.#bare.push({ left: 0, top: 0, right: width, bottom: y });
    if (y < 0) this.#bare.push({ left: 0, top: height + y, right: width, bottom: height });
    if (x > 0) this.#bare.push({ left: 0, top: 0, right: x, bottom: height });
    if (x < 0) this.#bare.push({ left: width + x, top: 0, right: width, bottom: height });
  }

  #repair(view: View): void {
    const changed = this.#changed.map(({ box, edge }) => toRegion(box, edge, view));
    const regions = joinRegions(
      [...this.#bare, ...changed].map((region) => intersect(region, this.#all())).filter(hasArea),
    );
    this.#bare = [];
    this.#changed = [];
    const context = this.#context;
    for (const region of regions) {
      context.save();
      context.resetTransform();
      context.beginPath();
      context.rect(region.left, region.top, region.right - region.left, region.bottom - region.top);
      context.clip();
      context.clearRect(region.left, region.top, region.right - region.left, region.bottom - region.top);
      this.#paint(context, region, view);
      context.restore();
    }
  }

  #scale(from: View, to: View): void {
    if (!this.#sharp) {
      this.#repair(from);
      this.#sharp = { pixels: copyCanvas(this.#canvas), view: from };
    }
    const { pixels, view } = this.#sharp;
    const ratio = to.scale / view.scale;
    const context = this.#context;
    context.setTransform(ratio, 0, 0, ratio, to.left - view.left * ratio, to.top - view.top * ratio);
    // Smoothed it would cost what painting some hundred shapes does, for a picture that is seen for a tenth of a second.
    context.imageSmoothingEnabled = false;
    context.globalCompositeOperation = "copy";
    context.drawImage(pixels, 0, 0);
    context.globalCompositeOperation = "source-over";
    this.#view = to;
  }

  #all(): Region {
    return { left: 0, top: 0, right: this.#canvas.width, bottom: this.#canvas.height };
  }
}

/** By how many whole pixels `to` is moved against `from`; null where it is scaled, or moved by a part of a pixel. */
export function findShift(from: View, to: View): { readonly x: number; readonly y: number } | null {
  if (from.scale !== to.scale) return null;
  const x = Math.round(to.left - from.left);
  const y = Math.round(to.top - from.top);
  const isWhole = Math.abs(to.left - from.left - x) < 0.01 && Math.abs(to.top - from.top - y) < 0.01;
  return isWhole ? { x, y } : null;
}

/** The regions, or the one around them where that covers hardly more or they are many; a pixel is then painted once. */
export function joinRegions(regions: readonly Region[]): readonly Region[] {
  if (regions.length < 2) return regions;
  const around = regions.reduce((all, region) => ({
    left: Math.min(all.left, region.left),
    top: Math.min(all.top, region.top),
    right: Math.max(all.right, region.right),
    bottom: Math.max(all.bottom, region.bottom),
  }));
  const covered = regions.reduce((sum, region) => sum + area(region), 0);
  return regions.length > MOST_REGIONS || covered >= 0.8 * area(around) ? [around] : regions;
}

function copyCanvas(canvas: HTMLCanvasElement): HTMLCanvasElement {
  const copy = document.createElement("canvas");
  copy.width = canvas.width;
  copy.height = canvas.height;
  copy.getContext("2d")?.drawImage(canvas, 0, 0);
  return copy;
}

function toRegion([left, top, right, bottom]: BoxXyxy, edge: number, view: View): Region {
  return {
    left: Math.floor(left * view.scale + view.left - edge),
    top: Math.floor(top * view.scale + view.top - edge),
    right: Math.ceil(right * view.scale + view.left + edge),
    bottom: Math.ceil(bottom * view.scale + view.top + edge),
  };
}

function intersect(a: Region, b: Region): Region {
  return {
    left: Math.max(a.left, b.left),
    top: Math.max(a.top, b.top),
    right: Math.min(a.right, b.right),
    bottom: Math.min(a.bottom, b.bottom),
  };
}

function area({ left, top, right, bottom }: Region): number {
  return (right - left) * (bottom - top);
}

function hasArea({ left, top, right, bottom }: Region): boolean {
  return right > left && bottom > top;
}
