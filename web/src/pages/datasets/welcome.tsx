import { useSession } from "../../api/hooks";
import { useMay } from "../../api/people";
import { Button } from "../../ui/button";
import { CommandLine } from "../../ui/command-line";
import { EmptyState } from "../../ui/empty-state";
import { inWorkspace } from "../../ui/shell";
import styles from "./welcome.module.css";

/** The first page of a new workspace: the first step, here or in the terminal. */
export function Welcome({ onCreate }: { onCreate: () => void }) {
  const workspace = useSession().data?.workspace;
  const mayEdit = useMay("editor");
  if (!mayEdit) {
    return (
      <EmptyState icon="image" title="There are no datasets yet">
        <p>An editor makes them of pictures or videos; then you see them here.</p>
      </EmptyState>
    );
  }
  return (
    <EmptyState icon="image" title="Start with your pictures">
      <p>
        A dataset holds pictures and what is known of them. Upload pictures, videos, or a zip of pictures with labels in
        any format that Sightline reads. Everything stays on this machine.
      </p>
      <Button kind="primary" icon="upload" className={styles.upload} onClick={onCreate}>
        Upload pictures
      </Button>
      <div className={styles.terminal}>
        <h3>Or from the terminal</h3>
        <CommandLine command={inWorkspace("sightline import pictures/ --name parts", workspace)} />
        <p>Pictures of a folder, with the labels beside them where there are any.</p>
        <CommandLine command={inWorkspace("sightline sample parts", workspace)} />
        <p>Generated pictures to try things with.</p>
      </div>
    </EmptyState>
  );
}
