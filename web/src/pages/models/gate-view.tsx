import { formatBytes } from "../../ui/format";
import { Icon } from "../../ui/icon";
import { Card } from "../../ui/page";
import type { Candidate, GateCheck } from "./gate";
import styles from "./gate-view.module.css";

/** What had to be shown before the artifact was let through. */
export function GateChecks({ checks }: { checks: readonly GateCheck[] }) {
  return (
    <Card title="What was checked">
      <ul className={styles.checks}>
        {checks.map(({ name, passed, text }) => (
          <li key={name} className={passed ? styles.passed : styles.failed}>
            <Icon name={passed ? "check" : "warning"} />
            <span>
              <span className="visually-hidden">{passed ? "passed: " : "failed: "}</span>
              {text}
            </span>
          </li>
        ))}
      </ul>
    </Card>
  );
}

/** How fast each way of running the model is; the bars compare them. */
export function CandidateTable({ candidates }: { candidates: readonly Candidate[] }) {
  const most = Math.max(1, ...candidates.map(({ throughput }) => throughput ?? 0));
  return (
    <Card title="What was tried">
      <div className={styles.scroll}>
        <table className={styles.candidates}>
          <thead>
            <tr>
              <th scope="col">Candidate</th>
              <th scope="col">Pictures/s</th>
              <th scope="col">Size</th>
              <th scope="col">Verdict</th>
            </tr>
          </thead>
          <tbody>
            {candidates.map(({ name, throughput, sizeBytes, verdict, isChosen }) => (
              <tr key={name} className={isChosen ? styles.chosen : undefined}>
                <th scope="row">{name}</th>
                <td className={styles.speed}>
                  {throughput === null ? "–" : throughput.toFixed(1)}
                  <span className={styles.bar} aria-hidden="true">
                    <span style={{ width: `${(100 * (throughput ?? 0)) / most}%` }} />
                  </span>
                </td>
                <td>{formatBytes(sizeBytes)}</td>
                <td className={styles.verdict}>{verdict}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Card>
  );
}
