/** Whether categories are given to objects or to whole pictures: as the dataset's first labels have it, until somebody chooses. */
import { useState } from "react";
import type { Editor } from "../../editor/editor";
import type { LabelDocument } from "../../labels/annotation";
import { geometryOf } from "../../labels/shapes";
import { useSnapshot } from "./use-editor";

export function usePictureMode(editor: Editor, dataset: string) {
  const key = `sightline.label.${dataset}.whole-picture`;
  const [chosen, setChosen] = useState<boolean | null>(() => readChoice(key));
  const seen = useSnapshot(editor, ({ document }) => labelsWholePicture(document));
  const [guessed, setGuessed] = useState<boolean | null>(null);
  // A picture without labels says nothing: what the one before it said holds on.
  if (seen !== null && seen !== guessed && chosen === null) setGuessed(seen);
  const labelsPicture = chosen ?? guessed ?? false;
  return {
    labelsPicture,
    setLabelsPicture: (on: boolean) => {
      localStorage.setItem(key, String(on));
      setChosen(on);
    },
    /** The key of the category at this place was pressed, and the editor has chosen it already. */
    chooseByKey: (place: number) => {
      const name = editor.getSnapshot().categories[place]?.name;
      if (name !== undefined && labelsPicture) editor.setImageCategory(name, true);
    },
    choose: (name: string, withOthers: boolean) => {
      if (labelsPicture) editor.setImageCategory(name, !withOthers);
      editor.setCategory(name);
    },
  };
}

/** Null where there is no label. */
export function labelsWholePicture({ labels }: LabelDocument): boolean | null {
  if (labels.length === 0) return null;
  return labels.every(({ annotation }) => geometryOf(annotation) === "image");
}

function readChoice(key: string): boolean | null {
  const stored = localStorage.getItem(key);
  return stored === null ? null : stored === "true";
}
