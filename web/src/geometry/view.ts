/** What part of the picture the canvas shows: a scale and where the picture's corner lies on the screen. */
import { type ImagePoint, imagePoint, type ScreenPoint, type Size, screenPoint } from "./points";

export type View = {
  /** CSS pixels per pixel of the picture. */
  readonly scale: number;
  /** Where the picture's top left corner lies, CSS pixels. */
  readonly left: number;
  readonly top: number;
};

export const MIN_SCALE = 0.01;
export const MAX_SCALE = 64;

export function toScreen(view: View, point: ImagePoint): ScreenPoint {
  return screenPoint(point.x * view.scale + view.left, point.y * view.scale + view.top);
}

export function toImage(view: View, point: ScreenPoint): ImagePoint {
  return imagePoint((point.x - view.left) / view.scale, (point.y - view.top) / view.scale);
}

/** The whole picture in the middle of the canvas, never enlarged above `maxScale`. */
export function fitView(picture: Size, canvas: Size, margin = 16, maxScale = 8): View {
  const across = (canvas.width - 2 * margin) / picture.width;
  const down = (canvas.height - 2 * margin) / picture.height;
  const scale = clampScale(Math.min(across, down, maxScale));
  return {
    scale,
    left: (canvas.width - picture.width * scale) / 2,
    top: (canvas.height - picture.height * scale) / 2,
  };
}

/** Zoom by a factor so that the point of the picture under `at` stays there. */
export function zoomView(view: View, at: ScreenPoint, factor: number): View {
  const scale = clampScale(view.scale * factor);
  const ratio = scale / view.scale;
  return { scale, left: at.x - (at.x - view.left) * ratio, top: at.y - (at.y - view.top) * ratio };
}

export function panView(view: View, byX: number, byY: number): View {
  return { ...view, left: view.left + byX, top: view.top + byY };
}

function clampScale(scale: number): number {
  return Math.min(MAX_SCALE, Math.max(MIN_SCALE, scale));
}
