import { useState } from "react";
import { Link, useParams } from "react-router";
import { fileUrl, madePath } from "../../api/addresses";
import { useTextFile } from "../../api/files";
import { useArtifacts, useDeployments, useModels, useReports } from "../../api/shelves";
import type { Artifact } from "../../api/types";
import { Button, buttonClass } from "../../ui/button";
import { type Fact, Facts, Figures } from "../../ui/facts";
import { ForRole } from "../../ui/for-role";
import { formatBytes } from "../../ui/format";
import { formatMetric, nameMetric } from "../../ui/metrics";
import { Notice } from "../../ui/notice";
import { Card, Columns, PageHead } from "../../ui/page";
import { Pill } from "../../ui/pill";
import { formatMoment } from "../../ui/time";
import { DeployDialog } from "./deploy-dialog";
import { findSpeedup, formatPoints, type GateReport, readGateReport } from "./gate";
import { CandidateTable, GateChecks } from "./gate-view";
import { deploymentsOf, findMade, isSameId, referTo, reportsOf } from "./lookup";
import { MadeFrame } from "./made-frame";
import { DeploymentLinks, ReportLinks } from "./made-links";
import { PredictorActions } from "./predictor-actions";

/** One artifact: what the gate said, what compiling cost in accuracy and gained in speed. */
export function ArtifactPage() {
  const { name = "", id = "" } = useParams();
  const artifacts = useArtifacts();
  const artifact = findMade(artifacts.data?.artifacts ?? [], name, id);
  return (
    <MadeFrame
      noun="artifact"
      list="/artifacts"
      name={name}
      found={artifact}
      removable={{ shelf: "artifacts", name, id }}
      query={artifacts}
    >
      {(found) => <Content artifact={found} />}
    </MadeFrame>
  );
}

function Content({ artifact }: { artifact: Artifact }) {
  const [deploying, setDeploying] = useState(false);
  const { name, id, files, verified, precision, device, engine } = artifact;
  const written = useTextFile(files.includes("report.json") ? fileUrl("artifacts", name, id, "report.json") : null);
  const gate = written.data ? readGateReport(written.data) : null;
  const deployments = deploymentsOf(artifact, useDeployments().data?.deployments ?? []);
  const reports = reportsOf(id, useReports().data?.reports ?? []);
  const model = useModels().data?.models.find((one) => isSameId(one.id, artifact.model_id));
  return (
    <>
      <PageHead
        title={name}
        mark={<Pill tone={verified ? "good" : "warning"}>{verified ? "verified" : "not verified"}</Pill>}
        note={`${precision.toUpperCase()} for ${device}, with ${engine}`}
        actions={
          <>
            <PredictorActions name={name} subject={referTo(artifact)} version={model?.dataset_version ?? null} />
            <ForRole least="editor">
              <Button kind="primary" icon="deploy" onClick={() => setDeploying(true)}>
                Deploy
              </Button>
            </ForRole>
          </>
        }
      />
      <Columns
        side={
          <>
            <ArtifactFacts artifact={artifact} />
            <DeploymentLinks deployments={deployments} />
            <ReportLinks reports={reports} />
          </>
        }
      >
        <Verdict artifact={artifact} gate={gate} />
        {gate && gate.checks.length > 0 && <GateChecks checks={gate.checks} />}
        {gate && gate.candidates.length > 0 && <CandidateTable candidates={gate.candidates} />}
        {gate?.warnings.map((warning) => (
          <Notice key={warning} kind="warning">
            {warning}
          </Notice>
        ))}
      </Columns>
      {deploying && <DeployDialog artifact={artifact} onClose={() => setDeploying(false)} />}
    </>
  );
}

function Verdict({ artifact, gate }: { artifact: Artifact; gate: GateReport | null }) {
  const { name, id, files, report, precision } = artifact;
  const speedup = gate && findSpeedup(gate);
  const number = (key: string) => (typeof report[key] === "number" ? report[key] : undefined);
  const metric = nameMetric(String(report.metric ?? "accuracy"));
  const change = number("change");
  const figures: Fact[] = [
    [`${metric}, FP32`, formatMetric(number("baseline"))],
    [`${metric}, ${precision.toUpperCase()}`, formatMetric(number("candidate"))],
    ["change", change === undefined ? "–" : formatPoints(change)],
    ...(speedup ? [["speed, against the fastest FP32", `${speedup.toFixed(2)}×`] as const] : []),
  ];
  return (
    <Card
      title="Accuracy and speed"
      actions={
        files.includes("report.html") && (
          <a
            className={buttonClass()}
            href={fileUrl("artifacts", name, id, "report.html")}
            target="_blank"
            rel="noreferrer"
          >
            Full report
          </a>
        )
      }
    >
      {number("baseline") !== undefined && <Figures figures={figures} />}
      {report.verdict && <p>{report.verdict}</p>}
    </Card>
  );
}

function ArtifactFacts({ artifact }: { artifact: Artifact }) {
  const model = useModels().data?.models.find(({ id }) => isSameId(id, artifact.model_id));
  const { device, engine, precision, size_bytes, made_at, task, id, report } = artifact;
  return (
    <Card title="Artifact">
      <Facts
        facts={[
          ["Model", model && <Link to={madePath("models", model.name, model.id)}>{model.name}</Link>],
          ["Task", task],
          ["Device", device],
          ["Engine", engine],
          ["Precision", precision.toUpperCase()],
          ["Size", formatBytes(size_bytes)],
          ["Judged on", report.images === undefined ? null : `${report.images} pictures`],
          ["Changed answers", report.flip_count],
          ["Made", formatMoment(made_at)],
          ["Id", <code key="id">{id}</code>],
        ]}
      />
    </Card>
  );
}
