import { useEffect, useState } from "react";
import { answer, api } from "../../api/client";
import { appendLog } from "./log";

const EVERY_MS = 2000;

/** The end of a job's log, which grows while the job goes on; null until the first part came. */
export function useLog(id: string): string | null {
  const [text, setText] = useState<string | null>(null);
  useEffect(() => {
    let isOver = false;
    let offset = 0;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const read = async () => {
      let wait = EVERY_MS;
      try {
        const params = { path: { job_id: id }, query: { offset } };
        const part = await answer(api.GET("/v1/jobs/{job_id}/log", { params }));
        if (isOver) return;
        const isMore = part.offset > offset;
        offset = part.offset;
        setText((before) => appendLog(before ?? "", part.text));
        if (part.has_ended) return;
        if (isMore) wait = EVERY_MS / 4;
      } catch {
        // The page says that the server does not answer; the log goes on where it was.
      }
      if (!isOver) timer = setTimeout(read, wait);
    };
    setText(null);
    void read();
    return () => {
      isOver = true;
      clearTimeout(timer);
    };
  }, [id]);
  return text;
}
