import type { CSSProperties } from "react";
import { useColours } from "../../canvas/colours";
import { lookOf, tagText } from "../../canvas/style";
import type { Editor } from "../../editor/editor";
import { geometryOf } from "../../labels/shapes";
import { ForRole } from "../../ui/for-role";
import { Icon } from "../../ui/icon";
import styles from "./picture-labels.module.css";
import { useSnapshot } from "./use-editor";

/** The labels of the whole picture, in the corner of the canvas: they have no place on it. */
export function PictureLabels({ editor }: { editor: Editor }) {
  const labels = useSnapshot(editor, (snapshot) => snapshot.document.labels);
  const hidden = useSnapshot(editor, (snapshot) => snapshot.hidden);
  const colours = useColours(editor);
  const ofPicture = labels.filter(({ id, annotation }) => geometryOf(annotation) === "image" && !hidden.has(id));
  if (ofPicture.length === 0) return null;
  return (
    <ul className={styles.labels} aria-label="Labels of the whole picture">
      {ofPicture.map(({ id, annotation }) => {
        const look = lookOf(colours.get(annotation.category));
        const colour = { "--colour": look.stroke, "--letters": look.letters } as CSSProperties;
        return (
          <li
            key={id}
            className={`${styles.label} ${annotation.origin === "model" ? styles.proposed : ""}`}
            style={colour}
          >
            {tagText(annotation.category, annotation.confidence)}
            <ForRole least="editor">
              <button
                type="button"
                className={styles.remove}
                aria-label={`Delete ${annotation.category}`}
                onClick={() => {
                  editor.select([id]);
                  editor.deleteSelection();
                }}
              >
                <Icon name="close" size={12} />
              </button>
            </ForRole>
          </li>
        );
      })}
    </ul>
  );
}
