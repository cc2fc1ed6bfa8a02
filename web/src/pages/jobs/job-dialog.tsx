import { type FormEvent, type ReactNode, useId } from "react";
import { useNavigate } from "react-router";
import { jobPath } from "../../api/addresses";
import { type JobRequest, useStartJob } from "../../api/jobs";
import { Button } from "../../ui/button";
import { Dialog } from "../../ui/dialog";
import { NameField } from "../../ui/field";
import type { IconName } from "../../ui/icon";
import { ErrorNotice } from "../../ui/notice";
import styles from "./job-dialog.module.css";

type Props = {
  title: string;
  /** The word on the button that starts the job. */
  action: string;
  icon: IconName;
  /** What is asked for; null while something is missing. */
  request: JobRequest | null;
  onClose: () => void;
  wide?: boolean;
  children: ReactNode;
};

type NameProps = { noun: string; value: string; placeholder: string; onChange: (name: string) => void };

/** The name of what the job makes; without one it is named after what it is made of. */
export function MadeNameField({ noun, value, placeholder, onChange }: NameProps) {
  return (
    <NameField
      label={`Name of the ${noun} (optional)`}
      value={value}
      placeholder={placeholder}
      onChange={(event) => onChange(event.target.value)}
    />
  );
}

/** A form that starts a job and goes to its page. */
export function JobDialog({ title, action, icon, request, onClose, wide = false, children }: Props) {
  const form = useId();
  const navigate = useNavigate();
  const start = useStartJob();
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (request) start.mutate(request, { onSuccess: (job) => navigate(jobPath(job.id)) });
  };
  return (
    <Dialog
      title={title}
      wide={wide}
      onClose={onClose}
      actions={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit" form={form} icon={icon} busy={start.isPending} disabled={!request}>
            {action}
          </Button>
        </>
      }
    >
      <form id={form} className={styles.form} onSubmit={submit}>
        {children}
      </form>
      {start.error && <ErrorNotice error={start.error} />}
    </Dialog>
  );
}
