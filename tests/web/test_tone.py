"""How a picture is shown: brighter, with more contrast, inverted; by keys and sliders, kept by the browser for the dataset."""

import pytest
from editor_page import open_editor, wait_until_ready
from platform_process import Platform
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.slow

EMPTY = 5
PIXELS = "[data-stage] canvas:nth-of-type(1)"


@pytest.fixture
def platform(shared_platform: Platform) -> Platform:
    return shared_platform


def test_a_tone_is_shown_kept_by_the_browser_and_taken_back(page: Page, platform: Platform) -> None:
    open_editor(page, platform.url, EMPTY)
    assert read_filter(page) == "none"
    plain = page.locator(PIXELS).screenshot()
    page.keyboard.press("i")
    assert "url(" in read_filter(page)
    assert page.locator(PIXELS).screenshot() != plain
    page.reload()
    wait_until_ready(page)
    assert "url(" in read_filter(page)
    page.keyboard.press("l")
    expect(page.get_by_label("Inverted")).to_be_checked()
    page.get_by_label("Contrast", exact=True).focus()
    page.keyboard.press("ArrowRight")  # the slider's, not the next picture
    assert page.url.endswith(f"/label/{EMPTY}")
    page.keyboard.press("j")  # back to the contrast that the picture has
    page.keyboard.press("i")
    assert read_filter(page) == "none"
    page.get_by_role("button", name="Auto").click()
    assert "url(" in read_filter(page)
    page.get_by_role("button", name="Reset").click()
    assert read_filter(page) == "none"


def read_filter(page: Page) -> str:
    return str(page.locator(PIXELS).evaluate("canvas => getComputedStyle(canvas).filter"))
