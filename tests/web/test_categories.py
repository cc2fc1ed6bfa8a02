"""The panel of categories in a browser."""

import pytest
from platform_process import Platform, Watch
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.slow


def test_categories_are_added_renamed_and_removed(page: Page, platform: Platform, watch: Watch) -> None:
    page.goto(f"{platform.url}/datasets/cells")
    panel = page.get_by_role("region", name="Categories")
    panel.get_by_label("Name of a new category").fill("parasite")
    panel.get_by_role("button", name="Add").click()
    expect(panel).to_contain_text("parasite")
    panel.get_by_role("button", name="Rename RBC").focus()
    page.keyboard.press("Enter")
    panel.get_by_label("New name of RBC").fill("red cell")
    page.keyboard.press("Enter")
    expect(panel.get_by_role("button", name="Rename red cell")).to_be_attached()
    panel.get_by_role("button", name="Remove red cell").focus()
    page.keyboard.press("Enter")
    expect(panel.get_by_role("alert")).to_contain_text("red cell")  # the server's own words: it is in use
    panel.get_by_role("button", name="Remove parasite").focus()
    page.keyboard.press("Enter")
    expect(panel).not_to_contain_text("parasite")
    assert [one["name"] for one in platform.read("/v1/datasets/cells")["categories"]] == ["red cell", "WBC", "Platelets"]
    watch.forget_refusals("409")
