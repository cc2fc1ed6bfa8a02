import { Link, useParams } from "react-router";
import { datasetPath, fileUrl } from "../../api/addresses";
import { useReports } from "../../api/shelves";
import type { MeasuredReport } from "../../api/types";
import { buttonClass } from "../../ui/button";
import { type Fact, Facts, Figures } from "../../ui/facts";
import { shortId } from "../../ui/format";
import { formatMetric, nameMetric } from "../../ui/metrics";
import { Card, Columns, PageHead } from "../../ui/page";
import { formatMoment } from "../../ui/time";
import { findMade } from "./lookup";
import { MadeFrame } from "./made-frame";
import { listMistakes, listPlots, type ReportPicture } from "./report-files";
import styles from "./report-page.module.css";

/** One report: the numbers, the plots, and the pictures on which it was wrong. */
export function ReportPage() {
  const { name = "", id = "" } = useParams();
  const reports = useReports();
  const report = findMade(reports.data?.reports ?? [], name, id);
  return (
    <MadeFrame
      noun="report"
      list="/reports"
      name={name}
      found={report}
      removable={{ shelf: "reports", name, id }}
      query={reports}
    >
      {(found) => <Content report={found} />}
    </MadeFrame>
  );
}

function Content({ report }: { report: MeasuredReport }) {
  const { name, id, primary, metrics, files, dataset, split, subject, precision } = report;
  const figures: Fact[] = [
    [nameMetric(primary), formatMetric(metrics[primary])],
    ...["latency_ms_p50", "latency_ms_p99", "images_per_s"]
      .filter((metric) => metrics[metric] !== undefined)
      .map((metric): Fact => [nameMetric(metric), formatMetric(metrics[metric])]),
  ];
  return (
    <>
      <PageHead
        title={name}
        note={`${describeKind(subject.kind)} in ${precision.toUpperCase()} on ${dataset ?? "pictures"}, ${split ? `split ${split}` : "all pictures"}`}
        actions={
          files.includes("report.html") && (
            <a
              className={buttonClass("primary")}
              href={fileUrl("reports", name, id, "report.html")}
              target="_blank"
              rel="noreferrer"
            >
              Full report
            </a>
          )
        }
      />
      <Columns side={<ReportFacts report={report} />}>
        <Card title="Measured on this machine">
          <Figures figures={figures} />
        </Card>
        <Pictures report={report} title="Plots" pictures={listPlots(files)} />
        <Pictures report={report} title="Where it was wrong" pictures={listMistakes(files)} />
      </Columns>
    </>
  );
}

function describeKind(kind: unknown): string {
  return typeof kind === "string" && kind ? `${kind[0]?.toUpperCase()}${kind.slice(1)}` : "Measured";
}

type PicturesProps = { report: MeasuredReport; title: string; pictures: readonly ReportPicture[] };

/** Pictures that a report holds; each opens in full. They are drawn on white, in the dark, too. */
function Pictures({ report, title, pictures }: PicturesProps) {
  if (pictures.length === 0) return null;
  return (
    <Card title={title}>
      <ul className={styles.pictures}>
        {pictures.map(({ file, title: name }) => {
          const url = fileUrl("reports", report.name, report.id, file);
          return (
            <li key={file}>
              <a href={url} target="_blank" rel="noreferrer">
                <img src={url} alt="" loading="lazy" />
                <span>{name}</span>
              </a>
            </li>
          );
        })}
      </ul>
    </Card>
  );
}

function ReportFacts({ report }: { report: MeasuredReport }) {
  const { dataset, dataset_version, split, metrics, primary, made_at, id } = report;
  const shown = new Set([primary, "latency_ms_p50", "latency_ms_p99", "images_per_s"]);
  const others = Object.entries(metrics).filter(([name]) => !shown.has(name));
  return (
    <Card title="Report">
      <Facts
        facts={[
          ["Dataset", dataset && <Link to={datasetPath(dataset)}>{dataset}</Link>],
          ["Version", dataset_version && <code title={dataset_version}>{shortId(dataset_version)}</code>],
          ["Pictures", split ? `split ${split}` : "all"],
          ...others.map(([name, value]): Fact => [nameMetric(name), formatMetric(value)]),
          ["Made", formatMoment(made_at)],
          ["Id", <code key="id">{id}</code>],
        ]}
      />
    </Card>
  );
}
