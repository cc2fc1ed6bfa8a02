import { useRef, useState } from "react";
import { useMay } from "../../api/people";
import { Stage } from "../../canvas/stage";
import type { Editor } from "../../editor/editor";
import { FrameStrip } from "./frame-strip";
import { KeyPanel } from "./key-panel";
import styles from "./label-editor.module.css";
import { Messages } from "./messages";
import { PictureLabels } from "./picture-labels";
import { useProposals } from "./proposals";
import { SidePanel } from "./side-panel";
import { TonePanel } from "./tone-panel";
import { ToolBar } from "./tool-bar";
import { TopBar } from "./top-bar";
import { useKeys } from "./use-keys";
import { usePicture } from "./use-picture";
import { usePictureMode } from "./use-picture-mode";
import { useSteps } from "./use-steps";
import { useTone } from "./use-tone";
import { useTracks } from "./use-tracks";

type Props = {
  editor: Editor;
  dataset: string;
  position: number;
  itemCount: number;
  /** The gallery's filter, as the address has it. */
  search: string;
};

/** Everything around the canvas: what is shown, where one goes, and what keys do. */
export function LabelEditor({ editor, dataset, position, itemCount, search }: Props) {
  const { picture, isLoading, error, retry, loader } = usePicture(editor, dataset, position);
  const steps = useSteps(editor, loader, { dataset, position, itemCount, search });
  const tracks = useTracks(editor, loader, { dataset, position }, steps);
  const asking = useProposals(editor, dataset);
  const mode = usePictureMode(editor, dataset);
  const tone = useTone(editor, dataset, picture);
  const mayEdit = useMay("editor");
  const categoryField = useRef<HTMLInputElement>(null);
  const [showsKeys, setShowsKeys] = useState(false);
  useKeys(editor, {
    ...steps,
    ...tracks,
    askProposals: asking.ask,
    showKeys: () => setShowsKeys(true),
    chooseCategory: mode.chooseByKey,
    findCategory: () => categoryField.current?.focus(),
    showTone: tone.toggle,
    stretchTone: tone.toggleStretch,
    invertTone: tone.invert,
  });
  return (
    <div className={`${styles.page} ${mayEdit ? "" : styles.withoutTools}`}>
      <TopBar
        editor={editor}
        dataset={dataset}
        search={search}
        position={position}
        itemCount={itemCount}
        filterWords={steps.filterWords}
        onNext={steps.hasNext ? steps.next : null}
        onPrevious={steps.hasPrevious ? steps.previous : null}
        onDone={steps.done}
        tone={tone}
        onShowKeys={() => setShowsKeys(true)}
      />
      {mayEdit && <ToolBar editor={editor} />}
      <main className={styles.middle}>
        <div className={styles.canvas}>
          <Stage
            editor={editor}
            picture={picture}
            tone={tone.tone}
            isDimmed={isLoading || error !== null}
            label="Picture with its labels"
          />
          {tone.isOpen && <TonePanel editor={editor} control={tone} />}
          <PictureLabels editor={editor} />
          <Messages editor={editor} error={error} onRetry={retry} words={steps.words} isLoading={isLoading} />
        </div>
        <FrameStrip editor={editor} dataset={dataset} position={position} search={search} tracks={tracks} />
      </main>
      <SidePanel editor={editor} dataset={dataset} asking={asking} mode={mode} categoryField={categoryField} />
      {showsKeys && <KeyPanel editor={editor} onClose={() => setShowsKeys(false)} />}
    </div>
  );
}
