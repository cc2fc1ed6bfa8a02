/** The drawing tools and the state of the one in hand; every other one rests in its first state. */
import type { Tool, ToolContext, ToolEvent, ToolName, ToolStep } from "./tool";
import { boxTool } from "./tools/box";
import { brushTool, eraserTool } from "./tools/brush";
import { polygonTool } from "./tools/polygon";
import { selectTool } from "./tools/select";
import { smartTool } from "./tools/smart";
import { wandTool } from "./tools/wand";

/** A tool with its state inside, so that tools with different states fit one list. */
type Held = {
  readonly name: ToolName;
  readonly cursor: string;
  readonly isBusy: boolean;
  readonly step: (event: ToolEvent, context: ToolContext) => { readonly held: Held; readonly step: ToolStep<unknown> };
};

function hold<State>(tool: Tool<State>, state: State): Held {
  return {
    name: tool.name,
    cursor: tool.cursor,
    isBusy: tool.isBusy(state),
    step: (event, context) => {
      const step = tool.step(state, event, context);
      return { held: hold(tool, step.state), step };
    },
  };
}

const TOOLS: Readonly<Record<ToolName, () => Held>> = {
  select: () => hold(selectTool, selectTool.initial),
  box: () => hold(boxTool, boxTool.initial),
  polygon: () => hold(polygonTool, polygonTool.initial),
  smart: () => hold(smartTool, smartTool.initial),
  wand: () => hold(wandTool, wandTool.initial),
  brush: () => hold(brushTool, brushTool.initial),
  eraser: () => hold(eraserTool, eraserTool.initial),
};

export class Toolbox {
  #held: Held = TOOLS.select();
  /** The tool that "repeat" takes in hand again. */
  lastDrawing: ToolName = "box";

  get name(): ToolName {
    return this.#held.name;
  }

  get cursor(): string {
    return this.#held.cursor;
  }

  get isBusy(): boolean {
    return this.#held.isBusy;
  }

  take(name: ToolName): void {
    this.#held = TOOLS[name]();
    if (name !== "select") this.lastDrawing = name;
  }

  step(event: ToolEvent, context: ToolContext): ToolStep<unknown> {
    const { held, step } = this.#held.step(event, context);
    this.#held = held;
    return step;
  }
}
