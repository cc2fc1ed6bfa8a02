"""What hands do to the editor beside drawing: several buttons at once, controls that take keys, an edit that cannot be kept."""

import httpx
import pytest
from editor_page import draw_box, find_picture, objects, open_editor, wait_until_ready
from platform_process import Platform, Watch
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.slow

EMPTY = 5  # the first picture that nobody labelled


@pytest.fixture
def platform(shared_platform: Platform) -> Platform:
    return shared_platform


def test_letting_go_of_the_left_button_ends_a_drag_also_while_another_is_held(page: Page, platform: Platform) -> None:
    open_editor(page, platform.url, EMPTY)
    before = objects(page).count()
    left, top, scale = find_picture(page)
    page.keyboard.press("b")
    page.mouse.move(left + 100 * scale, top + 100 * scale)
    page.mouse.down()
    page.mouse.move(left + 200 * scale, top + 180 * scale)
    page.mouse.down(button="right")
    page.mouse.up()
    page.mouse.move(left + 300 * scale, top + 300 * scale)
    page.mouse.up(button="right")
    expect(objects(page)).to_have_count(before + 1)
    expect(objects(page).first).to_contain_text("100 × 80")


def test_a_slider_and_a_choice_keep_their_arrow_keys(page: Page, platform: Platform) -> None:
    open_editor(page, platform.url, EMPTY)
    page.keyboard.press("m")
    size = page.get_by_label("Size of the brush")
    before = int(size.input_value())
    size.focus()
    page.keyboard.press("ArrowRight")
    assert int(size.input_value()) > before
    page.get_by_role("radio", name="Objects").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("radio", name="Whole picture")).to_be_checked()
    assert page.url.endswith(f"/label/{EMPTY}")


def test_an_edit_that_the_server_refuses_is_told_and_can_be_discarded(page: Page, platform: Platform, watch: Watch) -> None:
    url, headers = f"{platform.url}/v1/datasets/cells/categories", {"Authorization": f"Bearer {platform.token}"}
    added = httpx.post(url, headers=headers, json={"name": "dust"}, trust_env=False, timeout=60).json()["categories"][-1]
    open_editor(page, platform.url, EMPTY)
    before = objects(page).count()
    httpx.delete(f"{url}/{added['id']}", headers=headers, trust_env=False, timeout=60).raise_for_status()
    page.keyboard.press("4")
    draw_box(page, 300, 100, 400, 200)
    expect(page.get_by_role("alert")).to_contain_text("dust")
    expect(page.get_by_text("An edit was refused")).to_be_visible()
    expect(objects(page)).to_have_count(before)
    expect(page.get_by_role("region", name="Categories").get_by_role("button", name="dust")).to_have_count(0)
    page.get_by_role("button", name="Discard it").click()
    expect(page.get_by_text("All saved")).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)
    watch.forget_refusals("400", "422")


def test_categories_are_added_and_found_by_their_names_without_leaving_the_keyboard(page: Page, platform: Platform) -> None:
    open_editor(page, platform.url, EMPTY)
    page.keyboard.press("/")
    page.keyboard.type("foreign body")
    page.keyboard.press("Enter")
    categories = page.get_by_role("region", name="Categories")
    expect(categories.get_by_role("button", name="foreign body", pressed=True)).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("plat")
    page.keyboard.press("Enter")
    expect(categories.get_by_role("button", name="Platelets", pressed=True)).to_be_visible()
    before = objects(page).count()
    draw_box(page, 400, 300, 460, 360)
    expect(objects(page)).to_have_count(before + 1)
    expect(objects(page).first).to_contain_text("Platelets")


def test_a_picture_takes_several_labels_of_its_whole_by_their_keys(page: Page, platform: Platform) -> None:
    open_editor(page, platform.url, EMPTY + 1)
    page.get_by_text("Whole picture").click()
    labels = page.get_by_role("list", name="Labels of the whole picture").get_by_role("listitem")
    for key in "12":
        page.keyboard.press(key)
    expect(labels).to_have_text(["WBC"])
    page.get_by_text("A picture may have several").click()
    for key in "132":
        page.keyboard.press(key)
    expect(labels).to_have_text(["RBC", "Platelets"])


def test_proposals_are_gone_through_by_keys_and_the_rest_is_rejected_at_once(page: Page, platform: Platform) -> None:
    url, headers = f"{platform.url}/v1/datasets/cells/items/7", {"Authorization": f"Bearer {platform.token}"}
    item = platform.read("/v1/datasets/cells/items/7")
    boxes = [[100 * n, 50, 100 * n + 50, 90] for n in range(1, 5)]
    proposals = [{"category": "RBC", "box_xyxy": box, "origin": "model", "confidence": 0.5} for box in boxes]
    operations = [{"kind": "put", "id": f"proposal-{n}", "annotation": one} for n, one in enumerate(proposals)]
    edit = {"edit_id": "of-a-model-1", "revision": item["revision"], "blob": item["blob"], "operations": operations}
    httpx.post(f"{url}/edits", headers=headers, json=edit, trust_env=False, timeout=60).raise_for_status()
    open_editor(page, platform.url, 7)
    for key in (".", "Enter", ".", "Delete", "."):
        page.keyboard.press(key)
    expect(objects(page)).to_have_count(3)
    expect(objects(page).nth(1)).to_have_attribute("aria-selected", "true")
    reject, panel = page.get_by_role("button", name="Reject all"), page.get_by_role("complementary").bounding_box()
    accept = page.get_by_role("button", name="Accept all").bounding_box()
    assert accept is not None
    assert panel is not None
    assert accept["x"] + accept["width"] <= panel["x"] + panel["width"]
    reject.click()
    expect(objects(page)).to_have_count(1)
    expect(page.get_by_text("All saved")).to_be_visible()
    (kept,) = platform.read_labels(7)
    assert (kept["id"], kept["annotation"].get("origin", "human")) == ("proposal-3", "human")


def test_pictures_that_are_passed_by_are_not_loaded(page: Page, platform: Platform) -> None:
    page.clock.install(time=0)
    open_editor(page, platform.url, 0)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.clock.pause_at(3600)
    for place in range(1, 7):  # as a held key does, by the page's clock
        page.evaluate("dispatchEvent(new KeyboardEvent('keydown', { key: 'f', code: 'KeyF' }))")
        expect(page.get_by_role("navigation", name="Pictures")).to_contain_text(f"{place + 1} of ")
        page.clock.run_for(30)
    page.clock.resume()
    expect(page.get_by_role("heading", level=1)).to_have_text("BloodImage_00006.jpg")
    wait_until_ready(page)
    loaded = {url.rsplit("/", 1)[1] for url in asked if "/items/" in url}
    assert "6" in loaded and not {"3", "4", "5"} & loaded  # the second may be made ready while the first is shown
