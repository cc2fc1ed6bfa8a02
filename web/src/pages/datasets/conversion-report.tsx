import type { Report } from "../../api/types";
import { countOf } from "../../ui/format";
import styles from "./conversion-report.module.css";
import { pluralOf, toRows } from "./report";

/** What an import kept, changed and dropped, and why. */
export function ConversionReport({ report }: { report: Report }) {
  const { findings } = report;
  return (
    <section className={styles.report} aria-label="What became of the files">
      <table>
        <thead>
          <tr>
            <th scope="col">Of the files</th>
            <th scope="col">kept</th>
            <th scope="col">changed</th>
            <th scope="col">dropped</th>
          </tr>
        </thead>
        <tbody>
          {toRows(report).map(({ kind, kept, changed, dropped }) => (
            <tr key={kind}>
              <th scope="row">{kind}</th>
              <td>{kept}</td>
              <td>{changed}</td>
              <td>{dropped}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {findings.length === 0 && <p className={styles.clean}>Nothing was changed or lost.</p>}
      <ul className={styles.findings}>
        {findings.map(({ kind, outcome, reason, count, examples }) => (
          <li key={`${kind} ${outcome} ${reason}`}>
            <b>
              {outcome} {countOf(count, kind === "image" ? "picture" : kind, pluralOf(kind))}
            </b>
            : {reason}
            {examples.length > 0 && <span className={styles.examples}>{examples.join("; ")}</span>}
          </li>
        ))}
      </ul>
    </section>
  );
}
