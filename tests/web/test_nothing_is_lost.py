"""The server is killed while somebody draws: every edit arrives all the same."""

import pytest
from editor_page import draw_box, objects, open_editor
from platform_process import Platform, Watch
from playwright.sync_api import BrowserContext, Page, expect

pytestmark = pytest.mark.slow

UNLABELLED = 5


def test_what_is_drawn_while_the_server_is_away_arrives(
    page: Page, context: BrowserContext, platform: Platform, watch: Watch
) -> None:
    open_editor(page, platform.url, UNLABELLED)
    draw_box(page, 100, 100, 200, 200)
    expect(objects(page)).to_have_count(1)
    expect(page.get_by_text("All saved")).to_be_visible()
    platform.kill()
    draw_box(page, 300, 100, 400, 200)
    draw_box(page, 300, 250, 400, 350)
    expect(objects(page)).to_have_count(3)
    expect(page.get_by_text("Offline: 2 edits wait")).to_be_visible()
    platform.start()
    # The server that runs now has another link; the page waits for it and goes on by itself.
    context.new_page().goto(platform.link)
    page.bring_to_front()
    expect(page.get_by_text("All saved")).to_be_visible()
    expect(objects(page)).to_have_count(3)
    assert len(platform.read_labels(UNLABELLED)) == 3
    watch.forget_refusals()


def test_a_page_that_lost_its_sign_in_goes_on_once_the_new_link_was_opened(
    page: Page, context: BrowserContext, platform: Platform, watch: Watch
) -> None:
    page.goto(f"{platform.url}/datasets/cells")
    pictures = page.get_by_role("grid").get_by_role("link")
    expect(pictures).to_have_count(8)
    platform.stop()
    platform.start()
    page.get_by_role("search").get_by_text("Unlabelled").click()
    expect(page.get_by_role("dialog")).to_contain_text("Open the link again")
    context.new_page().goto(platform.link)
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(pictures).to_have_count(3)
    watch.forget_refusals()


def test_what_a_closed_tab_left_is_sent_on_the_next_visit(
    page: Page, context: BrowserContext, platform: Platform, watch: Watch
) -> None:
    open_editor(page, platform.url, UNLABELLED)
    platform.kill()
    draw_box(page, 100, 100, 200, 200)
    expect(page.get_by_text("Offline: 1 edit waits")).to_be_visible()
    page.on("dialog", lambda dialog: dialog.accept())  # the browser asks whether to leave, since something is not saved
    page.close(run_before_unload=True)
    platform.start()
    again = context.new_page()
    again.goto(platform.link)
    open_editor(again, platform.url, UNLABELLED)
    expect(objects(again)).to_have_count(1)
    assert len(platform.read_labels(UNLABELLED)) == 1
    watch.forget_refusals()
