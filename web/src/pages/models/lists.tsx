import { Link } from "react-router";
import { useArtifacts, useDeployments, useModels, useReports } from "../../api/shelves";
import { buttonClass } from "../../ui/button";
import { EmptyState } from "../../ui/empty-state";
import { useNow } from "../../ui/now";
import {
  ARTIFACT_COLUMNS,
  ArtifactRow,
  DEPLOYMENT_COLUMNS,
  DeploymentRow,
  MODEL_COLUMNS,
  ModelRow,
  REPORT_COLUMNS,
  ReportRow,
} from "./rows";
import { ShelfPage } from "./shelf-page";

const MINUTE_MS = 60_000;

export function ModelsPage() {
  const query = useModels();
  const now = useNow(MINUTE_MS);
  return (
    <ShelfPage
      title="Models"
      note="Trained networks in FP32, before they are compiled for a device"
      query={query}
      columns={MODEL_COLUMNS}
      rows={(query.data?.models ?? []).map((model) => (
        <ModelRow key={`${model.name}@${model.id}`} model={model} now={now} />
      ))}
      empty={
        <EmptyState icon="model" title="No models yet" actions={<GoTo path="/">Go to the datasets</GoTo>}>
          <p>Open a dataset with labelled pictures and press Train.</p>
        </EmptyState>
      }
    />
  );
}

export function ArtifactsPage() {
  const query = useArtifacts();
  const now = useNow(MINUTE_MS);
  return (
    <ShelfPage
      title="Artifacts"
      note="Models compiled for a device, each with the proof of its accuracy there"
      query={query}
      columns={ARTIFACT_COLUMNS}
      rows={(query.data?.artifacts ?? []).map((artifact) => (
        <ArtifactRow key={`${artifact.name}@${artifact.id}`} artifact={artifact} now={now} />
      ))}
      empty={
        <EmptyState icon="compile" title="No artifacts yet" actions={<GoTo path="/models">Go to the models</GoTo>}>
          <p>Open a model and press Compile: it becomes smaller and faster, and shows what that cost.</p>
        </EmptyState>
      }
    />
  );
}

export function DeploymentsPage() {
  const query = useDeployments();
  const now = useNow(MINUTE_MS);
  return (
    <ShelfPage
      title="Deployments"
      note="Names under which artifacts answer requests"
      query={query}
      columns={DEPLOYMENT_COLUMNS}
      rows={(query.data?.deployments ?? []).map((deployment) => (
        <DeploymentRow key={deployment.name} deployment={deployment} now={now} />
      ))}
      empty={
        <EmptyState
          icon="deploy"
          title="No deployments yet"
          actions={<GoTo path="/artifacts">Go to the artifacts</GoTo>}
        >
          <p>Open an artifact and press Deploy; then try it with a picture of your own.</p>
        </EmptyState>
      }
    />
  );
}

export function ReportsPage() {
  const query = useReports();
  const now = useNow(MINUTE_MS);
  return (
    <ShelfPage
      title="Reports"
      note="What was measured on this machine: accuracy and speed"
      query={query}
      columns={REPORT_COLUMNS}
      rows={(query.data?.reports ?? []).map((report) => (
        <ReportRow key={`${report.name}@${report.id}`} report={report} now={now} />
      ))}
      empty={
        <EmptyState icon="measure" title="No reports yet" actions={<GoTo path="/models">Go to the models</GoTo>}>
          <p>Open a model, an artifact or a deployment and press Measure.</p>
        </EmptyState>
      }
    />
  );
}

function GoTo({ path, children }: { path: string; children: string }) {
  return (
    <Link className={buttonClass("primary")} to={path}>
      {children}
    </Link>
  );
}
