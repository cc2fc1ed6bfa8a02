/** At the app's start: what closed pages left behind goes to the server, also of datasets that no one opens. */
import { findUnsentDatasets } from "./outbox";
import type { EditorPorts } from "./ports";
import { DEAF, Sender } from "./sender";

export function sendLeftBehind(ports: Omit<EditorPorts, "dataset">): void {
  for (const dataset of findUnsentDatasets(ports.storage, ports.scheduler.now())) {
    // Closed at once, it still sends what it took over; and an editor of this dataset may take it from there.
    new Sender({ ...ports, dataset }, DEAF).close();
  }
}
