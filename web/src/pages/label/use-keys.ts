/** The keys of the whole page: the editor's own, and what the page does by itself. They rest while a field or a dialog has the focus. */
import { useEffect, useRef } from "react";
import { useMay } from "../../api/people";
import { isTyping } from "../../canvas/hand";
import type { Editor } from "../../editor/editor";
import type { ActionName } from "../../editor/keys";

export type PageActions = {
  readonly next: () => void;
  readonly previous: () => void;
  readonly done: () => void;
  readonly copyPrevious: () => void;
  readonly askProposals: () => void;
  readonly carryOn: () => void;
  readonly carryFar: () => void;
  readonly fillTrack: () => void;
  readonly showKeys: () => void;
  readonly findCategory: () => void;
  readonly showTone: () => void;
  readonly stretchTone: () => void;
  readonly invertTone: () => void;
  /** The key of a category, by its place, was pressed; the editor has chosen it already. */
  readonly chooseCategory: (place: number) => void;
};

/** What a viewer's keys do not: the server would refuse it. */
const EDITS: ReadonlySet<ActionName> = new Set([
  "markDone",
  "copyPrevious",
  "askProposals",
  "carryOn",
  "carryFar",
  "fillTrack",
]);

export function useKeys(editor: Editor, actions: PageActions): void {
  const mayEdit = useMay("editor");
  const latest = useRef(actions);
  latest.current = actions;
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      if (event.defaultPrevented || isTyping(event.target) || isInDialog(event.target) || isForControl(event)) return;
      const pressed = editor.press(event);
      if (!pressed) return;
      event.preventDefault();
      if (mayEdit || !EDITS.has(pressed.action)) perform(pressed.action, pressed.done, latest.current);
    };
    window.addEventListener("keydown", press);
    return () => window.removeEventListener("keydown", press);
  }, [editor, mayEdit]);
}

function perform(action: ActionName, isDone: boolean, actions: PageActions): void {
  const category = /^category([1-9])$/.exec(action)?.[1];
  if (category) actions.chooseCategory(Number(category) - 1);
  if (isDone) return;
  if (action === "nextPicture" || action === "right") actions.next();
  else if (action === "previousPicture" || action === "left") actions.previous();
  else if (action === "markDone") actions.done();
  else if (action === "copyPrevious") actions.copyPrevious();
  else if (action === "askProposals") actions.askProposals();
  else if (action === "carryOn") actions.carryOn();
  else if (action === "carryFar") actions.carryFar();
  else if (action === "fillTrack") actions.fillTrack();
  else if (action === "findCategory") actions.findCategory();
  else if (action === "showTone") actions.showTone();
  else if (action === "stretchTone") actions.stretchTone();
  else if (action === "invertTone") actions.invertTone();
  else if (action === "showKeys") actions.showKeys();
}

function isInDialog(target: EventTarget | null): boolean {
  return target instanceof Element && target.closest("dialog") !== null;
}

/** Enter and Space press the button or follow the link that has the focus; a slider and a choice are moved by the arrows. */
function isForControl({ key, target }: KeyboardEvent): boolean {
  if (!(target instanceof Element)) return false;
  if (key === "Enter" || key === " ") return target.closest("button, a, summary, input") !== null;
  return /^(Arrow|Page|Home|End)/.test(key) && target.matches("input[type=range], input[type=radio]");
}
