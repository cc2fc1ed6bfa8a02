import { expect, test } from "vitest";
import { ApiError } from "../../src/api/client";
import { shouldRetry } from "../../src/api/queries";

test("a refusal is not asked again, an absent server twice", () => {
  expect(shouldRetry(0, new ApiError(422, "no"))).toBe(false);
  expect(shouldRetry(1, new ApiError(0, "away"))).toBe(true);
  expect(shouldRetry(1, new ApiError(503, "busy"))).toBe(true);
  expect(shouldRetry(2, new ApiError(0, "away"))).toBe(false);
});
