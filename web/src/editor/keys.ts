/** What the keys do: a table of actions with their default chords, which users may change as long as no chord means two things. */

import { chordsOf, type KeyLike, parseChord } from "./chords";

export type { KeyLike } from "./chords";

export type KeyGroup = "Tools" | "Drawing" | "Selection" | "Categories" | "Pictures" | "Videos" | "View" | "Editing";

type Action = { readonly label: string; readonly group: KeyGroup; readonly keys: readonly string[] };

/** In the order in which the panel of keys shows them. Ctrl is also a Mac's Command. */
export const ACTIONS = {
  selectTool: { label: "Select", group: "Tools", keys: ["V"] },
  boxTool: { label: "Box", group: "Tools", keys: ["B"] },
  polygonTool: { label: "Polygon", group: "Tools", keys: ["P"] },
  smartTool: { label: "Smart mask", group: "Tools", keys: ["G"] },
  wandTool: { label: "Wand", group: "Tools", keys: ["W"] },
  brushTool: { label: "Brush", group: "Tools", keys: ["M"] },
  eraserTool: { label: "Eraser", group: "Tools", keys: ["E"] },
  repeatTool: { label: "Last drawing tool again", group: "Tools", keys: ["N"] },
  smallerBrush: { label: "Smaller brush; wand: take less", group: "Drawing", keys: ["["] },
  largerBrush: { label: "Larger brush; wand: take more", group: "Drawing", keys: ["]"] },
  finish: {
    label: "Close the polygon, keep the mask, accept the selected proposals",
    group: "Drawing",
    keys: ["Enter"],
  },
  finishAsPolygon: { label: "Keep the outline of the mask as a polygon", group: "Drawing", keys: ["Shift+Enter"] },
  cancel: { label: "Cancel, select nothing", group: "Drawing", keys: ["Escape"] },
  delete: {
    label: "Delete what is selected, or the point clicked; while drawing, the last point or stroke",
    group: "Drawing",
    keys: ["Delete", "Backspace"],
  },
  selectAll: { label: "Select all", group: "Selection", keys: ["Ctrl+A"] },
  nextLabel: { label: "Next label of the list", group: "Selection", keys: ["."] },
  previousLabel: { label: "Previous label of the list", group: "Selection", keys: [","] },
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
  findCategory: { label: "Find or add a category", group: "Categories", keys: ["/"] },
  previousPicture: { label: "Previous picture", group: "Pictures", keys: ["D"] },
  nextPicture: { label: "Next picture", group: "Pictures", keys: ["F"] },
  markDone: { label: "Done, next picture", group: "Pictures", keys: ["S"] },
  copyPrevious: { label: "Copy the labels of the previous picture", group: "Pictures", keys: ["R"] },
  askProposals: { label: "Ask the model for proposals", group: "Pictures", keys: ["A"] },
  carryOn: { label: "Carry the selected labels on to the next frame", group: "Videos", keys: ["T"] },
  carryFar: { label: "Carry them on by ten frames", group: "Videos", keys: ["Shift+T"] },
  fillTrack: { label: "Propose them in the frames between", group: "Videos", keys: ["K"] },
  toggleAllHidden: { label: "Hide or show all labels", group: "View", keys: ["H"] },
  fit: { label: "Whole picture", group: "View", keys: ["0", "Home"] },
  zoomIn: { label: "Zoom in", group: "View", keys: ["+", "="] },
  zoomOut: { label: "Zoom out", group: "View", keys: ["-"] },
  showTone: { label: "Brightness, contrast and gamma of what is shown", group: "View", keys: ["L"] },
  stretchTone: { label: "Stretch what is seen to the whole range, or back", group: "View", keys: ["J"] },
  invertTone: { label: "Invert what is shown", group: "View", keys: ["I"] },
  undo: { label: "Undo, in this picture", group: "Editing", keys: ["Ctrl+Z"] },
  redo: { label: "Redo, in this picture", group: "Editing", keys: ["Ctrl+Y", "Ctrl+Shift+Z"] },
  showKeys: { label: "Show the keys", group: "Editing", keys: ["?"] },
} as const satisfies Record<string, Action>;

export type ActionName = keyof typeof ACTIONS;
export type KeyBindings = Readonly<Record<ActionName, readonly string[]>>;

const ACTION_NAMES = Object.keys(ACTIONS) as ActionName[];

export const DEFAULT_BINDINGS: KeyBindings = Object.fromEntries(
  ACTION_NAMES.map((action) => [action, ACTIONS[action].keys]),
) as unknown as KeyBindings;

/** Held, Space pans: it cannot mean anything else. */
const RESERVED: ReadonlySet<string> = new Set(["Space"]);

/** What a pressed key means; null where it is not bound. */
export function findAction(bindings: KeyBindings, event: KeyLike): ActionName | null {
  for (const chord of chordsOf(event)) {
    const action = findOwner(bindings, chord);
    if (action) return action;
  }
  return null;
}

/** The action that a chord is bound to. */
export function findOwner(bindings: KeyBindings, chord: string): ActionName | null {
  return ACTION_NAMES.find((action) => bindings[action].includes(chord)) ?? null;
}

export type Rebinding =
  | { readonly kind: "bound"; readonly bindings: KeyBindings }
  /** The chord already means another action; nothing was changed. */
  | { readonly kind: "conflict"; readonly chord: string; readonly owner: ActionName }
  | { readonly kind: "impossible"; readonly chord: string };

/** Binds an action to these chords instead of its present ones; none: it has no key. */
export function rebind(bindings: KeyBindings, action: ActionName, chords: readonly string[]): Rebinding {
  const parsed: string[] = [];
  for (const text of chords) {
    const chord = parseChord(text);
    if (chord === null || RESERVED.has(chord)) return { kind: "impossible", chord: text };
    const owner = findOwner(bindings, chord);
    if (owner && owner !== action) return { kind: "conflict", chord, owner };
    parsed.push(chord);
  }
  return { kind: "bound", bindings: { ...bindings, [action]: [...new Set(parsed)] } };
}

/** The bindings that differ from the default, as JSON: what is not in it follows later defaults. */
export function writeBindings(bindings: KeyBindings): string {
  const changed = ACTION_NAMES.filter((action) => !sameChords(bindings[action], ACTIONS[action].keys));
  return JSON.stringify(Object.fromEntries(changed.map((action) => [action, bindings[action]])));
}

/** Bindings from such JSON. What it does not know or what is no chord is left out; a user's chord wins over another action's default. */
export function readBindings(text: string | null): KeyBindings {
  const stored = parseStored(text);
  const own = new Map<ActionName, string[]>();
  const taken = new Set<string>();
  for (const action of ACTION_NAMES) {
    const chords = stored[action];
    if (!Array.isArray(chords)) continue;
    const parsed = chords.map((chord) => parseChord(String(chord))).filter((chord) => chord !== null);
    const free = parsed.filter((chord) => !taken.has(chord) && !RESERVED.has(chord));
    for (const chord of free) taken.add(chord);
    own.set(action, free);
  }
  const entries = ACTION_NAMES.map((action) => [
    action,
    own.get(action) ?? ACTIONS[action].keys.filter((chord) => !taken.has(chord)),
  ]);
  return Object.fromEntries(entries) as KeyBindings;
}

function parseStored(text: string | null): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text ?? "{}");
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch (error) {
    if (error instanceof SyntaxError) return {};
    throw error;
  }
}

function sameChords(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((chord, i) => chord === b[i]);
}
