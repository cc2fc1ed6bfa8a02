import { type KeyboardEvent, type RefObject, useId, useState } from "react";
import type { Editor } from "../../editor/editor";
import { attributesOf } from "../../labels/attributes";
import { ForRole } from "../../ui/for-role";
import { formatCount } from "../../ui/format";
import { AttributeList } from "./attribute-list";
import { CategoryList } from "./category-list";
import { HistoryList } from "./history-list";
import { ObjectList } from "./object-list";
import { type ProposalAsking, ProposalPanel } from "./proposals";
import styles from "./side-panel.module.css";
import { useSnapshot } from "./use-editor";
import type { PictureMode } from "./use-picture-mode";

type Props = {
  editor: Editor;
  dataset: string;
  asking: ProposalAsking;
  mode: PictureMode;
  categoryField: RefObject<HTMLInputElement | null>;
};

const TABS = ["Labels", "Attributes", "History"] as const;
type Tab = (typeof TABS)[number];

export function SidePanel({ editor, dataset, asking, mode, categoryField }: Props) {
  const counts: Partial<Record<Tab, number>> = {
    Labels: useSnapshot(editor, (snapshot) => snapshot.document.labels.length),
    Attributes: useSnapshot(editor, (snapshot) => Object.keys(attributesOf(snapshot.document)).length),
  };
  const [tab, setTab] = useState<Tab>("Labels");
  const id = useId();
  const turn = (event: KeyboardEvent) => {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    event.preventDefault();
    const step = event.key === "ArrowRight" ? 1 : -1;
    const other = TABS.at((TABS.indexOf(tab) + step) % TABS.length) as Tab;
    setTab(other);
    document.getElementById(`${id}-${other}`)?.focus();
  };
  return (
    <aside className={styles.panel} aria-label="Categories and labels">
      <CategoryList editor={editor} dataset={dataset} mode={mode} field={categoryField} />
      <div className={styles.tabs} role="tablist" aria-label="About this picture">
        {TABS.map((name) => (
          <button
            key={name}
            id={`${id}-${name}`}
            type="button"
            role="tab"
            className={styles.tab}
            aria-selected={tab === name}
            aria-controls={`${id}-panel`}
            tabIndex={tab === name ? 0 : -1}
            onClick={() => setTab(name)}
            onKeyDown={turn}
          >
            {name}
            {counts[name] !== undefined && <span className={styles.count}>{formatCount(counts[name])}</span>}
          </button>
        ))}
      </div>
      <div id={`${id}-panel`} className={styles.content} role="tabpanel" aria-labelledby={`${id}-${tab}`}>
        {tab === "Labels" && <ObjectList editor={editor} />}
        {tab === "Attributes" && <AttributeList editor={editor} />}
        {tab === "History" && <HistoryList editor={editor} dataset={dataset} />}
      </div>
      <ForRole least="editor">
        <ProposalPanel editor={editor} asking={asking} />
      </ForRole>
    </aside>
  );
}
