/**
 * Whether categories are given to objects or to whole pictures, and then one or several: as the dataset's first labels have it, until
 * somebody chooses.
 */
import { useState } from "react";
import type { Editor } from "../../editor/editor";
import type { LabelDocument } from "../../labels/annotation";
import { geometryOf } from "../../labels/shapes";
import { useSnapshot } from "./use-editor";

export type PictureMode = ReturnType<typeof usePictureMode>;

export function usePictureMode(editor: Editor, dataset: string) {
  const seen = useSnapshot(editor, ({ document }) => labelsWholePicture(document));
  const seenSeveral = useSnapshot(editor, ({ document }) => hasSeveral(document));
  const [labelsPicture, setLabelsPicture] = useChoice(`sightline.label.${dataset}.whole-picture`, seen);
  // One label says nothing: the picture may have only one of several that it could have.
  const [takesSeveral, setTakesSeveral] = useChoice(`sightline.label.${dataset}.several`, seenSeveral || null);
  return {
    labelsPicture,
    setLabelsPicture,
    takesSeveral,
    setTakesSeveral,
    /** The key of the category at this place was pressed, and the editor has chosen it already. */
    chooseByKey: (place: number) => {
      const name = editor.getSnapshot().categories[place]?.name;
      if (name !== undefined && labelsPicture) editor.setImageCategory(name, !takesSeveral);
    },
    choose: (name: string, withOthers: boolean) => {
      if (labelsPicture) editor.setImageCategory(name, !takesSeveral && !withOthers);
      editor.setCategory(name);
    },
  };
}

/** What somebody chose in this browser, else what pictures say. A picture that says nothing, null, leaves what one before it said. */
function useChoice(key: string, seen: boolean | null): readonly [boolean, (on: boolean) => void] {
  const [chosen, setChosen] = useState<boolean | null>(() => readChoice(key));
  const [guessed, setGuessed] = useState<boolean | null>(null);
  if (seen !== null && seen !== guessed && chosen === null) setGuessed(seen);
  const choose = (on: boolean) => {
    localStorage.setItem(key, String(on));
    setChosen(on);
  };
  return [chosen ?? guessed ?? false, choose];
}

/** Null where there is no label. */
export function labelsWholePicture({ labels }: LabelDocument): boolean | null {
  if (labels.length === 0) return null;
  return labels.every(({ annotation }) => geometryOf(annotation) === "image");
}

/** Whether the whole picture has more labels than one. */
export function hasSeveral({ labels }: LabelDocument): boolean {
  return labels.filter(({ annotation }) => geometryOf(annotation) === "image").length > 1;
}

function readChoice(key: string): boolean | null {
  const stored = localStorage.getItem(key);
  return stored === null ? null : stored === "true";
}
