import { useState } from "react";
import { useTrainingOptions } from "../../api/shelves";
import type { DatasetSummary, TaskOption, TrainingOptions } from "../../api/types";
import { TextField } from "../../ui/field";
import { countOf, shortId } from "../../ui/format";
import { ErrorNotice, Notice } from "../../ui/notice";
import { SelectField } from "../../ui/select-field";
import { Skeleton } from "../../ui/skeleton";
import { JobDialog, MadeNameField } from "../jobs/job-dialog";
import form from "../jobs/job-dialog.module.css";
import { joinBudget, nameUnit, splitBudget } from "./budget";
import { TASKS, type TrainTask } from "./guess";
import { findLacks } from "./missing";
import styles from "./train-dialog.module.css";
import { useTaskGuess } from "./use-guess";

type Props = { dataset: DatasetSummary; onClose: () => void };

/** Asks for a training of a dataset, and says beforehand what it will learn from. */
export function TrainDialog({ dataset, onClose }: Props) {
  const options = useTrainingOptions();
  const guess = useTaskGuess(dataset.name);
  if (options.data && guess !== undefined) {
    return <TrainForm dataset={dataset} options={options.data} guess={guess} onClose={onClose} />;
  }
  return (
    <JobDialog wide title={`Train on ${dataset.name}`} action="Train" icon="train" request={null} onClose={onClose}>
      {options.error ? (
        <ErrorNotice error={options.error} />
      ) : (
        <Skeleton label="Looking at the labels" count={4} className={styles.placeholder ?? ""} />
      )}
    </JobDialog>
  );
}

function TrainForm({
  dataset,
  options,
  guess,
  onClose,
}: Props & { options: TrainingOptions; guess: TrainTask | null }) {
  const [task, setTask] = useState<string>(guess ?? "detection");
  const [model, setModel] = useState("fast");
  const [budget, setBudget] = useState(splitBudget(options.default_budget));
  const [seed, setSeed] = useState("0");
  const [name, setName] = useState("");
  const chosen = options.tasks.find((one) => one.task === task);
  const networks = chosen?.networks ?? [];
  const network = networks.some((one) => one.name === model) ? model : "fast";
  const lacks = findLacks(dataset);
  const forbids = options.missing ? [options.missing, ...lacks.forbids] : lacks.forbids;
  const given = joinBudget(budget);
  const isSeed = /^\d{1,9}$/.test(seed);
  const body = { dataset: dataset.name, task, model: network, budget: given ?? "", seed: Number(seed) };
  const isWhole = forbids.length === 0 && chosen && given && isSeed;
  return (
    <JobDialog
      wide
      title={`Train on ${dataset.name}`}
      action="Train"
      icon="train"
      request={isWhole ? { verb: "train", body: { ...body, set: {}, ...(name && { name }) } } : null}
      onClose={onClose}
    >
      {forbids.map((reason) => (
        <Notice key={reason} kind="warning">
          {reason}
        </Notice>
      ))}
      <TaskChoice tasks={options.tasks} task={task} guess={guess} onChoose={setTask} />
      <NetworkChoice networks={networks} network={network} onChoose={setModel} />
      <div className={form.row}>
        <BudgetFields budget={budget} units={options.budget_units} onChange={setBudget} />
        <SeedField value={seed} isRight={isSeed} onChange={setSeed} />
      </div>
      <MadeNameField
        noun="model"
        value={name}
        placeholder={`${dataset.name}-${network.replaceAll("/", "-")}`}
        onChange={setName}
      />
      <LearnsFrom dataset={dataset} warns={lacks.warns} />
    </JobDialog>
  );
}

type TaskChoiceProps = {
  tasks: readonly TaskOption[];
  task: string;
  guess: TrainTask | null;
  onChoose: (task: string) => void;
};

function TaskChoice({ tasks, task, guess, onChoose }: TaskChoiceProps) {
  const describe = (one: string) => (one in TASKS ? TASKS[one as TrainTask].name : one);
  const hint = task in TASKS ? `Finds ${TASKS[task as TrainTask].finds}.` : "";
  const reason =
    guess === task ? " The labels are of this kind." : guess ? ` The labels rather look like ${describe(guess)}.` : "";
  return (
    <SelectField label="Task" value={task} hint={hint + reason} onChange={(event) => onChoose(event.target.value)}>
      {tasks.map((one) => (
        <option key={one.task} value={one.task}>
          {describe(one.task)}
        </option>
      ))}
    </SelectField>
  );
}

type NetworkChoiceProps = { networks: TaskOption["networks"]; network: string; onChoose: (network: string) => void };

function NetworkChoice({ networks, network, onChoose }: NetworkChoiceProps) {
  const dials = networks.filter(({ name, network: stands }) => name !== stands);
  const own = networks.filter(({ name, network: stands }) => name === stands);
  const chosen = networks.find(({ name }) => name === network);
  const hint = chosen && `${chosen.network}, pictures of ${chosen.size} pixels.`;
  return (
    <SelectField label="Model" value={network} hint={hint} onChange={(event) => onChoose(event.target.value)}>
      {dials.map(({ name }) => (
        <option key={name} value={name}>
          {name === "fast"
            ? "Fast: small, for CPUs"
            : name === "accurate"
              ? "Accurate: large, wants a longer budget"
              : name}
        </option>
      ))}
      <optgroup label="By name">
        {own.map(({ name }) => (
          <option key={name} value={name}>
            {name}
          </option>
        ))}
      </optgroup>
    </SelectField>
  );
}

type BudgetProps = {
  budget: { amount: string; unit: string };
  units: readonly string[];
  onChange: (budget: { amount: string; unit: string }) => void;
};

function BudgetFields({ budget, units, onChange }: BudgetProps) {
  return (
    <div className={styles.budget}>
      <TextField
        label="Budget"
        inputMode="decimal"
        value={budget.amount}
        error={joinBudget(budget) ? undefined : "A number above 0"}
        hint="Training ends after it"
        onChange={(event) => onChange({ ...budget, amount: event.target.value })}
      />
      <SelectField
        label="Unit"
        value={budget.unit}
        onChange={(event) => onChange({ ...budget, unit: event.target.value })}
      >
        {units
          .filter((unit) => unit !== "epoch")
          .map((unit) => (
            <option key={unit} value={unit}>
              {nameUnit(unit)}
            </option>
          ))}
      </SelectField>
    </div>
  );
}

function SeedField({
  value,
  isRight,
  onChange,
}: {
  value: string;
  isRight: boolean;
  onChange: (seed: string) => void;
}) {
  return (
    <TextField
      label="Seed"
      inputMode="numeric"
      value={value}
      error={isRight ? undefined : "A whole number from 0 on"}
      hint="The same seed begins alike"
      onChange={(event) => onChange(event.target.value)}
    />
  );
}

/** Which version the training takes, and what of it. */
function LearnsFrom({ dataset, warns }: { dataset: DatasetSummary; warns: readonly string[] }) {
  const { unfrozen_edits, base_id } = dataset;
  return (
    <div className={styles.version}>
      <p>
        {unfrozen_edits > 0 ? (
          <>
            {countOf(unfrozen_edits, "edit")} since version <code>{shortId(base_id)}</code>{" "}
            {unfrozen_edits === 1 ? "is" : "are"} frozen first, and the training takes the new version.
          </>
        ) : (
          <>
            The training takes version <code>{shortId(base_id)}</code>, which holds all that was labelled.
          </>
        )}
      </p>
      {warns.length > 0 && (
        <ul>
          {warns.map((warning) => (
            <li key={warning}>{warning}</li>
          ))}
        </ul>
      )}
    </div>
  );
}
