import { useEffect } from "react";
import { Link, useParams, useSearchParams } from "react-router";
import { datasetPath } from "../../api/addresses";
import { useDataset, useSession } from "../../api/hooks";
import { useMay } from "../../api/people";
import { buttonClass } from "../../ui/button";
import { EmptyState } from "../../ui/empty-state";
import { readFilter, writeFilter } from "../gallery/filter";
import { LabelEditor } from "./label-editor";
import styles from "./label-editor.module.css";
import { useEditor } from "./use-editor";

/** The editor of the pictures of one dataset, at the place that the address names. */
export default function LabelPage() {
  const { name = "", position: place = "" } = useParams();
  const [search] = useSearchParams();
  const dataset = useDataset(name);
  const editor = useEditor(name);
  const categories = dataset.data?.categories;
  const position = /^\d+$/.test(place) ? Number(place) : null;
  const mayEdit = useMay("editor");
  useEffect(() => editor?.setReadOnly(!mayEdit), [editor, mayEdit]);
  useEffect(() => {
    if (editor && categories) editor.setCategories(categories);
  }, [editor, categories]);
  // What waited for the new link to be opened waits no longer.
  const signedInAt = useSession().dataUpdatedAt;
  useEffect(() => {
    if (signedInAt > 0) editor?.retryNow();
  }, [editor, signedInAt]);
  const { refetch } = dataset;
  useEffect(() => {
    if (!editor) return;
    // The server refuses what speaks of a category that is gone: which ones there are is asked again.
    let was = editor.getSnapshot().sending.kind;
    return editor.subscribe(() => {
      const { kind } = editor.getSnapshot().sending;
      if (kind === "refused" && was !== "refused") void refetch();
      was = kind;
    });
  }, [editor, refetch]);
  useEffect(() => {
    document.title = `${name} · Sightline`;
  }, [name]);

  const problem =
    dataset.error?.message ?? (position === null ? `There is no picture "${place}": a number is expected.` : null);
  if (problem !== null || position === null) {
    return (
      <EmptyState
        icon="warning"
        title="This picture cannot be shown"
        actions={
          <Link to={dataset.error ? "/" : datasetPath(name)} className={buttonClass("primary")}>
            {dataset.error ? "To all datasets" : `To the pictures of ${name}`}
          </Link>
        }
      >
        <p>{problem}</p>
      </EmptyState>
    );
  }
  if (!editor || !dataset.data) return <p className={styles.loading}>Opening {name}…</p>;
  return (
    <LabelEditor
      editor={editor}
      dataset={name}
      position={position}
      itemCount={dataset.data.item_count}
      search={writeFilter(readFilter(search)).toString()}
    />
  );
}
