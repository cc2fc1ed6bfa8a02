import { useState } from "react";
import { useDeployments } from "../../api/shelves";
import type { Artifact } from "../../api/types";
import { NameField } from "../../ui/field";
import { Notice } from "../../ui/notice";
import { JobDialog } from "../jobs/job-dialog";
import { referTo } from "./lookup";

/** Asks under which name an artifact shall answer. */
export function DeployDialog({ artifact, onClose }: { artifact: Artifact; onClose: () => void }) {
  const deployments = useDeployments().data?.deployments ?? [];
  const [name, setName] = useState(artifact.name);
  const there = deployments.find((one) => one.name === name);
  const body = { artifact: referTo(artifact), name };
  return (
    <JobDialog
      title={`Deploy ${artifact.name}`}
      action="Deploy"
      icon="deploy"
      request={name ? { verb: "deploy", body } : null}
      onClose={onClose}
    >
      <NameField
        label="Name"
        value={name}
        hint="Requests name it: /predict/NAME"
        onChange={(event) => setName(event.target.value)}
      />
      {there && (
        <Notice>
          {there.name} answers with version {there.version} now; this becomes version {Math.max(...there.versions) + 1}{" "}
          and takes over without a failed request.
        </Notice>
      )}
      {!artifact.verified && (
        <Notice kind="warning">The accuracy of this artifact was not verified on pictures.</Notice>
      )}
    </JobDialog>
  );
}
