/** Moves the view: the whole picture, zoom at a point, pan, and to where labels are. */
import { boxHeight, boxWidth, joinBoxes } from "../geometry/boxes";
import { type BoxXyxy, type ScreenPoint, type Size, screenPoint } from "../geometry/points";
import { fitView, panView, type View, zoomView } from "../geometry/view";
import { boundsOf } from "../labels/shapes";
import { labelsOf } from "./commands";
import type { EditorCore } from "./core";

/** Labels that are brought into view fill no more of the canvas than this, and are not enlarged beyond. */
const FILLED = 0.4;
const CLOSEST_SCALE = 4;
const ZOOM_STEP = 1.25;

export type Camera = {
  /** CSS pixels. As long as nobody moved the view, it goes on showing the whole picture. */
  readonly setCanvas: (size: Size) => void;
  readonly setView: (view: View) => void;
  readonly fit: () => void;
  readonly zoom: (at: ScreenPoint, factor: number) => void;
  readonly zoomIn: () => void;
  readonly zoomOut: () => void;
  readonly pan: (byX: number, byY: number) => void;
  /** Brings labels into the middle of the canvas, nearer if they are small. */
  readonly showLabels: (ids: Iterable<string>) => void;
};

export function makeCamera(core: EditorCore): Camera {
  const setView = (view: View) => {
    core.isFitted = false;
    core.change({ view });
    core.refreshHover();
  };
  const fitPicture = () => {
    const { picture } = core.snapshot;
    if (!picture || core.canvas.width <= 0 || core.canvas.height <= 0) return;
    setView(fitView(picture.size, core.canvas));
    core.isFitted = true;
  };
  const zoom = (at: ScreenPoint, factor: number) => setView(zoomView(core.snapshot.view, at, factor));
  const zoomMiddle = (factor: number) => zoom(screenPoint(core.canvas.width / 2, core.canvas.height / 2), factor);
  return {
    setView,
    fit: fitPicture,
    zoom,
    zoomIn: () => zoomMiddle(ZOOM_STEP),
    zoomOut: () => zoomMiddle(1 / ZOOM_STEP),
    pan: (byX, byY) => setView(panView(core.snapshot.view, byX, byY)),
    setCanvas: (size) => {
      core.canvas = size;
      if (core.isFitted) fitPicture();
    },
    showLabels: (ids) => {
      const labels = labelsOf(core.snapshot.document, ids);
      const bounds = labels.reduce<BoxXyxy | null>((sum, { annotation }) => joinBoxes(sum, boundsOf(annotation)), null);
      if (bounds) setView(viewOn(bounds, core.canvas, core.snapshot.view));
    },
  };
}

/** The view with a rectangle in the middle; as near as now, unless the rectangle is then too large or too small to work with. */
function viewOn(bounds: BoxXyxy, canvas: Size, view: View): View {
  const fitting =
    FILLED * Math.min(canvas.width / Math.max(1, boxWidth(bounds)), canvas.height / Math.max(1, boxHeight(bounds)));
  const nearest = Math.max(view.scale, Math.min(fitting, CLOSEST_SCALE));
  const scale = Math.min(nearest, fitting / FILLED);
  return {
    scale,
    left: canvas.width / 2 - ((bounds[0] + bounds[2]) / 2) * scale,
    top: canvas.height / 2 - ((bounds[1] + bounds[3]) / 2) * scale,
  };
}
