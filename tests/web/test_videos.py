"""Frames of a video in a browser: the strip, a label that is carried on, and what is proposed between."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from editor_page import draw_box, find_picture, objects, wait_until_ready
from platform_process import Platform
from playwright.sync_api import Page, expect

from sightline.core.workspace import Workspace
from sightline.data.importing import import_dataset

pytestmark = pytest.mark.slow
FRAMES = 21  # 2.1 s of bird.mkv, 640 x 480, every 0.1 s


@pytest.fixture
def platform(tmp_path: Path, shared_data: Path) -> Iterator[Platform]:
    """A server with the dataset `birds`: the frames of two videos."""
    workspace = Workspace(tmp_path / "workspace")
    videos = shared_data / "video/intel-sample-videos/asl_gestures"
    import_dataset(videos, workspace, "birds", categories=["hand"], format_options={"every_s": 0.1})
    platform = Platform(workspace.root)
    platform.start()
    yield platform
    platform.stop()


def open_frame(page: Page, platform: Platform, position: int) -> None:
    page.goto(f"{platform.url}/datasets/birds/label/{position}")
    expect(page.get_by_role("region", name="Frames of this video").locator("[aria-current]")).to_be_visible()
    wait_until_ready(page)


def read_box(platform: Platform, position: int) -> dict[str, object]:
    (label,) = platform.read(f"/v1/datasets/birds/items/{position}")["labels"]
    annotation: dict[str, object] = label["annotation"]
    return annotation


def test_the_strip_shows_the_neighbours_and_leads_to_them(page: Page, platform: Platform) -> None:
    open_frame(page, platform, 3)
    strip = page.get_by_role("region", name="Frames of this video")
    expect(strip).to_contain_text("bird.mkv")
    expect(strip).to_contain_text(f"frame 4 of {FRAMES}")
    expect(strip.get_by_role("link")).to_have_count(9)  # three before, five after
    strip.get_by_role("link").last.click()
    expect(page).to_have_url(f"{platform.url}/datasets/birds/label/8")
    expect(strip).to_contain_text(f"frame 9 of {FRAMES}")
    page.keyboard.press("f")
    expect(strip).to_contain_text(f"frame 10 of {FRAMES}")


def test_a_label_is_carried_on_corrected_and_proposed_in_the_frames_between(page: Page, platform: Platform) -> None:
    open_frame(page, platform, 0)
    draw_box(page, 100, 100, 200, 220)
    expect(objects(page)).to_have_count(1)
    page.keyboard.press("Shift+T")
    expect(page).to_have_url(f"{platform.url}/datasets/birds/label/10")
    wait_until_ready(page)
    expect(objects(page)).to_have_count(1)
    left, top, scale = find_picture(page)
    page.mouse.move(left + 150 * scale, top + 150 * scale)
    page.mouse.down()
    page.mouse.move(left + 200 * scale, top + 170 * scale, steps=4)
    page.mouse.up()
    page.keyboard.press("k")
    expect(page.get_by_text("Proposed in 9 frames: look through them.")).to_be_visible()
    first, moved = read_box(platform, 0), read_box(platform, 10)
    assert first["attributes"] == moved["attributes"] and first["attributes"]
    assert moved["box_xyxy"] == pytest.approx([150, 120, 250, 240], abs=1.5)
    between = read_box(platform, 5)  # at half of the time
    assert between["origin"] == "model"
    assert between["box_xyxy"] == pytest.approx([125, 110, 225, 230], abs=1.5)
    page.keyboard.press("d")
    wait_until_ready(page)
    expect(objects(page)).to_contain_text("proposed")
    page.get_by_role("button", name="Accept all").click()
    expect(page.get_by_text("All saved")).to_be_visible()
    assert "origin" not in read_box(platform, 9)  # a person's


def test_the_next_frame_gets_a_copy_once(page: Page, platform: Platform) -> None:
    open_frame(page, platform, FRAMES - 2)
    page.keyboard.press("t")
    expect(page.get_by_text("Select the labels that shall be carried on first.")).to_be_visible()
    draw_box(page, 100, 100, 200, 220)
    page.get_by_role("button", name="Carry on").click()
    expect(page).to_have_url(f"{platform.url}/datasets/birds/label/{FRAMES - 1}")
    wait_until_ready(page)
    expect(objects(page)).to_have_count(1)
    page.keyboard.press("t")
    expect(page.get_by_text("This is the last frame of its video.")).to_be_visible()
    page.keyboard.press("k")
    expect(page.get_by_text("Nothing new to propose.")).to_be_visible()


def test_the_gallery_shows_the_frames_of_one_video(page: Page, platform: Platform) -> None:
    page.goto(f"{platform.url}/datasets/birds")
    page.get_by_label("Video").select_option("milk.mkv")
    expect(page).to_have_url(f"{platform.url}/datasets/birds?video=milk.mkv")
    expect(page.get_by_role("grid").get_by_role("link").first).to_contain_text("0:00.000 · milk.mkv")
    page.get_by_role("grid").get_by_role("link").first.click()
    expect(page.get_by_role("region", name="Frames of this video")).to_contain_text("milk.mkv")
