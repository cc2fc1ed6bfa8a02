import { lazy, Suspense } from "react";
import { Route, Routes } from "react-router";
import { ApiError } from "./api/client";
import { useSession } from "./api/hooks";
import { DatasetsPage } from "./pages/datasets/datasets-page";
import { GalleryPage } from "./pages/gallery/gallery-page";
import { NotFoundPage } from "./pages/session/not-found";
import { SignedOutPage } from "./pages/session/signed-out";

// The editor is a file of its own: who only looks at a gallery does not load it.
const LabelPage = lazy(() => import("./pages/label/label-page"));

/** Every page. Without a sign-in there is only the one that says how to get it. */
export function App() {
  const session = useSession();
  if (session.error instanceof ApiError && session.error.status === 401) return <SignedOutPage />;
  return (
    <Suspense fallback={null}>
      <Routes>
        <Route path="/" element={<DatasetsPage />} />
        <Route path="/datasets/:name" element={<GalleryPage />} />
        <Route path="/datasets/:name/label/:position" element={<LabelPage />} />
        <Route path="*" element={<NotFoundPage />} />
      </Routes>
    </Suspense>
  );
}
