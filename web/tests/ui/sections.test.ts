import { expect, test } from "vitest";
import { findSection } from "../../src/ui/sections";

test.each([
  ["/", "Datasets"],
  ["/datasets/parts/label/3", "Datasets"],
  ["/jobs/12ab", "Jobs"],
  ["/nothing", undefined],
])("%s belongs to %s", (path, section) => expect(findSection(path)).toBe(section));
