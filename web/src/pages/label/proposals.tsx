import { useMutation, useQuery } from "@tanstack/react-query";
import { useRef, useState } from "react";
import type { Editor } from "../../editor/editor";
import { isProposal } from "../../labels/annotation";
import { Button } from "../../ui/button";
import { Select } from "../../ui/field";
import { countOf } from "../../ui/format";
import { keyOf } from "./key-names";
import styles from "./proposals.module.css";
import { askProposals, listPredictors, type PredictorFacts } from "./requests";
import { useSnapshot } from "./use-editor";

export type ProposalAsking = {
  readonly predictors: readonly PredictorFacts[];
  readonly chosen: string | null;
  readonly choose: (name: string) => void;
  readonly ask: () => void;
  readonly isAsking: boolean;
  /** What came of it, where that is not to be seen on the picture. */
  readonly words: string | null;
};

/** Which models there are, the chosen one, and asking it about the open picture. */
export function useProposals(editor: Editor, dataset: string): ProposalAsking {
  const { data: predictors = [] } = useQuery({ queryKey: ["predictors"], queryFn: listPredictors });
  const [wanted, setWanted] = useState<string | null>(null);
  const chosen = predictors.find(({ name }) => name === wanted)?.name ?? predictors[0]?.name ?? null;
  const { mutate, ...asking } = useMutation({
    mutationFn: async ({ position, predictor }: { position: number; predictor: string }) => {
      const found = await askProposals(dataset, position, predictor);
      // Who went on meanwhile does not want them on another picture.
      if (editor.getSnapshot().picture?.position === position) editor.putProposals(found.annotations);
      return found;
    },
  });
  const ask = () => {
    const position = editor.getSnapshot().picture?.position;
    if (position !== undefined && chosen !== null && !asking.isPending) mutate({ position, predictor: chosen });
  };
  const shown = useSnapshot(editor, ({ picture }) => picture?.position);
  const isOfShown = asking.variables?.position === shown;
  const words = isOfShown ? (asking.error?.message ?? (asking.data ? describe(asking.data) : null)) : null;
  return { predictors, chosen, choose: setWanted, ask, isAsking: asking.isPending, words };
}

/** How many proposals wait for a person, and asking for more. */
export function ProposalPanel({ editor, asking }: { editor: Editor; asking: ProposalAsking }) {
  const labels = useSnapshot(editor, (snapshot) => snapshot.document.labels);
  const ids = labels.filter(({ annotation }) => isProposal(annotation)).map(({ id }) => id);
  const { predictors, chosen, choose, ask, isAsking, words } = asking;
  const acceptAll = () => {
    editor.select(ids);
    editor.acceptSelection();
  };
  const rejectAll = () => {
    editor.select(ids);
    editor.deleteSelection();
  };
  const byPointer = useRef(false);
  if (predictors.length === 0 && ids.length === 0) return null;
  return (
    <section className={styles.panel} aria-label="Proposals">
      {ids.length > 0 && (
        <>
          <span className={styles.words}>{countOf(ids.length, "proposal")}</span>
          <div className={styles.row}>
            <Button className={styles.half ?? ""} onClick={rejectAll}>
              Reject all
            </Button>
            <Button className={styles.half ?? ""} onClick={acceptAll}>
              Accept all
            </Button>
          </div>
        </>
      )}
      {predictors.length > 0 && (
        <div className={styles.row}>
          <Select
            label="Model that proposes labels"
            className={styles.select}
            value={chosen ?? ""}
            onPointerDown={() => {
              byPointer.current = true;
            }}
            onKeyDown={() => {
              byPointer.current = false;
            }}
            onChange={(event) => {
              choose(event.target.value);
              // Keys go to the editor again; who chooses by keys may go on to the next model.
              if (byPointer.current) event.target.blur();
            }}
          >
            {predictors.map(({ name, kind }) => (
              <option key={`${kind} ${name}`} value={name}>
                {name}
              </option>
            ))}
          </Select>
          <Button
            icon="propose"
            busy={isAsking}
            title={`Ask the model for proposals (${keyOf(editor, "askProposals")})`}
            onClick={ask}
          >
            Propose
          </Button>
        </div>
      )}
      {words && (
        <p className={styles.note} role="status">
          {words}
        </p>
      )}
    </section>
  );
}

function describe({ annotations, unknownCategories }: Awaited<ReturnType<typeof askProposals>>): string | null {
  const unknown = Object.keys(unknownCategories);
  if (unknown.length > 0) return `Left out, since the dataset has no such category: ${unknown.join(", ")}.`;
  return annotations.length === 0 ? "The model found nothing new here." : null;
}
