"""Masks that are found rather than drawn: the smart mask, which the server cuts out, and the wand, which the page does."""

import numpy as np
import pytest
from editor_page import find_picture, objects, open_editor
from platform_process import HEIGHT, WIDTH, Platform
from playwright.sync_api import Page, expect

from sightline.core.annotations import MaskRle
from sightline.imaging.masks import decode_mask

pytestmark = pytest.mark.slow

EMPTY = 5  # a picture of blood cells that nobody labelled
CELL = (230, 288, 441, 478)  # around its white blood cell, which is the only dark one


@pytest.fixture
def platform(shared_platform: Platform) -> Platform:
    return shared_platform


def test_a_cell_is_cut_out_of_a_box_and_kept_as_a_mask_or_as_its_outline(page: Page, platform: Platform) -> None:
    open_editor(page, platform.url, EMPTY)
    before = objects(page).count()
    cut(page)
    assert platform.read_labels(EMPTY) == []  # nothing is stored before it is kept
    page.keyboard.press("Enter")
    expect(objects(page)).to_have_count(before + 1)
    expect(page.get_by_text("All saved")).to_be_visible()
    mask = decode_mask(MaskRle(**platform.read_labels(EMPTY)[-1]["annotation"]["mask"]))
    assert mask.shape == (HEIGHT, WIDTH)
    rows, columns = np.nonzero(mask)
    assert rows.min() >= CELL[1] - 1 and columns.min() >= CELL[0] - 1  # no pixel beyond the box
    assert 0.3 < mask.sum() / ((CELL[2] - CELL[0]) * (CELL[3] - CELL[1])) < 0.95
    page.keyboard.press("Delete")
    cut(page)
    page.keyboard.press("Shift+Enter")
    expect(page.get_by_text("All saved")).to_be_visible()
    polygons = platform.read_labels(EMPTY)[-1]["annotation"]["polygons"]
    assert len(polygons[0]) >= 6
    page.keyboard.press("Delete")
    expect(objects(page)).to_have_count(before)


def test_what_escape_drops_leaves_nothing(page: Page, platform: Platform) -> None:
    open_editor(page, platform.url, EMPTY + 1)
    cut(page)
    page.keyboard.press("Escape")
    expect(page.get_by_text("keeps the mask")).to_be_hidden()
    expect(objects(page)).to_have_count(0)


def test_the_wand_takes_what_is_joined_by_its_colour(page: Page, platform: Platform) -> None:
    open_editor(page, platform.url, EMPTY + 2)
    left, top, scale = find_picture(page)
    page.keyboard.press("w")
    page.mouse.click(left + 290 * scale, top + 190 * scale)
    expect(page.get_by_text("keeps the mask")).to_be_visible()
    tolerance = page.get_by_label("Tolerance of the wand")
    before = int(tolerance.input_value())
    page.keyboard.down("Shift")
    page.mouse.wheel(0, -100)
    page.keyboard.up("Shift")
    expect(tolerance).not_to_have_value(str(before))
    page.keyboard.press("Enter")
    expect(objects(page)).to_have_count(1)
    expect(page.get_by_text("All saved")).to_be_visible()
    mask = decode_mask(MaskRle(**platform.read_labels(EMPTY + 2)[-1]["annotation"]["mask"]))
    assert mask[190, 290]


def cut(page: Page) -> None:
    """Draw the box with the smart mask, and wait for what it finds."""
    left, top, scale = find_picture(page)
    page.keyboard.press("g")
    page.mouse.move(left + CELL[0] * scale, top + CELL[1] * scale)
    page.mouse.down()
    page.mouse.move(left + CELL[2] * scale, top + CELL[3] * scale, steps=3)
    page.mouse.up()
    expect(page.get_by_text("keeps the mask")).to_be_visible()
