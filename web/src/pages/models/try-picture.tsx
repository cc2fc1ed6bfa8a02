import { useMutation } from "@tanstack/react-query";
import { useEffect, useId, useState } from "react";
import { type Tried, tryPicture } from "../../api/predict";
import { DropZone } from "../../ui/drop-zone";
import { ErrorNotice } from "../../ui/notice";
import { Card } from "../../ui/page";
import { Progress } from "../../ui/progress";
import { listFindings } from "./findings";
import styles from "./try-picture.module.css";

/** A picture is dropped, and what the deployment finds in it is drawn and listed. */
export function TryPicture({ deployment }: { deployment: string }) {
  const [picture, setPicture] = useState<File | null>(null);
  const [confidence, setConfidence] = useState<number | null>(null);
  const tried = useMutation({
    mutationFn: ({ file, least }: { file: File; least: number | null }) => tryPicture(deployment, file, least),
  });
  const look = (file: File | null, least: number | null) => {
    setPicture(file);
    setConfidence(least);
    if (file) tried.mutate({ file, least });
  };
  return (
    <Card title="Try a picture">
      <PictureDrop picture={picture} onChoose={(file) => look(file, confidence)} />
      {picture && <Threshold value={confidence} onChange={(least) => look(picture, least)} />}
      {tried.isPending && <Progress label="Looking at the picture" value={null} />}
      {tried.error && <ErrorNotice error={tried.error} />}
      {tried.data && picture && <Answer tried={tried.data} name={picture.name} />}
    </Card>
  );
}

type DropProps = { picture: File | null; onChoose: (file: File) => void };

function PictureDrop({ picture, onChoose }: DropProps) {
  const take = ([file]: Iterable<File>) => file && onChoose(file);
  return (
    <DropZone
      icon="image"
      accept="image/*,.tif,.tiff"
      small={picture !== null}
      onDrop={({ files }) => take(files)}
      onChoose={take}
    >
      {picture ? (
        <span>
          <b>{picture.name}</b> · drop another, or <u>choose one</u>
        </span>
      ) : (
        <span>
          Drop a picture here, or <u>choose one</u>. It stays on this machine.
        </span>
      )}
    </DropZone>
  );
}

const STEP = 0.05;
const START = 0.5;

/** The least confidence of what is shown; by default the model's own. */
function Threshold({ value, onChange }: { value: number | null; onChange: (value: number | null) => void }) {
  const id = useId();
  const [shown, setShown] = useState(value ?? START);
  const isOwn = value === null;
  return (
    <div className={styles.threshold}>
      <label className={styles.own}>
        <input type="checkbox" checked={isOwn} onChange={({ target }) => onChange(target.checked ? null : shown)} />
        The model's own least confidence
      </label>
      <label htmlFor={id} className="visually-hidden">
        Least confidence
      </label>
      <input
        id={id}
        type="range"
        min={STEP}
        max={1 - STEP}
        step={STEP}
        value={shown}
        disabled={isOwn}
        onChange={({ target }) => setShown(target.valueAsNumber)}
        onPointerUp={() => onChange(shown)}
        onKeyUp={() => shown !== value && onChange(shown)}
      />
      <output htmlFor={id}>{isOwn ? "" : shown.toFixed(2)}</output>
    </div>
  );
}

function Answer({ tried, name }: { tried: Tried; name: string }) {
  const url = useObjectUrl(tried.drawn);
  const found = listFindings(tried.annotations);
  return (
    <div className={styles.answer}>
      {url && <img className={styles.drawn} src={url} alt={`${name} with what was found drawn on it`} />}
      <div>
        <div role="status">
          <h3>{found.length === 0 ? "Nothing was found" : `Found: ${found.length}`}</h3>
        </div>
        <ol className={styles.found}>
          {found.map(({ category, confidence, place }, order) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: the list is only ever replaced as a whole
            <li key={order}>
              <b>{category}</b>
              <span className={styles.confidence}>{confidence.toFixed(2)}</span>
              <span className={styles.bar} aria-hidden="true">
                <span style={{ width: `${confidence * 100}%` }} />
              </span>
              {place && <span className={styles.place}>{place}</span>}
            </li>
          ))}
        </ol>
      </div>
    </div>
  );
}

/** An address of a blob, given back when another takes its place. */
function useObjectUrl(blob: Blob): string | null {
  const [url, setUrl] = useState<string | null>(null);
  useEffect(() => {
    const made = URL.createObjectURL(blob);
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [blob]);
  return url;
}
