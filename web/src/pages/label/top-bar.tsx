import { Link } from "react-router";
import { datasetPath } from "../../api/addresses";
import { isPlain } from "../../canvas/tone";
import type { Editor } from "../../editor/editor";
import { findViewer } from "../../labels/document";
import { Button, IconButton } from "../../ui/button";
import { ForRole } from "../../ui/for-role";
import { formatCount } from "../../ui/format";
import { Icon } from "../../ui/icon";
import { keyOf } from "./key-names";
import { SaveState } from "./save-state";
import styles from "./top-bar.module.css";
import { useSnapshot } from "./use-editor";
import type { ToneControl } from "./use-tone";

type Props = {
  editor: Editor;
  dataset: string;
  search: string;
  position: number;
  itemCount: number | undefined;
  /** What of the dataset is gone through, in words; null: all. */
  filterWords: string | null;
  onNext: (() => void) | null;
  onPrevious: (() => void) | null;
  onDone: () => void;
  tone: ToneControl;
  onShowKeys: () => void;
};

export function TopBar({
  editor,
  dataset,
  search,
  position,
  itemCount,
  filterWords,
  onDone,
  tone,
  onShowKeys,
  ...steps
}: Props) {
  const fileName = useSnapshot(editor, (snapshot) => snapshot.picture?.fileName ?? "");
  const isDone = useSnapshot(editor, (snapshot) => findViewer(snapshot.document) === "human");
  return (
    <header className={styles.bar}>
      <div className={styles.place}>
        <Link
          to={`${datasetPath(dataset)}${search && `?${search}`}`}
          className={styles.back}
          title="Back to the pictures of this dataset"
        >
          <Icon name="previous" />
          <span className={styles.dataset}>{dataset}</span>
        </Link>
        <span className={styles.slash} aria-hidden="true">
          /
        </span>
        <h1 className={styles.file} title={fileName}>
          {fileName}
        </h1>
      </div>
      <nav className={styles.steps} aria-label="Pictures">
        <Step
          editor={editor}
          icon="previous"
          label="Previous picture"
          action="previousPicture"
          onClick={steps.onPrevious}
        />
        <span className={styles.count}>
          <b>{formatCount(position + 1)}</b> of {itemCount === undefined ? "…" : formatCount(itemCount)}
          {filterWords && (
            <span className={styles.filter} title="Next and previous keep to this filter">
              {filterWords}
            </span>
          )}
        </span>
        <Step editor={editor} icon="next" label="Next picture" action="nextPicture" onClick={steps.onNext} />
      </nav>
      <div className={styles.end}>
        <SaveState editor={editor} />
        <span className={styles.rule} />
        <ViewControls editor={editor} tone={tone} />
        <IconButton icon="keyboard" label="Keys (?)" onClick={onShowKeys} />
        <ForRole least="editor">
          <Button
            kind={isDone ? "plain" : "primary"}
            className={isDone ? (styles.done ?? "") : ""}
            icon="check"
            title={`A person looked at the whole picture; go on to the next (${keyOf(editor, "markDone")})`}
            onClick={onDone}
          >
            Done
          </Button>
        </ForRole>
      </div>
    </header>
  );
}

type StepProps = {
  editor: Editor;
  icon: "previous" | "next";
  label: string;
  action: "previousPicture" | "nextPicture";
  onClick: (() => void) | null;
};

function Step({ editor, icon, label, action, onClick }: StepProps) {
  const words = `${label} (${keyOf(editor, action)})`;
  return <IconButton icon={icon} label={words} disabled={!onClick} onClick={() => onClick?.()} />;
}

function ViewControls({ editor, tone }: { editor: Editor; tone: ToneControl }) {
  const scale = useSnapshot(editor, ({ view, picture }) => (picture ? Math.round(view.scale * 100) : null));
  const allHidden = useSnapshot(editor, (snapshot) => snapshot.allHidden);
  return (
    <div className={styles.view}>
      <IconButton
        icon={allHidden ? "hidden" : "visible"}
        label={`${allHidden ? "Show" : "Hide"} all labels (${keyOf(editor, "toggleAllHidden")})`}
        aria-pressed={allHidden}
        onClick={editor.toggleAllHidden}
      />
      <IconButton
        icon="tone"
        label={`Brightness and contrast (${keyOf(editor, "showTone")})`}
        className={isPlain(tone.tone) ? "" : (styles.changed ?? "")}
        aria-pressed={tone.isOpen}
        onClick={tone.toggle}
      />
      <IconButton
        icon="minus"
        label={`Zoom out (${keyOf(editor, "zoomOut")})`}
        onClick={() => editor.perform("zoomOut")}
      />
      <button
        type="button"
        className={styles.scale}
        aria-label={`Zoom ${scale ?? "–"} %: show the whole picture`}
        title={`Show the whole picture (${keyOf(editor, "fit")})`}
        onClick={editor.fit}
      >
        {scale === null ? "–" : `${scale} %`}
      </button>
      <IconButton icon="add" label={`Zoom in (${keyOf(editor, "zoomIn")})`} onClick={() => editor.perform("zoomIn")} />
    </div>
  );
}
