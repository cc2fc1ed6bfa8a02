import { useLayoutEffect, useRef } from "react";
import { Card } from "../../ui/page";
import styles from "./job-log.module.css";
import { useLog } from "./use-log";

const NEAR_PX = 24;

/** What the job printed; whoever has scrolled up stays there. */
export function JobLog({ id }: { id: string }) {
  const text = useLog(id);
  const element = useRef<HTMLPreElement>(null);
  const isAtEnd = useRef(true);
  // biome-ignore lint/correctness/useExhaustiveDependencies: more text is what moves the end
  useLayoutEffect(() => {
    if (element.current && isAtEnd.current) element.current.scrollTop = element.current.scrollHeight;
  }, [text]);
  return (
    <Card title="Log">
      {text ? (
        <pre
          ref={element}
          className={styles.log}
          // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keys
          tabIndex={0}
          role="log"
          aria-label="Log of the job"
          onScroll={({ currentTarget: { scrollHeight, scrollTop, clientHeight } }) => {
            isAtEnd.current = scrollHeight - scrollTop - clientHeight < NEAR_PX;
          }}
        >
          {text}
        </pre>
      ) : (
        <p className={styles.note}>{text === null ? "Reading the log…" : "Nothing was printed yet."}</p>
      )}
    </Card>
  );
}
