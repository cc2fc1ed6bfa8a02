import { useMemo, useState } from "react";
import { Link, useParams } from "react-router";
import { datasetPath, fileUrl } from "../../api/addresses";
import { useTextFile } from "../../api/files";
import { useArtifacts, useModels, useReports } from "../../api/shelves";
import type { Model } from "../../api/types";
import { Button } from "../../ui/button";
import { type Fact, Facts, Figures } from "../../ui/facts";
import { ForRole } from "../../ui/for-role";
import { countOf, formatCount, shortId } from "../../ui/format";
import { formatMetric, nameMetric } from "../../ui/metrics";
import { Card, Columns, PageHead } from "../../ui/page";
import { formatDuration, formatMoment } from "../../ui/time";
import { parseCurves } from "../jobs/curves";
import { TrainingCurves } from "../jobs/training-curves";
import { CompileDialog } from "./compile-dialog";
import { artifactsOf, findMade, referTo, reportsOf } from "./lookup";
import { MadeFrame } from "./made-frame";
import { ArtifactLinks, ReportLinks } from "./made-links";
import { PredictorActions } from "./predictor-actions";

const CURVE = "curve.jsonl";

/** One model: how it learned, how good it is, and what can be made of it. */
export function ModelPage() {
  const { name = "", id = "" } = useParams();
  const models = useModels();
  const model = findMade(models.data?.models ?? [], name, id);
  return (
    <MadeFrame
      noun="model"
      list="/models"
      name={name}
      found={model}
      removable={{ shelf: "models", name, id }}
      query={models}
    >
      {(found) => <Content model={found} />}
    </MadeFrame>
  );
}

function Content({ model }: { model: Model }) {
  const [compiling, setCompiling] = useState(false);
  const artifacts = artifactsOf(model, useArtifacts().data?.artifacts ?? []);
  const reports = reportsOf(model.id, useReports().data?.reports ?? []);
  const { name, task, network, categories, width, height, dataset_version } = model;
  return (
    <>
      <PageHead
        title={name}
        note={`${task} with ${network}, ${countOf(categories.length, "category", "categories")}, pictures of ${width} × ${height}`}
        actions={
          <>
            <PredictorActions name={name} subject={referTo(model)} version={dataset_version} />
            <ForRole least="editor">
              <Button kind="primary" icon="compile" onClick={() => setCompiling(true)}>
                Compile
              </Button>
            </ForRole>
          </>
        }
      />
      <Columns
        side={
          <>
            <ModelFacts model={model} />
            <ArtifactLinks artifacts={artifacts} />
            <ReportLinks reports={reports} />
          </>
        }
      >
        <Card>
          <Figures figures={figuresOf(model)} />
        </Card>
        {model.files.includes(CURVE) && <ModelCurves model={model} />}
        <AllMetrics model={model} />
      </Columns>
      {compiling && <CompileDialog model={model} onClose={() => setCompiling(false)} />}
    </>
  );
}

function figuresOf({ primary, metrics, parameter_count }: Model): Fact[] {
  const trained = metrics.wall_s === undefined ? [] : [["trained in", formatDuration(metrics.wall_s)] as const];
  const judged = primary ? [[`${nameMetric(primary)}, validation`, formatMetric(metrics[primary])] as const] : [];
  return [...judged, ["parameters", formatCount(parameter_count)], ...trained];
}

function ModelCurves({ model }: { model: Model }) {
  const file = useTextFile(fileUrl("models", model.name, model.id, CURVE));
  const curves = useMemo(() => parseCurves(file.data ?? ""), [file.data]);
  return file.data === undefined ? null : <TrainingCurves curves={curves} task={model.task} isRunning={false} />;
}

// What the figures show already, and what is no measure of quality.
const OTHER = new Set(["steps", "epochs", "cpu_s", "wall_s", "best_step"]);

function AllMetrics({ model }: { model: Model }) {
  const rows = Object.entries(model.metrics).filter(([name]) => !OTHER.has(name));
  if (rows.length === 0) return null;
  return (
    <Card title="Validation">
      <Facts inColumns facts={rows.map(([name, value]): Fact => [nameMetric(name), formatMetric(value)])} />
    </Card>
  );
}

function ModelFacts({ model }: { model: Model }) {
  const { dataset, dataset_version, budget, seed, metrics, categories, precision, made_at, id } = model;
  const version = dataset_version && <code title={dataset_version}>{shortId(dataset_version)}</code>;
  return (
    <Card title="Model">
      <Facts
        facts={[
          ["Dataset", dataset && <Link to={datasetPath(dataset)}>{dataset}</Link>],
          ["Version", version],
          ["Budget", budget],
          ["Seed", seed === null ? null : String(seed)],
          ["Steps", metrics.steps === undefined ? null : formatCount(metrics.steps)],
          ["Epochs", metrics.epochs === undefined ? null : formatCount(metrics.epochs)],
          ["CPU time", metrics.cpu_s === undefined ? null : formatDuration(metrics.cpu_s)],
          ["Precision", precision.toUpperCase()],
          ["Categories", categories.join(", ")],
          ["Made", formatMoment(made_at)],
          ["Id", <code key="id">{id}</code>],
        ]}
      />
    </Card>
  );
}
