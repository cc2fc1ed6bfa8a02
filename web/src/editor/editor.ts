/** The editor of a dataset's pictures, for pages and canvas: one object that tells what is, and takes what shall be. */
import type { BoxXyxy } from "../geometry/points";
import type { LabelledItem } from "../labels/annotation";
import { makeActions, type Perform, setBrushRadius, setTolerance } from "./actions";
import { type Camera, makeCamera } from "./camera";
import { EditorCore } from "./core";
import { type ActionName, DEFAULT_BINDINGS, findAction, type KeyBindings, type KeyLike } from "./keys";
import { type Labelling, makeLabelling } from "./labelling";
import type { EditorPorts } from "./ports";
import type { EditorSnapshot } from "./snapshot";
import type { ReadPixels, ToolEvent, ToolName } from "./tool";

export type Editor = Labelling &
  Omit<Camera, "zoomIn" | "zoomOut"> & {
    /** For useSyncExternalStore. */
    readonly subscribe: (listener: () => void) => () => void;
    readonly getSnapshot: () => EditorSnapshot;

    /** Shows a picture: the server's answer, and on top of it what was not sent yet. The same picture again: what the server says now. */
    readonly open: (item: LabelledItem) => void;

    /** A step of the pointer, from the stage. */
    readonly dispatch: (event: ToolEvent) => void;
    /** Does what a key is bound to; null: it is bound to nothing. Not `done`: the action is the page's (next picture, help, proposals). */
    readonly press: (key: KeyLike) => { readonly action: ActionName; readonly done: boolean } | null;
    readonly perform: Perform;
    readonly getBindings: () => KeyBindings;
    readonly setBindings: (bindings: KeyBindings) => void;

    /** Labels are looked at and not changed, by whatever means: only the select tool is there, and no step changes anything. */
    readonly setReadOnly: (isReadOnly: boolean) => void;
    readonly undo: () => void;
    readonly redo: () => void;
    readonly selectTool: (tool: ToolName) => void;
    /** Pixels of the picture. */
    readonly setBrushRadius: (radius: number) => void;
    /** The wand's, of 255 levels. */
    readonly setTolerance: (tolerance: number) => void;
    /** Where the pixels of the open picture are read. */
    readonly setPixels: (read: ReadPixels) => void;

    /** The part of the picture that the canvas shows. */
    readonly getSeen: () => BoxXyxy;

    readonly dismissNotice: () => void;
    /** The user read why the server refused an edit. */
    readonly dismissRefused: () => void;
    /** Sends the edit that was refused once more. */
    readonly retryRefused: () => void;
    /** Sends what waits now, for example when the browser says that it is online again. */
    readonly retryNow: () => void;
    /** Whether closing the page now leaves edits that only this browser has. */
    readonly hasUnsent: () => boolean;
    /** For when no page shows the editor any more. What waits is still sent, by this page while it lives or by the next one. */
    readonly close: () => void;
  };

export function createEditor(ports: EditorPorts): Editor {
  const core = new EditorCore(ports);
  const labelling = makeLabelling(core);
  const { zoomIn, zoomOut, ...camera } = makeCamera(core);
  const perform = makeActions(core, labelling, { ...camera, zoomIn, zoomOut });
  let bindings = DEFAULT_BINDINGS;
  return {
    ...labelling,
    ...camera,
    perform,
    subscribe: (listener) => core.subscribe(listener),
    getSnapshot: () => core.snapshot,
    open: (item) => core.open(item),
    dispatch: (event) => core.step(event),
    press: (key) => {
      const action = findAction(bindings, key);
      return action && { action, done: perform(action) };
    },
    getBindings: () => bindings,
    setBindings: (changed) => {
      bindings = changed;
    },
    setReadOnly: (isReadOnly) => {
      core.isReadOnly = isReadOnly;
      if (isReadOnly) core.takeTool("select");
    },
    undo: () => core.undo(),
    redo: () => core.redo(),
    selectTool: (tool) => core.takeTool(tool),
    setBrushRadius: (radius) => setBrushRadius(core, radius),
    setTolerance: (tolerance) => setTolerance(core, tolerance),
    setPixels: (read) => {
      core.readPixels = read;
    },
    getSeen: () => core.seen,
    dismissNotice: () => core.change({ notice: null }),
    dismissRefused: () => core.sender.dismissRefused(),
    retryRefused: () => core.sender.retryRefused(),
    retryNow: () => core.sender.retryNow(),
    hasUnsent: () => core.sender.countWaiting() > 0,
    close: () => core.sender.close(),
  };
}
