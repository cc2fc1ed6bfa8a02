"""How fast the labelling editor is with many polygons, beside the same scene in plain SVG under React, in one browser.

    python benchmarks/label_editor.py [--chromium /usr/bin/chromium] [--polygons 300 1000 3000]

Builds the web app as it is shipped and serves it with one generated picture of polygons of 20 points. A real pointer, driven
by Playwright, moves the picture, zooms it, drags a vertex and chooses shapes, in headless Chromium without a GPU and without a
limit of frames. A frame's time runs from the start of its first pointer event to the start of the next frame, its events or
its animation callbacks: handlers, painting, layout, and putting the page together, as far as the next frame waits for it. The
peer (`web/bench/peer.tsx`) is the same scene with a `path` element for each polygon behind `React.memo`, without panels around
it. Both take turns, `--rounds` times. The last line is one JSON object.
"""

import argparse
import statistics
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from editor_server import SCENE_SIZE, EditorServer, make_scene
from harness import judge, print_result, run_main

WEB = Path(__file__).resolve().parents[1] / "web"
VIEWPORT = {"width": 1488, "height": 848}  # leaves 1,148 x 800 to the canvas
FRAMES = 90  # at least, of each gesture
MOST_STEPS = 900
GESTURES = ("pan", "zoom", "vertex", "select")
TARGETS = {"pan": 16.0, "vertex": 5.0}
CHROMIUM_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-frame-rate-limit", "--disable-gpu-vsync"]

# Times of the frames in which a pointer event was handled. Events of a frame come just before its animation callbacks.
WATCH = """
window.frames_ms = [];
let first = null;
let painted = null;
const end = () => {
  if (painted !== null) window.frames_ms.push(performance.now() - painted);
  painted = null;
};
const begin = () => {
  if (first !== null) return;
  end();
  first = performance.now();
};
for (const kind of ["pointerdown", "pointermove", "wheel"]) {
  window.addEventListener(kind, begin, { capture: true, passive: true });
}
const watch = () => {
  end();
  painted = first;
  first = null;
  requestAnimationFrame(watch);
};
requestAnimationFrame(watch);
"""


def main() -> None:
    args = parse_arguments()
    with tempfile.TemporaryDirectory(prefix="sightline-editor-") as folder:
        pages = build_pages(Path(folder))
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=args.chromium, args=CHROMIUM_ARGUMENTS)
            results = {count: measure(browser, pages, count, args.rounds) for count in args.polygons}
            version = browser.version
            browser.close()
    most = results[max(results)]
    for count, row in results.items():
        print(f"{count} polygons: " + ", ".join(f"{name} {row['editor'][name]} (SVG {row['svg'][name]})" for name in GESTURES))
    print_result(
        "label_editor",
        counted="ms from a frame's first pointer event to the start of the next frame, medians",
        chromium=version,
        viewport=VIEWPORT,
        rounds=args.rounds,
        polygons={str(count): row for count, row in results.items()},
        targets=judge({name: (limit, "<=", most["editor"][name]) for name, limit in TARGETS.items()}),
    )


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chromium", help="path of the browser; Playwright's own by default")
    parser.add_argument("--polygons", type=int, nargs="+", default=[300, 1000, 3000])
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


def build_pages(folder: Path) -> Path:
    """The app as it is shipped, and the peer's page, in one folder."""
    if not (WEB / "node_modules").exists():
        subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=WEB, check=True, capture_output=True)
    for arguments in (
        ["--outDir", str(folder / "app")],
        ["--config", "bench/vite.config.ts", "--outDir", str(folder / "peer")],
    ):
        command = ["npx", "vite", "build", "--emptyOutDir", *arguments]
        subprocess.run(command, cwd=WEB, check=True, capture_output=True)
    return folder


