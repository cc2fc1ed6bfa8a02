import { expect, test } from "vitest";
import { formatMetric, nameMetric, namePrimary } from "../../src/ui/metrics";

test("metrics have the field's names, others their own", () => {
  expect(nameMetric("map50")).toBe("mAP50");
  expect(nameMetric("best_step")).toBe("best step");
});

test.each([
  ["detection", "mAP50-95"],
  ["classification", "top-1 accuracy"],
  ["semantic", "mIoU"],
  ["image", "metric"],
])("%s is decided by %s", (task, name) => expect(namePrimary(task)).toBe(name));

test.each([
  [0.4, "0.400"],
  [1, "1.000"],
  [12.34, "12.3"],
  [undefined, "–"],
])("%s is shown as %s", (value, text) => expect(formatMetric(value)).toBe(text));
