import { Link } from "react-router";
import { useRunningJobs } from "../../api/jobs";
import { useDevices } from "../../api/shelves";
import type { Device, Job } from "../../api/types";
import { Button } from "../../ui/button";
import { Frame } from "../../ui/frame";
import { ErrorNotice } from "../../ui/notice";
import { Page, PageHead } from "../../ui/page";
import { Pill } from "../../ui/pill";
import { Skeleton } from "../../ui/skeleton";
import table from "../../ui/table.module.css";
import { titleOf } from "../jobs/words";
import styles from "./devices-page.module.css";
import { describeMachine, groupMissing, listPrecisions } from "./words";

const COLUMNS = ["Device", "State", "Precisions", "Engines"];

/** What this machine computes on, what is missing, and what computes now. */
export default function DevicesPage() {
  const devices = useDevices();
  const running = useRunningJobs();
  return (
    <Frame title="Devices">
      <Page>
        <PageHead title="Devices" note={devices.data && describeMachine(devices.data)} />
        {devices.error && (
          <ErrorNotice error={devices.error} action={<Button onClick={() => devices.refetch()}>Try again</Button>} />
        )}
        {devices.isPending && <Skeleton label="Loading devices" count={3} className={styles.placeholder ?? ""} />}
        {devices.data && <DeviceTable devices={devices.data.devices} />}
        {devices.data && <Computing jobs={running} />}
      </Page>
    </Frame>
  );
}

function DeviceTable({ devices }: { devices: readonly Device[] }) {
  return (
    <div className={table.wrap}>
      <table className={table.table}>
        <thead>
          <tr>
            {COLUMNS.map((name) => (
              <th key={name} scope="col">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {devices.map((device) => (
            <DeviceRow key={device.name} device={device} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function DeviceRow({ device }: { device: Device }) {
  const missing = groupMissing(device);
  return (
    <tr>
      <th scope="row">
        {device.name}
        {!device.has_speed && <div className={table.detail}>emulated: says what the numbers will be, not how fast</div>}
      </th>
      <td>{device.is_here ? <Pill tone="good">ready</Pill> : <Pill>not here</Pill>}</td>
      <td className={table.soft}>{listPrecisions(device)}</td>
      <td>
        {device.engines
          .filter((engine) => engine.missing === null)
          .map((engine) => engine.name)
          .join(", ")}
        {missing.map(({ engines, reason }) => (
          <div key={reason} className={table.detail}>
            {engines}: {reason}
          </div>
        ))}
      </td>
    </tr>
  );
}

function Computing({ jobs }: { jobs: readonly Job[] }) {
  return (
    <p className={styles.computing}>
      {jobs.length === 0 && "No job computes now."}
      {jobs.length > 0 && "Computing now: "}
      {jobs.map((job, place) => (
        <span key={job.id}>
          {place > 0 && ", "}
          <Link to={`/jobs/${job.id}`}>{titleOf(job)}</Link>
        </span>
      ))}
    </p>
  );
}
