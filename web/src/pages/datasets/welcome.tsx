import { Button } from "../../ui/button";
import { CommandLine } from "../../ui/command-line";
import { EmptyState } from "../../ui/empty-state";
import styles from "./welcome.module.css";

/** The first page of a new workspace: the first step, here or in the terminal. */
export function Welcome({ onCreate }: { onCreate: () => void }) {
  return (
    <EmptyState icon="image" title="Start with your pictures">
      <p>
        A dataset holds pictures and what is known of them. Upload pictures, or a zip of pictures with labels in any
        format that Sightline reads. Everything stays on this machine.
      </p>
      <Button kind="primary" icon="upload" className={styles.upload} onClick={onCreate}>
        Upload pictures
      </Button>
      <div className={styles.terminal}>
        <h3>Or from the terminal</h3>
        <CommandLine command="sightline import pictures/ --name parts" />
        <p>Pictures of a folder, with the labels beside them where there are any.</p>
        <CommandLine command="sightline sample parts" />
        <p>Generated pictures to try things with.</p>
      </div>
    </EmptyState>
  );
}