def measure(browser: Browser, pages: Path, count: int, rounds: int) -> dict[str, Any]:
    """Medians of each gesture in the editor and the peer, and the medians of the ratios of the rounds."""
    scene = make_scene(count)
    rows: dict[str, list[dict[str, float]]] = {"editor": [], "svg": []}
    with EditorServer({"bench": [scene]}, pages / "app", pages / "peer") as server:
        for _ in range(rounds):
            rows["editor"].append(time_page(browser, f"{server.url}/datasets/bench/label/0", scene.labels))
            rows["svg"].append(time_page(browser, f"{server.url}/peer/peer.html", scene.labels))
    result: dict[str, Any] = {
        name: {gesture: round(statistics.median(row[gesture] for row in taken), 2) for gesture in GESTURES}
        for name, taken in rows.items()
    }
    result["svg_over_editor"] = {
        gesture: round(statistics.median(b[gesture] / a[gesture] for a, b in zip(rows["editor"], rows["svg"], strict=True)), 2)
        for gesture in GESTURES
    }
    return result


def time_page(browser: Browser, url: str, labels: list[dict[str, Any]]) -> dict[str, float]:
    """Median ms of a frame of each gesture."""
    page = browser.new_page(viewport=VIEWPORT)
    page.add_init_script(WATCH)
    page.goto(url)
    stage = page.locator("[data-stage]")
    stage.wait_for()
    page.wait_for_function("document.querySelector('[data-stage]').dataset.stage === 'ready'")
    page.wait_for_timeout(500)
    box = stage.bounding_box()
    assert box is not None
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    times = {
        "select": time_frames(page, "select", lambda: click_shapes(page, box, labels)),
        "vertex": time_frames(page, "vertex", lambda: drag_vertex(page)),
        "pan": time_frames(page, "pan", lambda: drag(page, middle, button="middle")),
        "zoom": time_frames(page, "zoom", lambda: turn_wheel(page, middle)),
    }
    page.close()
    return times


def time_frames(page: Page, name: str, gesture: Callable[[], None]) -> float:
    page.evaluate("window.frames_ms.length = 0")
    gesture()
    page.wait_for_timeout(200)
    frames = page.evaluate("window.frames_ms")
    if len(frames) < FRAMES:
        raise SystemExit(
            f"expected at least {FRAMES} frames of `{name}` at {page.url}, got {len(frames)}; run it on an idle machine"
        )
    return float(statistics.median(frames))


def repeat(page: Page, step: Callable[[int], None]) -> None:
    """Take steps as fast as the page takes them, so that each frame waits for the one before, until there are enough frames."""
    for count in range(MOST_STEPS):
        step(count)
        if count % 30 == 29 and page.evaluate("window.frames_ms.length") >= FRAMES:
            return


def drag(page: Page, start: tuple[float, float], button: Any = "left") -> None:
    """There and back along a line; each step is a pointer event of its own."""

    def step(count: int) -> None:
        distance = 3 * abs((count + 45) % 90 - 45)
        page.mouse.move(start[0] + distance, start[1] + distance / 2)

    page.mouse.move(*start)
    page.mouse.down(button=button)
    repeat(page, step)
    page.mouse.up(button=button)


def turn_wheel(page: Page, at: tuple[float, float]) -> None:
    page.mouse.move(*at)
    repeat(page, lambda count: page.mouse.wheel(0, -60 if count % 30 < 15 else 60))


def click_shapes(page: Page, box: Any, labels: list[dict[str, Any]]) -> None:
    """Choose one shape after the other; the last one stays chosen."""
    places = [to_screen(box, label["annotation"]["polygons"][0]) for label in labels]
    repeat(page, lambda count: page.mouse.click(*places[37 * count % len(places)]))


def to_screen(box: Any, ring: list[float]) -> tuple[float, float]:
    """The middle of a ring, in a picture that fills the canvas but for a margin of 16 px."""
    width, height = SCENE_SIZE
    scale = min((box["width"] - 32) / width, (box["height"] - 32) / height)
    x, y = statistics.mean(ring[0::2]), statistics.mean(ring[1::2])
    return (
        box["x"] + (box["width"] - width * scale) / 2 + x * scale,
        box["y"] + (box["height"] - height * scale) / 2 + y * scale,
    )


def drag_vertex(page: Page) -> None:
    handle = page.locator("[data-stage] svg circle").first
    box = handle.bounding_box()
    assert box is not None
    drag(page, (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2))


if __name__ == "__main__":
    run_main(main)
