import { useQueryClient } from "@tanstack/react-query";
import { type ComponentType, lazy, Suspense, useEffect, useRef } from "react";
import { Route, Routes } from "react-router";
import { isSignedOut, useSession } from "./api/hooks";
import { NotFoundPage } from "./pages/session/not-found";
import { SignedOutDialog, SignedOutPage } from "./pages/session/signed-out";

// Files of their own: who labels does not load what others look at, nor the other way round. While one comes, the page before stays.
const DatasetsPage = lazyPage(() => import("./pages/datasets/datasets-page"), "DatasetsPage");
const GalleryPage = lazyPage(() => import("./pages/gallery/gallery-page"), "GalleryPage");
const DevicesPage = lazy(() => import("./pages/devices/devices-page"));
const LabelPage = lazy(() => import("./pages/label/label-page"));
const SettingsPage = lazy(() => import("./pages/settings/settings-page"));
const UnsentEdits = lazy(() => import("./pages/session/unsent-edits"));
const JobPage = lazyPage(() => import("./pages/jobs/job-page"), "JobPage");
const JobsPage = lazyPage(() => import("./pages/jobs/jobs-page"), "JobsPage");
const ModelPage = lazyPage(() => import("./pages/models/model-page"), "ModelPage");
const ArtifactPage = lazyPage(() => import("./pages/models/artifact-page"), "ArtifactPage");
const DeploymentPage = lazyPage(() => import("./pages/models/deployment-page"), "DeploymentPage");
const ReportPage = lazyPage(() => import("./pages/models/report-page"), "ReportPage");
const lists = () => import("./pages/models/lists");
const ModelsPage = lazyPage(lists, "ModelsPage");
const ArtifactsPage = lazyPage(lists, "ArtifactsPage");
const DeploymentsPage = lazyPage(lists, "DeploymentsPage");
const ReportsPage = lazyPage(lists, "ReportsPage");

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
        <Route path="/settings" element={<SettingsPage />} />
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

/** A page that is loaded when it is first shown, by its name in its file. */
function lazyPage<Name extends string>(load: () => Promise<Record<Name, ComponentType>>, name: Name) {
  return lazy(async () => ({ default: (await load())[name] }));
}
