import { useId } from "react";
import { isPlain, PLAIN, TONE_LIMITS } from "../../canvas/tone";
import type { Editor } from "../../editor/editor";
import { Button, IconButton } from "../../ui/button";
import { keyOf } from "./key-names";
import styles from "./tone-panel.module.css";
import type { ToneControl } from "./use-tone";

/** Sliders of how the picture is shown; the data stay as they are. */
export function TonePanel({ editor, control }: { editor: Editor; control: ToneControl }) {
  const { tone, change, stretch, toggle, invert } = control;
  return (
    <section className={styles.panel} aria-label="How the picture is shown">
      <header className={styles.head}>
        <h2>Shown as</h2>
        <IconButton icon="close" label={`Close (${keyOf(editor, "showTone")})`} onClick={toggle} />
      </header>
      <Slider
        name="Brightness"
        limits={TONE_LIMITS.brightness}
        value={tone.brightness}
        words={`${Math.round(200 * tone.brightness)} %`}
        onChange={(brightness) => change({ ...tone, brightness })}
      />
      <Slider
        name="Contrast"
        limits={TONE_LIMITS.contrast}
        value={tone.contrast}
        words={`× ${(2 ** tone.contrast).toPrecision(2)}`}
        onChange={(contrast) => change({ ...tone, contrast })}
      />
      <Slider
        name="Gamma"
        limits={TONE_LIMITS.gamma}
        value={tone.gamma}
        words={(2 ** tone.gamma).toPrecision(2)}
        onChange={(gamma) => change({ ...tone, gamma })}
      />
      <label className={styles.invert}>
        <input type="checkbox" checked={tone.inverts} onChange={invert} />
        Inverted <kbd>{keyOf(editor, "invertTone")}</kbd>
      </label>
      <div className={styles.buttons}>
        <Button
          title={`Stretch what is seen to the whole range, or back (${keyOf(editor, "stretchTone")})`}
          onClick={stretch}
        >
          Auto
        </Button>
        <Button disabled={isPlain(tone)} onClick={() => change(PLAIN)}>
          Reset
        </Button>
      </div>
      <p className={styles.note}>For this dataset, in this browser. The pictures stay as they are.</p>
    </section>
  );
}

type SliderProps = {
  name: string;
  limits: readonly [number, number];
  value: number;
  words: string;
  onChange: (value: number) => void;
};

/** A double click puts it back to the middle. */
function Slider({ name, limits: [least, most], value, words, onChange }: SliderProps) {
  const id = useId();
  return (
    <div className={styles.slider}>
      <label htmlFor={id}>{name}</label>
      <output htmlFor={id}>{words}</output>
      <input
        id={id}
        type="range"
        min={least}
        max={most}
        step={(most - least) / 200}
        value={value}
        aria-valuetext={words}
        onChange={(event) => onChange(Number(event.target.value))}
        onDoubleClick={() => onChange(0)}
      />
    </div>
  );
}
