"""Users in the browser: the page to sign in, what a viewer is offered, and the settings."""

import re
from collections.abc import Callable

import pytest
from platform_process import Platform, Watch
from playwright.sync_api import BrowserContext, Page, expect

PASSWORDS = {"boss": "correct horse", "vic": "only looking"}


@pytest.fixture
def enter(context: BrowserContext, platform: Platform) -> Callable[[str], Page]:
    """Signs a user in, on a page of its own."""
    for name, role in (("boss", "admin"), ("vic", "viewer")):
        platform.send("/v1/users", {"name": name, "role": role, "password": PASSWORDS[name]})

    def enter(name: str) -> Page:
        page = context.new_page()
        page.goto(platform.url)
        sign_in(page, name, PASSWORDS[name])
        expect(page.get_by_role("link", name=name, exact=True)).to_be_visible()
        return page

    return enter


def sign_in(page: Page, name: str, password: str) -> None:
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def test_a_user_signs_in_is_led_to_the_page_that_they_wanted_and_signs_out(
    enter: Callable[[str], Page], context: BrowserContext, platform: Platform, watch: Watch
) -> None:
    page = context.new_page()
    page.goto(f"{platform.url}/datasets/cells")
    sign_in(page, "boss", "wrong horse")
    expect(page.get_by_role("alert")).to_have_text("Name or password is wrong.")
    expect(page.get_by_label("Name")).to_have_value("boss")
    sign_in(page, "boss", PASSWORDS["boss"])
    expect(page).to_have_url(f"{platform.url}/datasets/cells")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.goto(f"{platform.url}/datasets/cells")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    watch.forget_refusals("401")


def test_a_link_on_a_page_of_another_site_leads_in_who_is_signed_in(
    enter: Callable[[str], Page], platform: Platform, watch: Watch
) -> None:
    page = enter("vic")
    other = f"http://localhost:{platform.port}"  # another site than 127.0.0.1, whose cookie it does not have
    page.goto(f"{other}/sign-in")
    page.evaluate("address => { window.location.href = address }", f"{platform.url}/datasets/cells")
    expect(page.get_by_role("heading", name="cells")).to_be_visible()
    watch.forget_refusals("401")
    watch.foreign.clear()


def test_a_viewer_is_offered_nothing_that_changes_anything(
    enter: Callable[[str], Page], platform: Platform, watch: Watch
) -> None:
    page = enter("vic")
    expect(page.get_by_role("link", name="cells")).to_be_visible()
    expect(page.get_by_role("button", name="New dataset")).to_have_count(0)
    page.goto(f"{platform.url}/datasets/cells")
    expect(page.get_by_role("link", name="Look at the pictures")).to_be_visible()
    offered = re.compile("Add|Train|Freeze|Rename|Remove|Make present|Choose")
    expect(page.get_by_role("button", name=offered)).to_have_count(0)
    page.goto(f"{platform.url}/datasets/cells/label/0")
    rows = page.get_by_role("listbox", name="Labels of this picture").get_by_role("option")
    count = len(platform.read_labels(0))
    expect(rows).to_have_count(count)
    expect(page.get_by_role("button", name=re.compile("Delete|Done|Propose|Box|Undo"))).to_have_count(0)
    rows.first.click()
    page.keyboard.press("Delete")
    page.keyboard.press("k")
    page.keyboard.press("b")
    canvas = page.get_by_label("Picture with its labels")
    area = canvas.bounding_box()
    assert area is not None
    page.mouse.move(area["x"] + 200, area["y"] + 200)
    page.mouse.down()
    page.mouse.move(area["x"] + 300, area["y"] + 300, steps=4)
    page.mouse.up()
    expect(rows).to_have_count(count)
    assert page.get_by_text("no frame of a video").count() == 0  # as K would say for a while
    page.goto(f"{platform.url}/settings")
    expect(page.get_by_role("heading", name="Password")).to_be_visible()
    expect(page.get_by_role("heading", name="Users")).to_have_count(0)
    assert len(platform.read_labels(0)) == count
    watch.forget_refusals("401")


def test_an_admin_adds_changes_and_disables_users(
    enter: Callable[[str], Page], context: BrowserContext, platform: Platform, watch: Watch
) -> None:
    page = enter("boss")
    page.get_by_role("link", name="boss", exact=True).click()
    page.get_by_role("button", name="Add user").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("eve")
    dialog.get_by_label("Password").fill("battery staple")
    dialog.get_by_role("button", name="Add user").click()
    expect(dialog).to_have_count(0)
    row = page.get_by_role("row").filter(has_text="eve")
    expect(row).to_contain_text("may sign in")
    page.get_by_label("Role of eve").select_option("viewer")
    page.get_by_role("button", name="Disable eve").click()
    expect(row).to_contain_text("disabled")
    users = {user["name"]: user for user in platform.read("/v1/users")["users"]}
    assert (users["eve"]["role"], users["eve"]["disabled"]) == ("viewer", True)
    page.get_by_label("Role of boss").select_option("viewer")
    expect(page.get_by_role("alert")).to_contain_text("last admin")
    watch.forget_refusals("401", "409")


def test_a_key_is_shown_once_and_a_password_is_changed_here(
    enter: Callable[[str], Page], context: BrowserContext, platform: Platform, watch: Watch
) -> None:
    page = enter("vic")
    page.goto(f"{platform.url}/settings")
    page.get_by_label("Name of a new key").fill("line 3")
    page.get_by_role("button", name="Make key").click()
    shown = page.get_by_text(re.compile("^sightline_"))
    expect(shown).to_be_visible()
    page.reload()
    expect(page.get_by_role("row").filter(has_text="line 3")).to_be_visible()
    expect(shown).to_have_count(0)
    page.get_by_label("Present password").fill(PASSWORDS["vic"])
    page.get_by_label("New password").fill("looking closer")
    page.get_by_role("button", name="Change password").click()
    expect(page.get_by_text("Your password is changed.")).to_be_visible()
    page.get_by_role("button", name="Remove the key line 3").click()
    expect(page.get_by_role("row")).to_have_count(0)
    page.get_by_role("button", name="Sign out").click()
    sign_in(page, "vic", "looking closer")
    expect(page.get_by_role("link", name="vic", exact=True)).to_be_visible()
    watch.forget_refusals("401")
