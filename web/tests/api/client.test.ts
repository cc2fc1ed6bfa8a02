import { expect, test } from "vitest";
import { ApiError, answer, toApiError, UNREACHABLE } from "../../src/api/client";

test("the message of a refusal is the server's sentence", async () => {
  const problem = {
    type: "about:blank",
    title: "Conflict",
    status: 409,
    detail: "category dent is in use",
    present: { revision: 3 },
  };
  const refused = answer(Promise.resolve({ error: problem, response: new Response(null, { status: 409 }) }));
  await expect(refused).rejects.toThrow("category dent is in use");
  await expect(refused).rejects.toMatchObject({ status: 409, problem: { present: { revision: 3 } } });
});

test("a server that is not reached is said so", async () => {
  await expect(answer(Promise.reject(new TypeError("Failed to fetch")))).rejects.toMatchObject({
    status: 0,
    message: UNREACHABLE,
  });
});

test("a request that a page gave up is no error of the server", async () => {
  const given = answer(Promise.reject(new DOMException("gone", "AbortError")));
  await expect(given).rejects.not.toBeInstanceOf(ApiError);
});

test("an answer without a problem still says its status", () => {
  expect(toApiError(502, "<html>").message).toContain("502");
  expect(toApiError(404, { title: "Not Found" }).message).toBe("Not Found");
});

test("what was answered is the data", async () => {
  expect(await answer(Promise.resolve({ data: { a: 1 }, response: new Response() }))).toEqual({ a: 1 });
});
