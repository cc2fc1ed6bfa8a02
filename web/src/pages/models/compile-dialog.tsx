import { useState } from "react";
import { useDevices } from "../../api/shelves";
import type { Device, Model } from "../../api/types";
import { TextField } from "../../ui/field";
import { SelectField } from "../../ui/select-field";
import { JobDialog, MadeNameField } from "../jobs/job-dialog";
import form from "../jobs/job-dialog.module.css";
import { DatasetField, useDatasetList } from "./dataset-field";
import { chooseDataset, referTo } from "./lookup";

type Precision = "int8" | "int16" | "fp16" | "bf16" | "fp32";

/** Asks for a model to be compiled for a device. */
export function CompileDialog({ model, onClose }: { model: Model; onClose: () => void }) {
  const datasets = useDatasetList();
  const devices = useDevices().data?.devices ?? [];
  const [typed, setDataset] = useState<string | null>(null);
  const [device, setDevice] = useState("cpu");
  const [precision, setPrecision] = useState("");
  const [drop, setDrop] = useState("1");
  const [name, setName] = useState("");
  const dataset = typed ?? chooseDataset(datasets, model.dataset_version)?.name ?? "";
  const points = drop.trim() === "" ? Number.NaN : Number(drop);
  const isDrop = points >= 0 && points <= 100;
  const isFloat = precision === "fp32" || precision === "bf16" || precision === "fp16";
  const isWhole = isDrop && device !== "" && (dataset !== "" || isFloat);
  const body = {
    model: referTo(model),
    dataset: dataset || null,
    device,
    precision: (precision || null) as Precision | null,
    max_drop: points / 100,
    seed: 0,
    ...(name && { name }),
  };
  return (
    <JobDialog
      title={`Compile ${model.name}`}
      action="Compile"
      icon="compile"
      request={isWhole ? { verb: "compile", body } : null}
      onClose={onClose}
    >
      <DatasetField
        datasets={datasets}
        value={dataset}
        none="None (floats only, not verified on pictures)"
        lack={isFloat ? undefined : "Integers are calibrated on pictures: choose a dataset, or a precision of floats."}
        onChange={setDataset}
      />
      <div className={form.row}>
        <DeviceField devices={devices} value={device} onChange={setDevice} />
        <PrecisionField device={devices.find((one) => one.name === device)} value={precision} onChange={setPrecision} />
      </div>
      <DropField value={drop} isRight={isDrop} onChange={setDrop} />
      <MadeNameField noun="artifact" value={name} placeholder={model.name} onChange={setName} />
    </JobDialog>
  );
}

function DropField({
  value,
  isRight,
  onChange,
}: {
  value: string;
  isRight: boolean;
  onChange: (drop: string) => void;
}) {
  return (
    <TextField
      label="Largest loss of accuracy, points"
      inputMode="decimal"
      value={value}
      error={isRight ? undefined : "A number from 0 to 100"}
      hint="What loses more on the validation pictures is refused."
      onChange={(event) => onChange(event.target.value)}
    />
  );
}

type DeviceProps = { devices: readonly Device[]; value: string; onChange: (device: string) => void };

function DeviceField({ devices, value, onChange }: DeviceProps) {
  return (
    <SelectField label="Device" value={value} onChange={(event) => onChange(event.target.value)}>
      {devices.length === 0 && <option value={value}>{value}</option>}
      {devices.map(({ name, is_here }) => (
        <option key={name} value={name} disabled={!is_here}>
          {is_here ? name : `${name} (not on this machine)`}
        </option>
      ))}
    </SelectField>
  );
}

type PrecisionProps = { device: Device | undefined; value: string; onChange: (precision: string) => void };

function PrecisionField({ device, value, onChange }: PrecisionProps) {
  return (
    <SelectField label="Precision" value={value} onChange={(event) => onChange(event.target.value)}>
      <option value="">
        {device?.precisions.includes("int8") === false ? "The best that is accurate" : "INT8 (the default)"}
      </option>
      {device?.precisions
        .filter((precision) => precision !== "int8")
        .map((precision) => (
          <option key={precision} value={precision}>
            {precision.toUpperCase()}
          </option>
        ))}
    </SelectField>
  );
}
