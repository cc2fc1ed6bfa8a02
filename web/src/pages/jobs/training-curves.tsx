import { useState } from "react";
import { LineChart } from "../../ui/chart/line-chart";
import { namePrimary } from "../../ui/metrics";
import { Card } from "../../ui/page";
import type { Curves } from "./curves";
import styles from "./training-curves.module.css";

/** Loss and validation metric over the steps of a training; the learning rate on request. */
export function TrainingCurves({ curves, task, isRunning }: { curves: Curves; task: string; isRunning: boolean }) {
  const [withRate, setWithRate] = useState(false);
  const { loss, metric, best, rate } = curves;
  return (
    <Card
      title="Curves"
      actions={
        rate.length > 0 && (
          <label className={styles.choice}>
            <input type="checkbox" checked={withRate} onChange={(event) => setWithRate(event.target.checked)} />
            Learning rate
          </label>
        )
      }
    >
      {loss.length === 0 && (
        <p className={styles.note}>
          {isRunning ? "The curves begin here once the training does." : "The training ended before its first point."}
        </p>
      )}
      {loss.length > 0 && (
        <div className={styles.charts}>
          <LineChart title="Loss" xName="step" fromZero series={[{ name: "loss", points: loss }]} />
          {metric.length > 0 ? (
            <LineChart
              title={`Validation, ${namePrimary(task)}`}
              xName="step"
              fromZero
              series={[
                { name: "metric", points: metric },
                { name: "best so far", points: best, look: "second" },
              ]}
            />
          ) : (
            <p className={styles.note}>{isRunning ? "No validation yet." : "This training was not validated."}</p>
          )}
          {withRate && (
            <LineChart title="Learning rate" xName="step" fromZero series={[{ name: "rate", points: rate }]} />
          )}
        </div>
      )}
    </Card>
  );
}
