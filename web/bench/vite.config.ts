import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// The page that benchmarks/label_editor.py measures beside the editor; it is no part of the app.
export default defineConfig({
  root: "bench",
  base: "/peer/",
  plugins: [react()],
  build: { rollupOptions: { input: "bench/peer.html" } },
});
