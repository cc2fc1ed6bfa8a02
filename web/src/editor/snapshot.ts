/** What the editor tells those who draw it: one immutable value that changes identity whenever anything in it does. */

import type { Size } from "../geometry/points";
import type { View } from "../geometry/view";
import type { Category, LabelDocument } from "../labels/annotation";
import type { LabelIndex } from "../labels/hits";
import type { Preview, ToolName } from "./tool";

export type OpenPicture = {
  readonly position: number;
  readonly fileName: string;
  readonly blob: string;
  readonly size: Size;
};

/** How far the unsent edits are: what the page shows as "all saved", "saving", "offline: 3 edits wait". */
export type SendingState =
  | { readonly kind: "saved" }
  | { readonly kind: "saving"; readonly waiting: number }
  /** `since`: milliseconds since 1970; `reason`: in words. */
  | { readonly kind: "offline"; readonly waiting: number; readonly since: number; readonly reason: string }
  /** The server refused an edit for good: the edit is kept aside and the picture shows what the server has. */
  | { readonly kind: "refused"; readonly waiting: number; readonly position: number; readonly message: string };

export type EditorSnapshot = {
  /** Null before a picture was opened. */
  readonly picture: OpenPicture | null;
  readonly document: LabelDocument;
  /** Finds the document's labels by place; one object per picture, in step with `document`. */
  readonly index: LabelIndex;
  readonly selection: ReadonlySet<string>;
  /** Ids that are not drawn; all of them while `allHidden`. */
  readonly hidden: ReadonlySet<string>;
  readonly allHidden: boolean;
  readonly tool: ToolName;
  readonly isBusy: boolean;
  readonly cursor: string;
  readonly preview: Preview | null;
  readonly categories: readonly Category[];
  /** Name of the category that new annotations get; null: the dataset has none yet. */
  readonly category: string | null;
  readonly view: View;
  readonly brushRadius: number;
  /** The wand's, of 255 levels. */
  readonly tolerance: number;
  readonly canUndo: boolean;
  readonly canRedo: boolean;
  readonly canPaste: boolean;
  readonly sending: SendingState;
  /** A line for the user, such as what became of an edit that met another one; null: nothing to say. */
  readonly notice: string | null;
};
