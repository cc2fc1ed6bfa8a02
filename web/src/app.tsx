import { useQueryClient } from "@tanstack/react-query";
import { lazy, Suspense, useEffect, useRef } from "react";
import { Route, Routes } from "react-router";
import { isSignedOut, useSession } from "./api/hooks";
import { DatasetsPage } from "./pages/datasets/datasets-page";
import { GalleryPage } from "./pages/gallery/gallery-page";
import { JobPage } from "./pages/jobs/job-page";
import { JobsPage } from "./pages/jobs/jobs-page";
import { ArtifactPage } from "./pages/models/artifact-page";
import { DeploymentPage } from "./pages/models/deployment-page";
import { ArtifactsPage, DeploymentsPage, ModelsPage, ReportsPage } from "./pages/models/lists";
import { ModelPage } from "./pages/models/model-page";
import { ReportPage } from "./pages/models/report-page";
import { NotFoundPage } from "./pages/session/not-found";
import { SignedOutDialog, SignedOutPage } from "./pages/session/signed-out";

// Files of their own: who only looks at a gallery does not load the editor.
const DevicesPage = lazy(() => import("./pages/devices/devices-page"));
const LabelPage = lazy(() => import("./pages/label/label-page"));
const UnsentEdits = lazy(() => import("./pages/session/unsent-edits"));

/**
 * Every page. Without a sign-in there is only the one that says how to get it; where it is lost later, since the server was started
 * again, the page stays as it is, with what it holds that is not saved, until there is one again.
 */
export function App() {
  const session = useSession();
  const signedOut = isSignedOut(session.error);
  useFreshStart(signedOut);
  if (signedOut && !session.data) return <SignedOutPage />;
  return (
    <Suspense fallback={null}>
      <Routes>
        <Route path="/" element={<DatasetsPage />} />
        <Route path="/datasets/:name" element={<GalleryPage />} />
        <Route path="/datasets/:name/label/:position" element={<LabelPage />} />
        <Route path="/models" element={<ModelsPage />} />
        <Route path="/models/:name/:id" element={<ModelPage />} />
        <Route path="/artifacts" element={<ArtifactsPage />} />
        <Route path="/artifacts/:name/:id" element={<ArtifactPage />} />
        <Route path="/deployments" element={<DeploymentsPage />} />
        <Route path="/deployments/:name" element={<DeploymentPage />} />
        <Route path="/reports" element={<ReportsPage />} />
        <Route path="/reports/:name/:id" element={<ReportPage />} />
        <Route path="/jobs" element={<JobsPage />} />
        <Route path="/jobs/:id" element={<JobPage />} />
        <Route path="/devices" element={<DevicesPage />} />
        <Route path="*" element={<NotFoundPage />} />
      </Routes>
      {signedOut && <SignedOutDialog />}
      <Suspense fallback={null}>
        <UnsentEdits />
      </Suspense>
    </Suspense>
  );
}

/** Once there is a sign-in again, what was refused meanwhile is asked for again. */
function useFreshStart(signedOut: boolean): void {
  const client = useQueryClient();
  const wasSignedOut = useRef(false);
  useEffect(() => {
    if (wasSignedOut.current && !signedOut) void client.invalidateQueries();
    wasSignedOut.current = signedOut;
  }, [client, signedOut]);
}
