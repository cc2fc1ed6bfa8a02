"""Keys that somebody chose in the browser."""

import pytest
from editor_page import open_editor, wait_until_ready
from platform_process import Platform
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.slow


@pytest.fixture
def platform(shared_platform: Platform) -> Platform:
    return shared_platform


def test_a_key_can_be_changed_and_stays_so(page: Page, platform: Platform) -> None:
    open_editor(page, platform.url, 1)
    box = page.get_by_role("button", name="Box").first
    page.keyboard.press("?")
    page.get_by_role("button", name="Change keys").click()
    row = page.get_by_role("button", name="Change the key of: Box", exact=True)
    row.click()
    expect(row).to_have_text("Press a key")
    page.keyboard.press("v")
    expect(page.get_by_role("status").filter(has_text="V is already: Select.")).to_be_visible()
    row.click()
    page.keyboard.press("Escape")
    expect(row).to_have_text("B")
    row.click()
    page.keyboard.press("x")
    expect(row).to_have_text("X")
    page.get_by_role("button", name="Close").first.click()
    page.keyboard.press("b")
    expect(box).not_to_have_attribute("aria-pressed", "true")
    page.keyboard.press("x")
    expect(box).to_have_attribute("aria-pressed", "true")
    page.reload()
    wait_until_ready(page)
    page.keyboard.press("x")
    expect(box).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("?")
    page.get_by_role("button", name="Change keys").click()
    page.get_by_role("button", name="Reset all keys").click()
    expect(row).to_have_text("B")
