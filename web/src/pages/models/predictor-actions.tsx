import { useState } from "react";
import { useMay } from "../../api/people";
import { Button } from "../../ui/button";
import { MeasureDialog } from "./measure-dialog";
import { ProposeDialog } from "./propose-dialog";

type Props = { name: string; subject: string; version: string | null };

/** What everything that predicts can do: be measured, and propose labels. */
export function PredictorActions({ name, subject, version }: Props) {
  const [open, setOpen] = useState<"measure" | "propose" | null>(null);
  const close = () => setOpen(null);
  if (!useMay("editor")) return null;
  return (
    <>
      <Button icon="propose" onClick={() => setOpen("propose")}>
        Propose labels
      </Button>
      <Button icon="measure" onClick={() => setOpen("measure")}>
        Measure
      </Button>
      {open === "measure" && <MeasureDialog name={name} subject={subject} version={version} onClose={close} />}
      {open === "propose" && <ProposeDialog name={name} subject={subject} onClose={close} />}
    </>
  );
}
