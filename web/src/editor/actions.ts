/** What each action does, whether a key or a button asks for it. */
import { clamp } from "../geometry/boxes";
import type { Camera } from "./camera";
import type { EditorCore } from "./core";
import type { ActionName } from "./keys";
import type { Labelling } from "./labelling";

const FAR_PX = 10;
const BRUSH_STEP = 1.25;
const BRUSH_LIMITS = [0.5, 1000] as const;
const TOLERANCE_STEP = 2;
export const MOST_TOLERANCE = 128;

const STEPWISE: ReadonlySet<string> = new Set(["polygon", "smart", "wand"]);

/** Does an action; false: it is not the editor's, or there is nothing to do it to. */
export type Perform = (action: ActionName) => boolean;

type Doings = Partial<Record<ActionName, () => boolean | undefined>>;

export function makeActions(core: EditorCore, labelling: Labelling, camera: Camera): Perform {
  const doings = { ...tools(core), ...moves(core, labelling), ...rest(core, labelling, camera) };
  const category = (index: number) => {
    const chosen = core.snapshot.categories[index];
    if (chosen) labelling.setCategory(chosen.name);
    return chosen !== undefined;
  };
  return (action) => {
    const number = /^category([1-9])$/.exec(action)?.[1];
    if (number) return category(Number(number) - 1);
    const doing = doings[action];
    return doing !== undefined && (doing() ?? true);
  };
}

export function setBrushRadius(core: EditorCore, radius: number): void {
  const [least, most] = BRUSH_LIMITS;
  core.change({ brushRadius: Math.min(most, Math.max(least, radius)) });
  core.refreshHover();
}

/** The wand's, of 255 levels: how different a colour may be that it takes. */
export function setTolerance(core: EditorCore, tolerance: number): void {
  core.change({ tolerance: clamp(Math.round(tolerance), 0, MOST_TOLERANCE) });
  core.step({ kind: "tune" });
}

/** The dial of the tool in hand, a notch up or down. */
function turn(core: EditorCore, by: 1 | -1): void {
  const { tool, tolerance, brushRadius } = core.snapshot;
  if (tool === "wand") setTolerance(core, tolerance + by * TOLERANCE_STEP);
  else setBrushRadius(core, brushRadius * BRUSH_STEP ** by);
}

function tools(core: EditorCore): Doings {
  const take = (name: Parameters<EditorCore["takeTool"]>[0]) => () => void core.takeTool(name);
  return {
    selectTool: take("select"),
    boxTool: take("box"),
    polygonTool: take("polygon"),
    smartTool: take("smart"),
    wandTool: take("wand"),
    brushTool: take("brush"),
    eraserTool: take("eraser"),
    repeatTool: () => void core.takeTool(core.toolbox.lastDrawing),
    smallerBrush: () => void turn(core, -1),
    largerBrush: () => void turn(core, 1),
  };
}

/** Arrows move what is selected; where nothing is, or while drawing, they are the page's. */
function moves(core: EditorCore, { nudge }: Labelling): Doings {
  const move = (byX: number, byY: number) => () => {
    const { tool, selection } = core.snapshot;
    if (tool !== "select" || selection.size === 0) return false;
    nudge(byX, byY);
    return true;
  };
  return {
    left: move(-1, 0),
    right: move(1, 0),
    up: move(0, -1),
    down: move(0, 1),
    farLeft: move(-FAR_PX, 0),
    farRight: move(FAR_PX, 0),
    farUp: move(0, -FAR_PX),
    farDown: move(0, FAR_PX),
  };
}

function rest(core: EditorCore, labelling: Labelling, camera: Camera): Doings {
  return {
    finish: () => {
      if (core.toolbox.isBusy) core.step({ kind: "key", key: "finish" });
      else labelling.acceptSelection();
      return true;
    },
    finishAsPolygon: () => {
      if (!core.toolbox.isBusy) return false;
      core.step({ kind: "key", key: "finishAsPolygon" });
      return true;
    },
    cancel: () => {
      if (core.toolbox.isBusy) core.step({ kind: "cancel" });
      else labelling.select([]);
      return true;
    },
    delete: () => {
      // The select tool knows whether a vertex is meant, the polygon tool which point.
      if (core.toolbox.isBusy || core.toolbox.name === "select") core.step({ kind: "key", key: "delete" });
      else labelling.deleteSelection();
      return true;
    },
    undo: () => {
      // Half a polygon or mask is not in the undo list yet: its points or strokes are taken back one by one.
      if (core.toolbox.isBusy && STEPWISE.has(core.toolbox.name)) core.step({ kind: "key", key: "delete" });
      else if (core.toolbox.isBusy) core.endGesture();
      else core.undo();
      return true;
    },
    redo: () => void core.redo(),
    selectAll: () => void labelling.selectAll(),
    nextLabel: () => void labelling.selectNeighbour(1),
    previousLabel: () => void labelling.selectNeighbour(-1),
    copy: () => void labelling.copy(),
    paste: () => void labelling.paste(),
    toggleAllHidden: () => void labelling.toggleAllHidden(),
    fit: () => void camera.fit(),
    zoomIn: () => void camera.zoomIn(),
    zoomOut: () => void camera.zoomOut(),
  };
}
