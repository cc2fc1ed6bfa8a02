/** Keys: a table of actions with their default keys, read from keyboard events in a way that survives other layouts, re-bindable. */

/** The part of a KeyboardEvent that is read. */
export type KeyLike = {
  readonly key: string;
  readonly code: string;
  readonly ctrlKey: boolean;
  readonly metaKey: boolean;
  readonly shiftKey: boolean;
  readonly altKey: boolean;
};

export type KeyGroup = "Tools" | "Drawing" | "Selection" | "Categories" | "Pictures" | "View" | "Editing";

type Action = { readonly label: string; readonly group: KeyGroup; readonly keys: readonly string[] };

/** Chords are written "Ctrl+Shift+Z": modifiers in this order, then a letter, a digit, a sign or a key's name. Ctrl is also Mac's Command. */
export const ACTIONS = {
  selectTool: { label: "Select", group: "Tools", keys: ["V"] },
  boxTool: { label: "Box", group: "Tools", keys: ["B"] },
  polygonTool: { label: "Polygon", group: "Tools", keys: ["P"] },
  brushTool: { label: "Brush", group: "Tools", keys: ["M"] },
  eraserTool: { label: "Eraser", group: "Tools", keys: ["E"] },
  repeatTool: { label: "Last drawing tool again", group: "Tools", keys: ["N"] },
  smallerBrush: { label: "Smaller brush", group: "Drawing", keys: ["["] },
  largerBrush: { label: "Larger brush", group: "Drawing", keys: ["]"] },
  finish: { label: "Close the polygon, accept the selected proposals", group: "Drawing", keys: ["Enter"] },
  cancel: { label: "Cancel, select nothing", group: "Drawing", keys: ["Escape"] },
  delete: { label: "Delete; while drawing, drop the last point", group: "Drawing", keys: ["Delete", "Backspace"] },
  selectAll: { label: "Select all", group: "Selection", keys: ["Ctrl+A"] },
  copy: { label: "Copy", group: "Selection", keys: ["Ctrl+C"] },
  paste: { label: "Paste, also into another picture", group: "Selection", keys: ["Ctrl+V"] },
  left: { label: "Move left; nothing selected: previous picture", group: "Selection", keys: ["ArrowLeft"] },
  right: { label: "Move right; nothing selected: next picture", group: "Selection", keys: ["ArrowRight"] },
  up: { label: "Move up", group: "Selection", keys: ["ArrowUp"] },
  down: { label: "Move down", group: "Selection", keys: ["ArrowDown"] },
  farLeft: { label: "Move left by 10 pixels", group: "Selection", keys: ["Shift+ArrowLeft"] },
  farRight: { label: "Move right by 10 pixels", group: "Selection", keys: ["Shift+ArrowRight"] },
  farUp: { label: "Move up by 10 pixels", group: "Selection", keys: ["Shift+ArrowUp"] },
  farDown: { label: "Move down by 10 pixels", group: "Selection", keys: ["Shift+ArrowDown"] },
  category1: { label: "Category 1", group: "Categories", keys: ["1"] },
  category2: { label: "Category 2", group: "Categories", keys: ["2"] },
  category3: { label: "Category 3", group: "Categories", keys: ["3"] },
  category4: { label: "Category 4", group: "Categories", keys: ["4"] },
  category5: { label: "Category 5", group: "Categories", keys: ["5"] },
  category6: { label: "Category 6", group: "Categories", keys: ["6"] },
  category7: { label: "Category 7", group: "Categories", keys: ["7"] },
  category8: { label: "Category 8", group: "Categories", keys: ["8"] },
  category9: { label: "Category 9", group: "Categories", keys: ["9"] },
  previousPicture: { label: "Previous picture", group: "Pictures", keys: ["D"] },
  nextPicture: { label: "Next picture", group: "Pictures", keys: ["F"] },
  markDone: { label: "Done, next picture", group: "Pictures", keys: ["S"] },
  copyPrevious: { label: "Copy the labels of the previous picture", group: "Pictures", keys: ["R"] },
  askProposals: { label: "Ask the model for proposals", group: "Pictures", keys: ["A"] },
  toggleAllHidden: { label: "Hide or show all labels", group: "View", keys: ["H"] },
  fit: { label: "Whole picture", group: "View", keys: ["0", "Home"] },
  zoomIn: { label: "Zoom in", group: "View", keys: ["+", "="] },
  zoomOut: { label: "Zoom out", group: "View", keys: ["-"] },
  undo: { label: "Undo, in this picture", group: "Editing", keys: ["Ctrl+Z"] },
  redo: { label: "Redo, in this picture", group: "Editing", keys: ["Ctrl+Y", "Ctrl+Shift+Z"] },
  showKeys: { label: "Show the keys", group: "Editing", keys: ["?"] },
} as const satisfies Record<string, Action>;

export type ActionName = keyof typeof ACTIONS;
export type KeyBindings = Readonly<Record<ActionName, readonly string[]>>;
