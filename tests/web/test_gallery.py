"""The gallery in a browser: filters that live in the address, the keyboard, what is not there."""

import pytest
from editor_page import wait_until_ready
from platform_process import Platform, Watch
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.slow


@pytest.fixture
def platform(shared_platform: Platform) -> Platform:
    return shared_platform


@pytest.fixture
def gallery(page: Page, platform: Platform) -> Page:
    page.goto(f"{platform.url}/datasets/cells")
    expect(page.get_by_role("grid").get_by_role("link")).to_have_count(8)
    return page


def test_filters_narrow_the_pictures_and_survive_a_reload(gallery: Page, platform: Platform) -> None:
    pictures = gallery.get_by_role("grid").get_by_role("link")
    gallery.get_by_role("search").get_by_text("Unlabelled").click()
    expect(pictures).to_have_count(3)
    gallery.get_by_label("Split").select_option("val")
    expect(pictures).to_have_count(2)  # of the pictures 5, 6, 7, those with odd numbers
    expect(gallery).to_have_url(f"{platform.url}/datasets/cells?state=unlabelled&split=val")
    gallery.reload()
    expect(pictures).to_have_count(2)
    gallery.get_by_label("File name").fill("no such name")
    expect(gallery.get_by_role("heading", name="No picture matches")).to_be_visible()
    gallery.get_by_role("button", name="Show all pictures").click()
    expect(pictures).to_have_count(8)


def test_a_category_shows_the_pictures_that_have_it(gallery: Page, platform: Platform) -> None:
    with_platelets = [
        item for item in range(8) if any(one["annotation"]["category"] == "Platelets" for one in platform.read_labels(item))
    ]
    assert 0 < len(with_platelets) < 8
    gallery.get_by_label("Category", exact=True).select_option("Platelets")
    expect(gallery.get_by_role("grid").get_by_role("link")).to_have_count(len(with_platelets))


def test_arrows_lead_to_a_picture_and_enter_opens_it_in_the_filter(gallery: Page, platform: Platform) -> None:
    gallery.get_by_role("search").get_by_text("Unlabelled").click()
    pictures = gallery.get_by_role("grid").get_by_role("link")
    expect(pictures).to_have_count(3)
    pictures.first.focus()
    gallery.keyboard.press("ArrowRight")
    gallery.keyboard.press("ArrowRight")
    gallery.keyboard.press("ArrowLeft")
    expect(pictures.nth(1)).to_be_focused()
    gallery.keyboard.press("Enter")
    expect(gallery).to_have_url(f"{platform.url}/datasets/cells/label/6?state=unlabelled")


def test_who_comes_back_finds_the_picture_that_they_left(gallery: Page, platform: Platform) -> None:
    gallery.set_viewport_size({"width": 1280, "height": 480})
    pictures = gallery.get_by_role("grid").get_by_role("link")
    pictures.first.focus()
    gallery.keyboard.press("End")
    expect(pictures.last).to_be_focused()
    gallery.keyboard.press("Enter")
    wait_until_ready(gallery)
    gallery.get_by_role("banner").get_by_role("link", name="cells").click()
    expect(pictures.last).to_be_in_viewport()
    expect(pictures.last).to_have_attribute("tabindex", "0")


def test_thumbnails_that_are_out_of_sight_are_no_longer_waited_for(page: Page, platform: Platform) -> None:
    page.route("**/thumbnail?*", lambda route: None)  # they never come
    given_up = []
    page.on("requestfailed", lambda request: given_up.append(request.url))
    page.goto(f"{platform.url}/datasets/cells")
    expect(page.get_by_role("grid").get_by_role("link")).to_have_count(8)
    page.get_by_label("File name").fill("no such name")
    expect(page.get_by_role("heading", name="No picture matches")).to_be_visible()
    assert len([url for url in given_up if "/thumbnail?" in url]) == 8


def test_without_edits_there_is_nothing_to_freeze(gallery: Page) -> None:
    gallery.get_by_role("button", name="Freeze version").click()
    dialog = gallery.get_by_role("dialog")
    expect(dialog).to_contain_text("nothing to freeze")
    dialog.get_by_text("Close").last.click()
    expect(dialog).to_have_count(0)


def test_a_dataset_that_there_is_not_is_said_so(page: Page, platform: Platform, watch: Watch) -> None:
    page.goto(f"{platform.url}/datasets/nothing")
    expect(page.get_by_role("heading", name="There is no such dataset")).to_be_visible()
    page.get_by_role("link", name="Go to the datasets").click()
    expect(page.get_by_role("heading", name="cells")).to_be_visible()
    watch.forget_refusals("404")
