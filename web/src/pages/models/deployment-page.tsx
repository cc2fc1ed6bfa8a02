import { Link, useParams } from "react-router";
import { madePath } from "../../api/addresses";
import { useSession } from "../../api/hooks";
import { useArtifacts, useDeployments, useModels, useReports } from "../../api/shelves";
import type { Artifact, Deployment } from "../../api/types";
import { CommandLine } from "../../ui/command-line";
import { Facts } from "../../ui/facts";
import { Card, Columns, PageHead } from "../../ui/page";
import { inWorkspace } from "../../ui/shell";
import { formatMoment } from "../../ui/time";
import styles from "./deployment-page.module.css";
import { isSameId, reportsOf } from "./lookup";
import { MadeFrame } from "./made-frame";
import { ReportLinks } from "./made-links";
import { PredictorActions } from "./predictor-actions";
import { TryPicture } from "./try-picture";

/** One deployment: a picture to try it with, and how programs ask it. */
export function DeploymentPage() {
  const { name = "" } = useParams();
  const deployments = useDeployments();
  const deployment = deployments.data?.deployments.find((one) => one.name === name);
  return (
    <MadeFrame noun="deployment" list="/deployments" name={name} found={deployment} query={deployments}>
      {(found) => <Content deployment={found} />}
    </MadeFrame>
  );
}

function Content({ deployment }: { deployment: Deployment }) {
  const { name, version, task, precision, device, artifact_id } = deployment;
  const artifact = useArtifacts().data?.artifacts.find(({ id }) => isSameId(id, artifact_id));
  const model = useModels().data?.models.find(({ id }) => artifact && isSameId(id, artifact.model_id));
  const reports = reportsOf(artifact_id, useReports().data?.reports ?? []);
  return (
    <>
      <PageHead
        title={name}
        note={`${task}, ${precision.toUpperCase()} on ${device}, version ${version}`}
        actions={<PredictorActions name={name} subject={name} version={model?.dataset_version ?? null} />}
      />
      <Columns
        side={
          <>
            <DeploymentFacts deployment={deployment} artifact={artifact} />
            <ReportLinks reports={reports} />
          </>
        }
      >
        <TryPicture key={`${name} ${version}`} deployment={name} />
        <HowToAsk name={name} />
      </Columns>
    </>
  );
}

function DeploymentFacts({ deployment, artifact }: { deployment: Deployment; artifact: Artifact | undefined }) {
  const { version, versions, engine, precision, device, categories, made_at } = deployment;
  return (
    <Card title="Deployment">
      <Facts
        facts={[
          ["Artifact", artifact && <Link to={madePath("artifacts", artifact.name, artifact.id)}>{artifact.name}</Link>],
          ["Version", version],
          ["Versions kept", versions.join(", ")],
          ["Device", device],
          ["Engine", engine],
          ["Precision", precision.toUpperCase()],
          ["Categories", categories.join(", ")],
          ["Since", formatMoment(made_at)],
        ]}
      />
    </Card>
  );
}

// The web app has port 8000, which is the serving one's default, too.
const PORT = 8001;

function HowToAsk({ name }: { name: string }) {
  const workspace = useSession().data?.workspace;
  const url = `http://127.0.0.1:${PORT}/predict/${name}`;
  return (
    <Card title="From programs">
      <p className={styles.note}>
        Programs ask a server of its own, which is made for many requests at once. Start it in a terminal:
      </p>
      <CommandLine command={inWorkspace(`sightline serve --port ${PORT}`, workspace)} />
      <p className={styles.note}>
        Then send a picture; the answer is JSON, or with format=png the picture with it drawn:
      </p>
      <CommandLine command={`curl --data-binary @photo.jpg ${url}`} />
      <CommandLine command={`curl --data-binary @photo.jpg "${url}?format=png" -o drawn.png`} />
    </Card>
  );
}
