/** Predictions of a deployment for a picture that somebody tries: what it found, and the picture with that drawn on it. */
import { ApiError, toApiError, UNREACHABLE } from "./client";
import type { Annotation } from "./types";

export type Tried = {
  readonly annotations: readonly Annotation[];
  readonly drawn: Blob;
  readonly width: number;
  readonly height: number;
};

/** `confidence`: what is less sure is dropped; null leaves it to the model's own threshold. */
export async function tryPicture(deployment: string, picture: Blob, confidence: number | null): Promise<Tried> {
  const found = (await (await ask(deployment, picture, confidence, "json")).json()) as Omit<Tried, "drawn">;
  const drawn = await (await ask(deployment, picture, confidence, "png")).blob();
  return { ...found, annotations: found.annotations ?? [], drawn };
}

async function ask(deployment: string, picture: Blob, confidence: number | null, format: string): Promise<Response> {
  const query = new URLSearchParams({ format, ...(confidence !== null && { confidence: String(confidence) }) });
  const url = `/v1/deployments/${encodeURIComponent(deployment)}/predict?${query}`;
  const headers = { "Content-Type": picture.type || "application/octet-stream" };
  const response = await fetch(url, { method: "POST", body: picture, headers }).catch(() => {
    throw new ApiError(0, UNREACHABLE);
  });
  if (!response.ok) throw toApiError(response.status, await response.json().catch(() => null));
  return response;
}
