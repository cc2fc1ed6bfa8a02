import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

// The build goes where the Python package serves it from; names hold a hash, so that browsers may keep files for ever.
export default defineConfig({
  plugins: [react()],
  build: { outDir: "../src/sightline/api/pages", emptyOutDir: true, assetsInlineLimit: 0, sourcemap: false },
  test: { include: ["tests/**/*.test.ts"], css: true },
});
