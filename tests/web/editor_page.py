"""The editor as a person uses it in the tests: boxes drawn with the mouse, and what is told of saving."""

import re
from urllib.parse import urlsplit

from platform_process import HEIGHT, WIDTH
from playwright.sync_api import Locator, Page, expect

MARGIN = 16  # around a picture that fits the canvas, as the editor has it


def open_editor(page: Page, url: str, position: int) -> None:
    """The editor of a picture of `cells`, ready to draw."""
    page.goto(f"{url}/datasets/cells/label/{position}")
    wait_until_ready(page)


def wait_until_ready(page: Page) -> None:
    """The picture that the address names is there, with its labels; until then the one before it is."""
    page.locator("[data-stage=ready]").wait_for()
    number = int(urlsplit(page.url).path.rpartition("/")[2]) + 1
    expect(page.get_by_role("navigation", name="Pictures")).to_contain_text(re.compile(rf"\b{number} of "))
    expect(page.get_by_text("Loading the picture")).to_have_count(0)
    expect(page.get_by_text("All saved")).to_be_visible()


def draw_box(page: Page, x_min: float, y_min: float, x_max: float, y_max: float) -> None:
    """Drag a box with the box tool; in pixels of the picture, which fits the canvas."""
    page.keyboard.press("b")
    left, top, scale = find_picture(page)
    page.mouse.move(left + x_min * scale, top + y_min * scale)
    page.mouse.down()
    page.mouse.move(left + (x_min + x_max) / 2 * scale, top + (y_min + y_max) / 2 * scale)
    page.mouse.move(left + x_max * scale, top + y_max * scale)
    page.mouse.up()


def find_picture(page: Page) -> tuple[float, float, float]:
    """Where the corner of a picture that fits the canvas lies on the screen, and its scale: from the canvas's size."""
    stage = page.get_by_label("Picture with its labels").bounding_box()
    assert stage is not None
    scale = min((stage["width"] - 2 * MARGIN) / WIDTH, (stage["height"] - 2 * MARGIN) / HEIGHT)
    left = stage["x"] + (stage["width"] - WIDTH * scale) / 2
    top = stage["y"] + (stage["height"] - HEIGHT * scale) / 2
    return left, top, scale


def objects(page: Page) -> Locator:
    """The rows of the list of labels."""
    return page.get_by_role("listbox", name="Labels of this picture").get_by_role("option")
