"""A dataset grows and shrinks in a browser: pictures are added, chosen, put into splits and removed, and that is undone."""

from pathlib import Path

import numpy as np
import pytest
from cli_fixtures import write_brightness_model
from platform_process import Platform, Watch
from playwright.sync_api import Locator, Page, expect

from sightline.core.folders import read_manifest
from sightline.core.manifests import ModelManifest, compute_manifest_id
from sightline.core.workspace import Workspace
from sightline.imaging.files.reading import encode_image

pytestmark = pytest.mark.slow

DROP = """([names, contents, selector]) => {
  const transfer = new DataTransfer();
  names.forEach((name, n) => transfer.items.add(new File([new Uint8Array(contents[n])], name)));
  const facts = { dataTransfer: transfer, bubbles: true, cancelable: true };
  for (const kind of ["dragover", "drop"]) document.querySelector(selector).dispatchEvent(new DragEvent(kind, facts));
}"""


@pytest.fixture
def gallery(page: Page, platform: Platform) -> Page:
    page.goto(f"{platform.url}/datasets/cells")
    expect(list_pictures(page)).to_have_count(8)
    return page


def list_pictures(page: Page) -> Locator:
    return page.get_by_role("grid").get_by_role("link")


def write_pictures(folder: Path, *shades: int) -> list[Path]:
    folder.mkdir()
    paths = [folder / f"new-{shade}.png" for shade in shades]
    for path, shade in zip(paths, shades, strict=True):
        path.write_bytes(encode_image(np.full((48, 64, 3), shade, np.uint8), "png"))
    return paths


def count_chosen(page: Page, text: str) -> None:
    bar = page.get_by_role("region", name="Chosen pictures")
    if text:
        expect(bar.get_by_role("status")).to_have_text(text)
    else:
        expect(bar).to_have_count(0)


def test_pictures_are_added_and_those_that_are_there_are_told(gallery: Page, tmp_path: Path) -> None:
    paths = write_pictures(tmp_path / "more", 10, 20, 30)
    gallery.get_by_role("button", name="Add pictures").click()
    dialog = gallery.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="Upload")).to_be_disabled()
    for added, told in ((3, "3 pictures added: cells holds 11 pictures."), (0, "Nothing was added: cells holds 11 pictures.")):
        dialog.locator("input[type=file]").set_input_files(paths)
        dialog.get_by_role("button", name="Upload 3 files").click()
        expect(dialog.get_by_role("status")).to_have_text(told)
        if not added:
            expect(dialog.get_by_text("has a picture of the same bytes already").first).to_be_visible()
        dialog.get_by_role("button", name="Done").click()
        expect(list_pictures(gallery)).to_have_count(11)
        if added:
            gallery.get_by_role("button", name="Add pictures").click()
    expect(gallery.get_by_role("complementary")).to_contain_text("3 pictures added")


def test_files_dropped_anywhere_on_the_page_are_added(gallery: Page, tmp_path: Path) -> None:
    (path,) = write_pictures(tmp_path / "more", 40)
    gallery.evaluate(DROP, [[path.name], [list(path.read_bytes())], "[role=grid]"])
    dialog = gallery.get_by_role("dialog")
    expect(dialog).to_contain_text("new-40.png")
    dialog.get_by_role("button", name="Upload 1 file").click()
    expect(dialog.get_by_role("status")).to_contain_text("1 picture added")


def test_chosen_pictures_are_put_into_a_split_and_removed_and_that_is_undone(gallery: Page, platform: Platform) -> None:
    names = [row["file_name"] for row in platform.read("/v1/datasets/cells/items")["items"]]
    pictures = list_pictures(gallery)
    gallery.get_by_role("button", name=f"Choose {names[1]}").click()
    count_chosen(gallery, "1 picture chosen")
    pictures.nth(3).click(modifiers=["Shift"])
    count_chosen(gallery, "3 pictures chosen")
    pictures.nth(2).click()  # while pictures are chosen a click chooses
    count_chosen(gallery, "2 pictures chosen")
    gallery.get_by_label("Set split").select_option("test")
    count_chosen(gallery, "")
    expect(gallery.get_by_label("Split", exact=True)).to_contain_text("test (2)")
    rows = platform.read("/v1/datasets/cells/items")["items"]
    assert [row["split"] == "test" for row in rows] == [n in (1, 3) for n in range(8)]

    for place in (0, 1):
        gallery.get_by_role("button", name=f"Choose {names[place]}").click()
    gallery.get_by_role("region", name="Chosen pictures").get_by_role("button", name="Remove").click()
    dialog = gallery.get_by_role("dialog")
    expect(dialog).to_contain_text("Remove 2 pictures?")
    dialog.get_by_role("button", name="Remove").click()
    expect(pictures).to_have_count(6)
    count_chosen(gallery, "")
    versions = gallery.get_by_role("complementary").get_by_role("listitem").filter(has_text="picture")
    expect(gallery.get_by_role("complementary")).to_contain_text("2 pictures removed")

    gallery.get_by_role("button", name="Make present").first.click()
    expect(versions.first).to_be_visible()
    gallery.get_by_role("dialog").get_by_role("button", name="Make present").click()
    expect(pictures).to_have_count(8)
    assert [row["file_name"] for row in platform.read("/v1/datasets/cells/items")["items"]] == names


