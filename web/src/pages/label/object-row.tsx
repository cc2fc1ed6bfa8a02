import { type MouseEvent, memo } from "react";
import { useMay } from "../../api/people";
import { sizeText } from "../../canvas/style";
import type { Editor } from "../../editor/editor";
import type { Annotation, Label } from "../../labels/annotation";
import { boundsOf, geometryOf } from "../../labels/shapes";
import { trackOf } from "../../labels/tracks";
import { Icon, type IconName } from "../../ui/icon";
import styles from "./object-list.module.css";

type Props = {
  editor: Editor;
  label: Label;
  colour: string | undefined;
  isChosen: boolean;
  isHidden: boolean;
  top: number;
  place: number;
  count: number;
  onChoose: (event: MouseEvent) => void;
};

type RowButtonProps = { icon: IconName; label: string; isChosen: boolean; onClick: () => void };

const ICONS: Readonly<Record<ReturnType<typeof geometryOf>, IconName>> = {
  box: "box",
  polygons: "polygon",
  mask: "brush",
  image: "image",
};

/** One label: its shape, category, how sure the model was, and buttons that come with the pointer. */
export const ObjectRow = memo(ObjectRowInner, isSameRow);

function ObjectRowInner({
  editor,
  label: { id, annotation },
  colour,
  isChosen,
  isHidden,
  top,
  place,
  count,
  onChoose,
}: Props) {
  const { category, confidence, origin } = annotation;
  const isProposal = origin === "model";
  const mayEdit = useMay("editor");
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: the list itself has the focus and the keys
    <div
      id={`label-${id}`}
      role="option"
      aria-selected={isChosen}
      aria-posinset={place}
      aria-setsize={count}
      tabIndex={-1}
      className={`${styles.row} ${isHidden ? styles.hidden : ""}`}
      style={{ transform: `translateY(${top}px)`, color: "inherit" }}
      title={describe(annotation)}
      onClick={onChoose}
      onDoubleClick={() => editor.showLabels([id])}
    >
      <span className={styles.shape} style={{ color: colour }}>
        <Icon name={ICONS[geometryOf(annotation)]} />
      </span>
      <span className={styles.name}>{category}</span>
      {isProposal && (
        <span className={styles.proposal}>
          {typeof confidence === "number" ? `${Math.round(confidence * 100)} %` : "proposed"}
        </span>
      )}
      <span className={styles.size}>{writeSize(annotation)}</span>
      <span className={styles.tools}>
        {mayEdit && isProposal && (
          <RowButton isChosen={isChosen} icon="check" label={`Accept ${category}`} onClick={() => accept(editor, id)} />
        )}
        <RowButton
          isChosen={isChosen}
          icon={isHidden ? "hidden" : "visible"}
          label={`${isHidden ? "Show" : "Hide"} ${category}`}
          onClick={() => editor.toggleHidden([id])}
        />
        {mayEdit && (
          <RowButton
            isChosen={isChosen}
            icon="remove"
            label={`Delete ${category}`}
            onClick={() => remove(editor, id)}
          />
        )}
      </span>
    </div>
  );
}

/** Those of the chosen row can be reached by the Tab key, after the list itself. */
function RowButton({ icon, label, isChosen, onClick }: RowButtonProps) {
  return (
    <button
      type="button"
      tabIndex={isChosen ? 0 : -1}
      className={styles.tool}
      aria-label={label}
      title={label}
      onClick={(event) => {
        event.stopPropagation();
        onClick();
      }}
    >
      <Icon name={icon} size={14} />
    </button>
  );
}

function accept(editor: Editor, id: string): void {
  editor.select([id]);
  editor.acceptSelection();
}

function remove(editor: Editor, id: string): void {
  editor.select([id]);
  editor.deleteSelection();
}

/** "box, 120 × 48 pixels". */
function describe(annotation: Annotation): string {
  const size = writeSize(annotation);
  const kind = { box: "box", polygons: "polygon", mask: "mask", image: "label of the whole picture" }[
    geometryOf(annotation)
  ];
  const followed = trackOf(annotation) === null ? "" : ", followed through frames";
  return `${kind}${size && `, ${size} pixels`}${followed}`;
}

function writeSize(annotation: Annotation): string {
  return sizeText(boundsOf(annotation));
}

function isSameRow(a: Props, b: Props): boolean {
  return (
    a.label === b.label &&
    a.colour === b.colour &&
    a.isChosen === b.isChosen &&
    a.isHidden === b.isHidden &&
    a.top === b.top &&
    a.count === b.count
  );
}
