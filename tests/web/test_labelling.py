"""Labelling in a browser, down to the frozen version: what was drawn is what training gets."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from editor_page import draw_box, objects, open_editor, wait_until_ready
from platform_process import ROOT, Platform, Watch
from playwright.sync_api import BrowserContext, Locator, Page, expect

pytestmark = pytest.mark.slow

NOBODY_LOOKED = 5  # the first of three pictures that nobody labelled
A_PIXEL = 1.0


@pytest.fixture
def platform(shared_platform: Platform) -> Platform:
    return shared_platform


def test_a_drawn_box_is_saved_shown_again_and_undone(page: Page, platform: Platform) -> None:
    before = platform.read_labels(1)
    open_editor(page, platform.url, 1)
    draw_box(page, 100, 120, 220, 260)
    expect(objects(page)).to_have_count(len(before) + 1)
    expect(page.get_by_text("All saved")).to_be_visible()
    *others, label = platform.read_labels(1)
    assert others == before
    assert label["annotation"]["box_xyxy"] == pytest.approx([100, 120, 220, 260], abs=A_PIXEL)
    assert label["annotation"]["category"] == "RBC"  # the first one
    page.reload()
    wait_until_ready(page)
    expect(objects(page)).to_have_count(len(before) + 1)
    draw_box(page, 300, 120, 400, 260)
    expect(objects(page)).to_have_count(len(before) + 2)
    page.keyboard.press("Control+z")
    expect(objects(page)).to_have_count(len(before) + 1)
    expect(page.get_by_text("All saved")).to_be_visible()
    assert platform.read_labels(1) == [*before, label]


def test_two_tabs_on_one_picture_lose_nothing(page: Page, context: BrowserContext, platform: Platform, watch: Watch) -> None:
    before = platform.read_labels(2)
    open_editor(page, platform.url, 2)
    other = context.new_page()
    open_editor(other, platform.url, 2)
    draw_box(page, 50, 60, 150, 160)
    expect(objects(page)).to_have_count(len(before) + 1)
    expect(page.get_by_text("All saved")).to_be_visible()
    draw_box(other, 300, 200, 420, 330)  # made on a state that is no longer the present one
    expect(objects(other)).to_have_count(len(before) + 2)
    expect(other.get_by_text("All saved")).to_be_visible()
    *others, first, second = platform.read_labels(2)
    assert others == before
    assert first["annotation"]["box_xyxy"] == pytest.approx([50, 60, 150, 160], abs=A_PIXEL)
    assert second["annotation"]["box_xyxy"] == pytest.approx([300, 200, 420, 330], abs=A_PIXEL)
    watch.forget_refusals("409")


def test_the_frozen_version_holds_exactly_what_was_drawn(page: Page, platform: Platform, tmp_path: Path) -> None:
    before = platform.read("/v1/datasets/cells")["annotation_counts"]
    labels_before = platform.read_labels(3)
    open_editor(page, platform.url, 3)
    page.keyboard.press("2")
    draw_box(page, 200, 100, 360, 300)
    expect(objects(page)).to_have_count(len(labels_before) + 1)
    expect(page.get_by_text("All saved")).to_be_visible()
    page.goto(f"{platform.url}/datasets/cells")
    page.get_by_role("button", name="Freeze version").click()
    page.get_by_role("button", name="Freeze", exact=True).click()
    expect(page.get_by_role("dialog")).to_contain_text("sightline show cells")
    show, export = page.get_by_role("dialog").locator("code").filter(has_text="sightline").all_inner_texts()
    shown = run_printed(show, tmp_path)
    assert shown["statistics"]["version"] == platform.read("/v1/datasets/cells")["base_id"]
    assert shown["manifest"]["annotation_counts"] == before | {"WBC": before["WBC"] + 1}
    run_printed(export, tmp_path)
    *others, drawn = find_exported(tmp_path / "cells-coco", "BloodImage_00003.jpg")
    assert len(others) == len(labels_before)
    page.get_by_role("dialog").get_by_role("button", name="Train").click()
    expect(page.get_by_role("dialog", name="Train on cells")).to_contain_text(shown["statistics"]["version"][:12])
    x, y, width, height = drawn["bbox"]
    assert [x, y, x + width, y + height] == pytest.approx([200, 100, 360, 300], abs=A_PIXEL)


def test_the_keyboard_alone_leads_to_a_picture_and_labels_it(page: Page, platform: Platform) -> None:
    tab_to(page.get_by_role("link", name="cells"))
    page.keyboard.press("Enter")
    tab_to(page.get_by_role("grid").get_by_role("link").first)
    page.keyboard.press("Enter")
    wait_until_ready(page)
    before = platform.read_labels(0)
    page.keyboard.press("Control+a")
    page.keyboard.press("Delete")
    expect(objects(page)).to_have_count(0)
    page.keyboard.press("Control+z")
    expect(objects(page)).not_to_have_count(0)
    expect(page.get_by_text("All saved")).to_be_visible()
    assert platform.read_labels(0) == before
    page.keyboard.press("Escape")
    page.keyboard.press("f")
    expect(page).to_have_url(f"{platform.url}/datasets/cells/label/1")


def test_done_marks_a_picture_that_shows_nothing_and_goes_on(page: Page, platform: Platform) -> None:
    page.goto(f"{platform.url}/datasets/cells?state=unlabelled")
    page.get_by_role("link", name="Label these pictures").click()
    wait_until_ready(page)
    page.keyboard.press("s")
    expect(page).to_have_url(f"{platform.url}/datasets/cells/label/{NOBODY_LOOKED + 1}?state=unlabelled")
    wait_until_ready(page)
    item = platform.read(f"/v1/datasets/cells/items/{NOBODY_LOOKED}")
    assert (item["state"], item["labels"]) == ("labelled", [])


def tab_to(target: Locator) -> None:
    """Press the Tab key until the focus is there."""
    target.wait_for()
    for _ in range(30):
        target.page.keyboard.press("Tab")
        if target.evaluate("element => element === document.activeElement"):
            return
    pytest.fail(f"30 presses of Tab do not lead to {target}")


def run_printed(line: str, folder: Path) -> Any:
    """Run a command as the page prints it; what it answers as JSON."""
    program, *words = shlex.split(line)
    assert program == "sightline"
    ended = subprocess.run(
        [sys.executable, "-m", "sightline", *words, "--json"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(ended.stdout.splitlines()[-1])


def find_exported(folder: Path, file_name: str) -> list[Any]:
    """The annotations of a picture in a COCO export, whichever of its files has it."""
    found = []
    for path in folder.rglob("*.json"):
        exported = json.loads(path.read_text())
        ids = {image["id"] for image in exported["images"] if Path(image["file_name"]).name == file_name}
        found += [one for one in exported["annotations"] if one["image_id"] in ids]
    return found