def test_the_keyboard_chooses(gallery: Page, platform: Platform) -> None:
    pictures = list_pictures(gallery)
    pictures.first.focus()
    gallery.keyboard.press("Space")
    count_chosen(gallery, "1 picture chosen")
    gallery.keyboard.press("Shift+ArrowRight")
    gallery.keyboard.press("Shift+ArrowRight")
    count_chosen(gallery, "3 pictures chosen")
    gallery.keyboard.press("ArrowRight")
    gallery.keyboard.press("Space")
    count_chosen(gallery, "4 pictures chosen")
    gallery.keyboard.press("Escape")
    count_chosen(gallery, "")
    pictures.nth(5).hover()
    gallery.get_by_role("button", name="Choose ").nth(5).click()
    gallery.keyboard.press("Shift+ArrowRight")  # from the picture that was clicked
    count_chosen(gallery, "2 pictures chosen")
    expect(pictures.nth(6)).to_be_focused()
    gallery.keyboard.press("Control+a")
    count_chosen(gallery, "8 pictures chosen")
    gallery.keyboard.press("Enter")  # opens, also while pictures are chosen
    expect(gallery).to_have_url(f"{platform.url}/datasets/cells/label/6")


def test_all_that_the_filter_lets_through_is_chosen_and_another_filter_chooses_none(gallery: Page) -> None:
    gallery.get_by_role("search").get_by_text("Unlabelled").click()
    expect(list_pictures(gallery)).to_have_count(3)
    list_pictures(gallery).first.hover()
    gallery.get_by_role("button", name="Choose ").first.click()
    gallery.get_by_role("button", name="Choose all 3").click()
    count_chosen(gallery, "3 pictures chosen")
    gallery.get_by_role("search").get_by_text("All", exact=True).click()
    count_chosen(gallery, "")


def test_a_page_of_yesterday_removes_nothing(gallery: Page, platform: Platform, watch: Watch) -> None:
    first = platform.read("/v1/datasets/cells/items")["items"][0]
    list_pictures(gallery).last.focus()
    gallery.keyboard.press("Space")
    platform.send("/v1/datasets/cells/items/remove", {"pictures": [{"position": 0, "blob": first["blob"]}]})
    gallery.get_by_role("region", name="Chosen pictures").get_by_role("button", name="Remove").click()
    gallery.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(gallery.get_by_role("dialog").get_by_role("alert")).to_contain_text("is another by now, so nothing was changed")
    expect(list_pictures(gallery)).to_have_count(7)
    watch.forget_refusals("409")


def test_a_whole_dataset_and_a_model_are_removed_and_come_back_by_a_move(gallery: Page, platform: Platform) -> None:
    made = write_brightness_model(platform.workspace / "made")
    model = Workspace(platform.workspace).place("models", "bright", compute_manifest_id(read_manifest(made, ModelManifest)))
    model.parent.mkdir(parents=True)
    made.rename(model)
    Workspace(platform.workspace).set_latest(model)
    dialog = gallery.get_by_role("dialog")
    gallery.get_by_role("button", name="Remove dataset").click()
    expect(dialog).to_contain_text("with all its versions and edits")
    dialog.get_by_role("button", name="Remove").click()
    expect(gallery.get_by_role("heading", name="Start with your pictures")).to_be_visible()
    gallery.goto(f"{platform.url}/models/bright/{model.name}")
    gallery.get_by_role("button", name="Remove model").click()
    dialog.get_by_role("button", name="Remove").click()
    expect(gallery.get_by_role("heading", name="No models yet")).to_be_visible()
    (removed,) = platform.workspace.glob("trash/*/datasets/cells")
    removed.rename(platform.workspace / "datasets/cells")
    gallery.goto(f"{platform.url}/datasets/cells")
    expect(list_pictures(gallery)).to_have_count(8)
