"""The canvas in a browser: an edit speaks of what is seen under the pointer, and moving is as exact as painting anew."""

import base64
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest
from platform_process import Platform
from playwright.sync_api import Browser, BrowserContext, Page, expect

from sightline.core.annotations import Annotation
from sightline.core.workspace import Workspace
from sightline.data.importing import SourceItem, import_dataset

pytestmark = pytest.mark.slow

SQUARE = (211, 133, 390, 287)  # of white pixels, on black ones
SIZE = (640, 480)
A_BIT = 0.6  # pixels of the picture
SHAPES = "[data-stage] canvas:nth-of-type(2)"


@pytest.fixture(scope="module")
def square_platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A server with the dataset `square`: one picture with nothing on it but a square, and a hundred polygons around."""
    folder = tmp_path_factory.mktemp("square")
    image = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    image[SQUARE[1] : SQUARE[3], SQUARE[0] : SQUARE[2]] = 255
    cv2.imwrite(str(folder / "square.png"), image)
    item = SourceItem(
        file_name="square.png", path=folder / "square.png", split="train", annotations=make_triangles(), seen_by="human"
    )
    import_dataset([item], Workspace(folder / "workspace"), "square", categories=["dent"], split="given")
    platform = Platform(folder / "workspace")
    platform.start()
    yield platform
    platform.stop()


@pytest.fixture
def platform(square_platform: Platform) -> Platform:
    return square_platform


@pytest.fixture(params=[1, 1.25, 2], ids=lambda ratio: f"{ratio} device pixels")
def context(request: pytest.FixtureRequest, browser: Browser) -> Iterator[BrowserContext]:
    """Screens of several densities."""
    size = {"width": 1280, "height": 720}
    # What lies around the picture is dark, too, so that the square is the only thing that is bright.
    context = browser.new_context(
        viewport=size, device_scale_factor=request.param, color_scheme="dark", reduced_motion="reduce"
    )
    yield context
    context.close()


def test_a_box_is_where_it_was_drawn_however_the_picture_lies(page: Page, platform: Platform) -> None:
    open_square(page, platform)
    page.mouse.move(500, 300)
    for _ in range(3):
        page.mouse.wheel(0, -50)
    drag(page, (500, 300), (537, 281), button="middle")
    page.keyboard.press("h")  # the labels would cover the square
    left, top, right, bottom = find_square(page)
    page.keyboard.press("b")
    count = len(read_labels(platform))
    drag(page, (left, top), (right, bottom))
    page.keyboard.press("h")
    page.get_by_role("tab", name=f"Labels {count + 1}").wait_for()
    expect(page.get_by_text("All saved")).to_be_visible()
    drawn = read_labels(platform)[-1]["annotation"]["box_xyxy"]
    assert drawn == pytest.approx(SQUARE, abs=A_BIT)


def test_a_moved_picture_looks_as_if_it_were_painted_anew(page: Page, platform: Platform) -> None:
    open_square(page, platform)
    page.mouse.move(500, 300)
    page.mouse.wheel(0, -200)
    for step in range(8):
        drag(page, (500, 300), (500 + 7 * step, 300 - 5 * step), button="middle")
    page.keyboard.press("v")
    page.mouse.move(5, 500)  # away from the shapes
    moved = read_shapes(page)
    page.keyboard.press("h")
    page.keyboard.press("h")
    again = read_shapes(page)
    assert moved[..., 3].max() > 0
    # Edges are smoothed to another bit where a path's clip lies elsewhere.
    assert (np.abs(moved.astype(int) - again).max(axis=2) > 96).mean() < 1e-4


def make_triangles() -> list[Annotation]:
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 60, (100, 3, 2)) + rng.uniform(0, 1, (100, 1, 2)) * (SIZE[0] - 60, SIZE[1] - 60)
    return [Annotation(category="dent", polygons=(tuple(ring.ravel().tolist()),)) for ring in corners.round(2)]


def open_square(page: Page, platform: Platform) -> None:
    page.goto(f"{platform.url}/datasets/square/label/0")
    page.locator("[data-stage=ready]").wait_for()


def read_labels(platform: Platform) -> list[Any]:
    labels: list[Any] = platform.read("/v1/datasets/square/items/0")["labels"]
    return labels


def drag(page: Page, start: tuple[float, float], end: tuple[float, float], button: Any = "left") -> None:
    page.mouse.move(*start)
    page.mouse.down(button=button)
    page.mouse.move((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
    page.mouse.move(*end)
    page.mouse.up(button=button)


def find_square(page: Page) -> tuple[float, float, float, float]:
    """Where the square's edges are seen, in CSS pixels of the page: from a screenshot, between the pixels of the screen."""
    paint(page)
    shot = cv2.imdecode(np.frombuffer(page.screenshot(), np.uint8), cv2.IMREAD_GRAYSCALE).astype(float) / 255
    stage = page.locator("[data-stage]").bounding_box()
    assert stage is not None
    ratio = page.evaluate("devicePixelRatio")
    left, top = round(stage["x"] * ratio), round(stage["y"] * ratio)
    seen = shot[top:, left : left + int(stage["width"] * ratio)]
    rows, columns = np.nonzero(seen > 0.95)
    across, down = seen[int(np.median(rows))], seen[:, int(np.median(columns))]
    x = [find_edge(across, rising=True), find_edge(across, rising=False)]
    y = [find_edge(down, rising=True), find_edge(down, rising=False)]
    return (left + x[0]) / ratio, (top + y[0]) / ratio, (left + x[1]) / ratio, (top + y[1]) / ratio


def find_edge(values: Any, rising: bool) -> float:
    """Where the gray values of a line that crosses the square pass the middle."""
    bright = np.flatnonzero(values > 0.95)
    at, step = (int(bright[0]), -1) if rising else (int(bright[-1]), 1)
    while values[at + step] > 0.5:
        at += step
    inside, outside = values[at], values[at + step]
    return float(at + 0.5 + step * (inside - 0.5) / max(1e-6, inside - outside))


def read_shapes(page: Page) -> Any:
    """The pixels of the canvas of shapes, colours times opacity."""
    paint(page)
    url = page.evaluate(f"document.querySelector('{SHAPES}').toDataURL()")
    pixels = cv2.imdecode(np.frombuffer(base64.b64decode(url.split(",")[1]), np.uint8), cv2.IMREAD_UNCHANGED)
    assert pixels is not None
    pixels[..., :3] = pixels[..., :3] * (pixels[..., 3:] / 255.0)
    return pixels


def paint(page: Page) -> None:
    """Let the page paint what it was told."""
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 150))))")
