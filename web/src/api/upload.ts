/** Uploads of pictures. The browser's `fetch` tells nothing of how far it is, so these are the requests made in the older way. */
import { ApiError, toApiError, UNREACHABLE } from "./client";
import type { Addition, Upload } from "./types";

export type UploadRequest = {
  /** Names of the categories, for pictures that come without labels. */
  readonly categories: readonly string[];
  /** Of videos: seconds between the frames that become pictures; null where there is none. */
  readonly everyS: number | null;
  readonly files: readonly File[];
};

export type Uploading<Answer> = { readonly done: Promise<Answer>; readonly stop: () => void };
/** Told the share that left the browser, 0..1, and 1 while the server reads the files. */
export type OnShare = (share: number) => void;

/** Makes a dataset of files. */
export function uploadDataset(name: string, wanted: UploadRequest, onShare: OnShare): Uploading<Upload> {
  return send("/v1/datasets", toForm({ name }, wanted), onShare);
}

/** Adds files to a dataset. */
export function uploadPictures(name: string, wanted: UploadRequest, onShare: OnShare): Uploading<Addition> {
  return send(`/v1/datasets/${encodeURIComponent(name)}/items`, toForm({}, wanted), onShare);
}

function send<Answer>(address: string, form: FormData, onShare: OnShare): Uploading<Answer> {
  const request = new XMLHttpRequest();
  const done = new Promise<Answer>((resolve, reject) => {
    request.open("POST", address);
    request.responseType = "text";
    request.upload.onprogress = ({ loaded, total }) => onShare(total ? loaded / total : 0);
    request.upload.onload = () => onShare(1);
    request.onerror = () => reject(new ApiError(0, UNREACHABLE));
    request.onabort = () => reject(new DOMException("The upload was stopped", "AbortError"));
    request.onload = () => {
      const body = parse(request.responseText);
      if (request.status === 201) resolve(body as Answer);
      else reject(toApiError(request.status, body));
    };
    request.send(form);
  });
  return { done, stop: () => request.abort() };
}

/** The server reads the words before the files, so they come first; a file's name may hold its folders. */
function toForm(words: Record<string, string>, { categories, everyS, files }: UploadRequest): FormData {
  const form = new FormData();
  for (const [name, word] of Object.entries(words)) form.append(name, word);
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
