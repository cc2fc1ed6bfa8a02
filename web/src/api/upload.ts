/** Uploads of pictures. The browser's `fetch` tells nothing of how far it is, so this is the one request made in the older way. */
import { ApiError, toApiError, UNREACHABLE } from "./client";
import type { Upload } from "./types";

export type UploadRequest = {
  readonly name: string;
  /** Names of the categories, for pictures that come without labels. */
  readonly categories: readonly string[];
  /** Of videos: seconds between the frames that become pictures; null where there is none. */
  readonly everyS: number | null;
  readonly files: readonly File[];
};

export type Uploading = { readonly done: Promise<Upload>; readonly stop: () => void };

/** Sends the files; `onProgress` is told the share that left the browser, 0..1, and 1 while the server reads them. */
export function uploadDataset(wanted: UploadRequest, onProgress: (share: number) => void): Uploading {
  const request = new XMLHttpRequest();
  const done = new Promise<Upload>((resolve, reject) => {
    request.open("POST", "/v1/datasets");
    request.responseType = "text";
    request.upload.onprogress = ({ loaded, total }) => onProgress(total ? loaded / total : 0);
    request.upload.onload = () => onProgress(1);
    request.onerror = () => reject(new ApiError(0, UNREACHABLE));
    request.onabort = () => reject(new DOMException("The upload was stopped", "AbortError"));
    request.onload = () => {
      const body = parse(request.responseText);
      if (request.status === 201) resolve(body as Upload);
      else reject(toApiError(request.status, body));
    };
    request.send(toForm(wanted));
  });
  return { done, stop: () => request.abort() };
}

/** The server reads the words before the files, so they come first; a file's name may hold its folders. */
function toForm({ name, categories, everyS, files }: UploadRequest): FormData {
  const form = new FormData();
  form.append("name", name);
  if (categories.length > 0) form.append("categories", categories.join("\n"));
  if (everyS !== null) form.append("every_s", String(everyS));
  for (const file of files) form.append("files", file, file.webkitRelativePath || file.name);
  return form;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
