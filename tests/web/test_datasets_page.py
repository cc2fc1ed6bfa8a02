"""The page of datasets in a browser: signing in, the first dataset of an empty workspace, names that are taken."""

from pathlib import Path

import pytest
from platform_process import Platform, Watch
from playwright.sync_api import BrowserContext, Page, expect

pytestmark = pytest.mark.slow


@pytest.fixture
def platform(shared_platform: Platform) -> Platform:
    return shared_platform


def test_the_printed_link_signs_in_and_shows_what_there_is(page: Page, platform: Platform) -> None:
    expect(page).to_have_url(f"{platform.url}/")
    card = page.get_by_role("listitem").filter(has=page.get_by_role("heading", name="cells"))
    expect(card).to_contain_text("8 pictures")
    expect(card).to_contain_text("5 labelled")
    expect(card).to_contain_text("3 unlabelled")
    expect(card).to_contain_text("Platelets")
    card.get_by_role("link", name="cells").click()
    expect(page).to_have_url(f"{platform.url}/datasets/cells")


def test_without_the_link_nothing_is_shown(context: BrowserContext, platform: Platform, watch: Watch) -> None:
    page = context.new_page()
    page.goto(f"{platform.url}/datasets/cells")
    expect(page.get_by_role("heading")).to_contain_text("link")
    expect(page.get_by_text("BloodImage")).to_have_count(0)
    watch.forget_refusals("401")


def test_the_first_pictures_of_an_empty_workspace(context: BrowserContext, empty_platform: Platform, shared_data: Path) -> None:
    page = context.new_page()
    page.goto(empty_platform.link)
    expect(page.get_by_role("heading", name="Start with your pictures")).to_be_visible()
    page.get_by_role("button", name="Upload pictures").click()
    pictures = sorted((shared_data / "detection/bccd/BCCD/JPEGImages").glob("*.jpg"))[:3]
    page.locator("input[type=file]").set_input_files(pictures)
    page.get_by_label("Name").fill("smears")
    page.get_by_label("Categories").fill("red cell, white cell")
    page.get_by_role("button", name="Upload 3 files").click()
    expect(page.get_by_text("smears holds 3 pictures")).to_be_visible(timeout=60_000)
    page.get_by_role("link", name="Open smears").click()
    expect(page.get_by_role("grid").get_by_role("link")).to_have_count(3)
    expect(page.get_by_role("complementary")).to_contain_text("white cell")
    summary = empty_platform.read("/v1/datasets/smears")
    assert summary["states"] == {"labelled": 0, "proposed": 0, "unlabelled": 3}


def test_dropped_files_are_taken(page: Page) -> None:
    page.get_by_role("button", name="New dataset").click()
    drop = """zone => {
        const held = new DataTransfer();
        held.items.add(new File(["x"], "line 2.zip"));
        zone.dispatchEvent(new DragEvent("drop", { dataTransfer: held, bubbles: true }));
    }"""
    page.get_by_text("Drop pictures, videos, a folder or a zip here").evaluate(drop)
    expect(page.get_by_label("Name")).to_have_value("line-2")
    expect(page.get_by_role("button", name="Upload 1 file")).to_be_enabled()


def test_what_the_server_refuses_is_said_in_its_words(page: Page, tmp_path: Path, watch: Watch) -> None:
    (tmp_path / "broken.zip").write_bytes(b"PK no archive")
    page.get_by_role("button", name="New dataset").click()
    page.locator("input[type=file]").set_input_files(tmp_path / "broken.zip")
    page.get_by_role("button", name="Upload 1 file").click()
    expect(page.get_by_role("alert")).to_contain_text("broken.zip", timeout=60_000)
    expect(page.get_by_role("button", name="Upload 1 file")).to_be_enabled()
    watch.forget_refusals("422")


def test_a_taken_name_is_refused_before_anything_is_sent(page: Page, shared_data: Path) -> None:
    page.get_by_role("button", name="New dataset").click()
    page.locator("input[type=file]").set_input_files(next((shared_data / "detection/bccd/BCCD/JPEGImages").glob("*.jpg")))
    page.get_by_label("Name").fill("cells")
    expect(page.get_by_role("alert")).to_contain_text("a dataset cells already")
    expect(page.get_by_role("button", name="Upload 1 file")).to_be_disabled()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_role("button", name="New dataset")).to_be_focused()


def test_of_a_video_the_page_asks_how_often_a_frame_is_taken(page: Page, platform: Platform, shared_data: Path) -> None:
    page.get_by_role("button", name="New dataset").click()
    page.locator("input[type=file]").set_input_files(shared_data / "video/intel-sample-videos/asl_gestures/bird.mkv")
    expect(page.get_by_label("Name")).to_have_value("bird")
    seconds = page.get_by_label("Of videos, a frame every")
    expect(page.get_by_text("A minute of video becomes 60 pictures")).to_be_visible()
    seconds.fill("often")
    expect(page.get_by_role("alert")).to_contain_text("A number above 0")
    expect(page.get_by_role("button", name="Upload 1 file")).to_be_disabled()
    seconds.fill("0,5")
    page.get_by_role("button", name="Upload 1 file").click()
    expect(page.get_by_text("bird holds 5 pictures")).to_be_visible(timeout=60_000)  # 2.1 s of video
    names = [item["file_name"] for item in platform.read("/v1/datasets/bird/items")["items"]]
    assert names[1] == "bird.mkv/000015_00h00m00s500.png"
