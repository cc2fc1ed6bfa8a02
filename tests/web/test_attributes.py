"""Attributes of a picture, set, changed, undone and taken away in the editor."""

import pytest
from editor_page import open_editor, wait_until_ready
from platform_process import Platform
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.slow

NOBODY_LOOKED = 5  # the first of three pictures that nobody labelled


def read_item(platform: Platform, page: Page) -> dict[str, object]:
    answer = page.request.get(f"{platform.url}/v1/datasets/cells/items/{NOBODY_LOOKED}")
    return dict(answer.json())


def test_attributes_are_kept_and_do_not_say_that_anybody_looked(page: Page, platform: Platform) -> None:
    open_editor(page, platform.url, NOBODY_LOOKED)
    page.get_by_role("tab", name="Labels").press("ArrowRight")
    expect(page.get_by_role("tab", name="Attributes")).to_be_focused()
    rows = page.get_by_role("list", name="Attributes of this picture").get_by_role("listitem")
    name, value = page.get_by_label("Name of a new attribute"), page.get_by_label("Value of a new attribute")
    for key, text in {"line": "3", "day": "28 b"}.items():
        name.fill(key)
        value.fill(text)
        value.press("Enter")
    expect(rows).to_have_count(2)
    expect(name).to_have_value("")
    name.fill("line")
    expect(page.get_by_role("alert")).to_contain_text("has “line” already")
    name.fill("")
    line = page.get_by_label("Value of line")
    line.fill("4")
    line.press("Escape")
    expect(line).to_have_value("3")
    line.fill("5")
    line.press("Enter")
    expect(page.get_by_text("All saved")).to_be_visible()
    item = read_item(platform, page)
    assert (item["attributes"], item["state"], item["revision"]) == ({"day": "28 b", "line": "5"}, "unlabelled", 3)
    page.keyboard.press("Control+z")
    expect(line).to_have_value("3")
    page.get_by_role("button", name="Remove day").click()
    expect(rows).to_have_count(1)
    expect(page.get_by_text("All saved")).to_be_visible()
    page.reload()
    wait_until_ready(page)
    page.get_by_role("tab", name="Attributes").click()
    expect(line).to_have_value("3")
    page.get_by_role("tab", name="History").click()
    expect(page.get_by_text("removed attribute day")).to_be_visible()
    page.get_by_role("button", name="Restore the labels after: set attribute day").click()
    page.get_by_role("tab", name="Attributes").click()
    expect(page.get_by_label("Value of day")).to_have_value("28 b")
    assert read_item(platform, page)["attributes"] == {"day": "28 b", "line": "3"}
