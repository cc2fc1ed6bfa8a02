import { useId } from "react";
import { MOST_TOLERANCE } from "../../editor/actions";
import type { Editor } from "../../editor/editor";
import type { ActionName } from "../../editor/keys";
import type { ToolName } from "../../editor/tool";
import { Icon, type IconName } from "../../ui/icon";
import { keyOf } from "./key-names";
import styles from "./tool-bar.module.css";
import { useSnapshot } from "./use-editor";

const TOOLS: readonly { tool: ToolName; action: ActionName; icon: IconName; label: string }[] = [
  { tool: "select", action: "selectTool", icon: "select", label: "Select" },
  { tool: "box", action: "boxTool", icon: "box", label: "Box" },
  { tool: "polygon", action: "polygonTool", icon: "polygon", label: "Polygon" },
  { tool: "smart", action: "smartTool", icon: "smart", label: "Smart mask" },
  { tool: "wand", action: "wandTool", icon: "wand", label: "Wand" },
  { tool: "brush", action: "brushTool", icon: "brush", label: "Brush" },
  { tool: "eraser", action: "eraserTool", icon: "eraser", label: "Eraser" },
];
const LARGEST_BRUSH = 200;

export function ToolBar({ editor }: { editor: Editor }) {
  const tool = useSnapshot(editor, (snapshot) => snapshot.tool);
  const canUndo = useSnapshot(editor, (snapshot) => snapshot.canUndo);
  const canRedo = useSnapshot(editor, (snapshot) => snapshot.canRedo);
  return (
    <div className={styles.bar} role="toolbar" aria-label="Tools" aria-orientation="vertical">
      {TOOLS.map((row) => (
        <ToolButton
          key={row.tool}
          icon={row.icon}
          label={row.label}
          keys={keyOf(editor, row.action)}
          isPressed={tool === row.tool}
          onClick={() => editor.selectTool(row.tool)}
        />
      ))}
      {(tool === "brush" || tool === "eraser") && <BrushSize editor={editor} />}
      {tool === "wand" && <Tolerance editor={editor} />}
      <span className={styles.gap} />
      <ToolButton icon="undo" label="Undo" keys={keyOf(editor, "undo")} disabled={!canUndo} onClick={editor.undo} />
      <ToolButton icon="redo" label="Redo" keys={keyOf(editor, "redo")} disabled={!canRedo} onClick={editor.redo} />
    </div>
  );
}

type ToolButtonProps = {
  icon: IconName;
  label: string;
  keys: string;
  isPressed?: boolean;
  disabled?: boolean;
  onClick: () => void;
};

function ToolButton({ icon, label, keys, isPressed, disabled, onClick }: ToolButtonProps) {
  return (
    <button
      type="button"
      className={styles.tool}
      aria-label={label}
      aria-pressed={isPressed}
      aria-keyshortcuts={keys.replace("Ctrl", "Control")}
      title={`${label} (${keys})`}
      disabled={disabled}
      onClick={onClick}
    >
      <Icon name={icon} size={18} />
      {keys.length === 1 && (
        <span className={styles.key} aria-hidden="true">
          {keys}
        </span>
      )}
    </button>
  );
}

function Tolerance({ editor }: { editor: Editor }) {
  const tolerance = useSnapshot(editor, (snapshot) => snapshot.tolerance);
  return (
    <Dial
      label="Tolerance of the wand"
      hint="How different a colour the wand takes ([ and ], Shift + wheel)"
      value={(100 * tolerance) / MOST_TOLERANCE}
      words={String(tolerance)}
      meaning={`${tolerance} of 255 levels`}
      onTurn={(value) => editor.setTolerance((value / 100) * MOST_TOLERANCE)}
    />
  );
}

function BrushSize({ editor }: { editor: Editor }) {
  const radius = useSnapshot(editor, (snapshot) => snapshot.brushRadius);
  const diameter = Math.round(radius * 2);
  return (
    <Dial
      label="Size of the brush"
      hint="Size of the brush, pixels of the picture ([ and ], Shift + wheel)"
      // The small sizes need the finer steps.
      value={100 * Math.sqrt(radius / LARGEST_BRUSH)}
      words={String(diameter)}
      meaning={`${diameter} pixels`}
      onTurn={(value) => editor.setBrushRadius(Math.max(0.5, LARGEST_BRUSH * (value / 100) ** 2))}
    />
  );
}

type DialProps = {
  label: string;
  hint: string;
  /** Percent of the dial's way. */
  value: number;
  words: string;
  meaning: string;
  onTurn: (value: number) => void;
};

function Dial({ label, hint, value, words, meaning, onTurn }: DialProps) {
  const id = useId();
  return (
    <div className={styles.brush} title={hint}>
      <label htmlFor={id} className="visually-hidden">
        {label}
      </label>
      <input
        id={id}
        type="range"
        className={styles.range}
        min={0}
        max={100}
        value={Math.round(value)}
        aria-valuetext={meaning}
        onChange={(event) => onTurn(Number(event.target.value))}
      />
      <output htmlFor={id}>{words}</output>
    </div>
  );
}
