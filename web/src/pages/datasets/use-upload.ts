import { useEffect, useRef, useState } from "react";
import type { OnShare, Uploading } from "../../api/upload";

export type UploadStep<Answer> =
  | { readonly kind: "choosing"; readonly error?: unknown }
  | { readonly kind: "sending"; readonly share: number }
  | { readonly kind: "done"; readonly answer: Answer };

/** One upload from the choice of files to the server's answer; it is stopped when its dialog is closed. */
export function useUpload<Answer>() {
  const [step, setStep] = useState<UploadStep<Answer>>({ kind: "choosing" });
  const running = useRef<Uploading<Answer> | null>(null);
  useEffect(() => () => running.current?.stop(), []);

  const send = async (begin: (onShare: OnShare) => Uploading<Answer>) => {
    setStep({ kind: "sending", share: 0 });
    running.current = begin((share) => setStep({ kind: "sending", share }));
    try {
      setStep({ kind: "done", answer: await running.current.done });
    } catch (error) {
      const stopped = error instanceof DOMException && error.name === "AbortError";
      setStep(stopped ? { kind: "choosing" } : { kind: "choosing", error });
    }
  };
  return { step, send, stop: () => running.current?.stop() };
}
