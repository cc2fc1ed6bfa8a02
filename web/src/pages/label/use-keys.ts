/** The keys of the whole page: the editor's own, and what the page does by itself. They rest while a field or a dialog has the focus. */
import { useEffect, useRef } from "react";
import { isTyping } from "../../canvas/hand";
import type { Editor } from "../../editor/editor";
import type { ActionName } from "../../editor/keys";

export type PageActions = {
  readonly next: () => void;
  readonly previous: () => void;
  readonly done: () => void;
  readonly copyPrevious: () => void;
  readonly askProposals: () => void;
  readonly showKeys: () => void;
  /** The key of a category, by its place, was pressed; the editor has chosen it already. */
  readonly chooseCategory: (place: number) => void;
};

export function useKeys(editor: Editor, actions: PageActions): void {
  const latest = useRef(actions);
  latest.current = actions;
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      if (event.defaultPrevented || isTyping(event.target) || isInDialog(event.target) || isForButton(event)) return;
      const pressed = editor.press(event);
      if (!pressed) return;
      event.preventDefault();
      perform(pressed.action, pressed.done, latest.current);
    };
    window.addEventListener("keydown", press);
    return () => window.removeEventListener("keydown", press);
  }, [editor]);
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
  else if (action === "showKeys") actions.showKeys();
}

function isInDialog(target: EventTarget | null): boolean {
  return target instanceof Element && target.closest("dialog") !== null;
}

/** Enter and Space press the button or follow the link that has the focus. */
function isForButton(event: KeyboardEvent): boolean {
  if (event.key !== "Enter" && event.key !== " ") return false;
  return event.target instanceof Element && event.target.closest("button, a, summary, input") !== null;
}
