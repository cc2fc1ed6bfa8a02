/** The editor of a dataset's pictures: document, selection, tool, undo, view and the queue of unsent edits, joined. */
import type { ScreenPoint, Size } from "../geometry/points";
import type { View } from "../geometry/view";
import type { Annotation, Category, LabelledItem } from "../labels/annotation";
import type { ActionName, KeyBindings, KeyLike } from "./keys";
import type { EditorPorts } from "./ports";
import type { EditorSnapshot } from "./snapshot";
import type { ToolEvent, ToolName } from "./tool";

export type Editor = {
  /** For useSyncExternalStore; both may be passed around without `this`. */
  readonly subscribe: (listener: () => void) => () => void;
  readonly getSnapshot: () => EditorSnapshot;

  /** Shows a picture: the server's answer, and on top of it what was not sent yet. */
  readonly open: (item: LabelledItem) => void;
  readonly setCategories: (categories: readonly Category[]) => void;

  /** A step of the pointer, from the stage. */
  readonly dispatch: (event: ToolEvent) => void;
  /** Does what a key is bound to. Null: the key is not bound; an action that the editor does not do itself is the page's. */
  readonly press: (key: KeyLike) => { readonly action: ActionName; readonly done: boolean } | null;
  /** Does an action by name, as `press` and buttons do; false: it is the page's (next picture, help, proposals ...). */
  readonly perform: (action: ActionName) => boolean;
  readonly getBindings: () => KeyBindings;
  readonly setBindings: (bindings: KeyBindings) => void;

  readonly undo: () => void;
  readonly redo: () => void;
  readonly selectTool: (tool: ToolName) => void;
  /** The category of new annotations; the selected labels get it, too. */
  readonly setCategory: (name: string) => void;
  readonly setBrushRadius: (radius: number) => void;

  readonly select: (ids: Iterable<string>) => void;
  readonly selectAll: () => void;
  readonly deleteSelection: () => void;
  /** Makes the selected proposals a person's annotations; without a selection, all of them. */
  readonly acceptSelection: () => void;
  /** Gives a label another category. */
  readonly recategorise: (ids: Iterable<string>, name: string) => void;
  readonly copy: () => void;
  readonly paste: () => void;
  /** Moves the selection, pixels of the picture. */
  readonly nudge: (byX: number, byY: number) => void;
  /** Labels of the whole picture: chosen ones toggle; where `exclusive`, another one takes their place. */
  readonly setImageCategory: (name: string, exclusive: boolean) => void;
  /** A model's proposals, with new ids, in place of earlier proposals that nobody accepted. */
  readonly putProposals: (annotations: readonly Annotation[]) => void;
  /** Copies of these annotations (of the previous picture), clipped to this one, as a person's. */
  readonly putCopies: (annotations: readonly Annotation[]) => void;
  /** A person looked at the whole picture. */
  readonly markDone: () => void;

  readonly toggleHidden: (ids: Iterable<string>) => void;
  readonly toggleAllHidden: () => void;

  readonly setCanvas: (size: Size) => void;
  readonly setView: (view: View) => void;
  readonly fit: () => void;
  readonly zoom: (at: ScreenPoint, factor: number) => void;
  readonly pan: (byX: number, byY: number) => void;
  /** Brings labels into the middle of the canvas, enlarged if they are small. */
  readonly showLabels: (ids: Iterable<string>) => void;

  readonly dismissNotice: () => void;
  /** Sends what waits now, for example when the browser says that it is online again. */
  readonly retryNow: () => void;
  /** Whether closing the page now leaves edits that only this computer has. */
  readonly hasUnsent: () => boolean;
  /** Ends timers and gives the unsent edits free for another tab. */
  readonly close: () => void;
};

/** The pages call `createEditor(ports)` of this type once per dataset and `open` once per picture. */
export type CreateEditor = (ports: EditorPorts) => Editor;
