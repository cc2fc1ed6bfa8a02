import { expect, test } from "vitest";
import { findSection } from "../../src/ui/sections";

test.each([
  ["/", "Datasets"],
  ["/datasets/parts/label/3", "Datasets"],
  ["/models/parts/12ab", "Models"],
  ["/deployments/parts", "Models"],
  ["/reports", "Models"],
  ["/jobs/12ab", "Jobs"],
  ["/devices", "Devices"],
  ["/nothing", undefined],
])("%s belongs to %s", (path, section) => expect(findSection(path)).toBe(section));
