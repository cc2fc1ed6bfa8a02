"""A browser, a server over a workspace of the test's own, and a page that is signed in and watched."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from platform_process import Platform, Watch, build_pages, find_chromium, is_on_ci, make_cells
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

PATIENCE_MS = 60_000  # a page that takes a moment answers late where other tests compute


@pytest.fixture(scope="module")  # not longer: an event loop runs in this thread as long as Playwright does
def browser() -> Iterator[Browser]:
    """Chromium; the tests are skipped where it is missing, except on CI, which installs it."""
    path = find_chromium()
    if path is None:
        message = "no Chromium on the PATH: install it to test the web app, for instance with `apt-get install chromium`"
        pytest.fail(message) if is_on_ci() else pytest.skip(message)
    build_pages()
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def platform(tmp_path: Path, shared_data: Path) -> Iterator[Platform]:
    """A server with the dataset `cells`, for one test alone."""
    make_cells(tmp_path / "workspace", shared_data)
    yield from run(Platform(tmp_path / "workspace"))


@pytest.fixture(scope="module")
def shared_platform(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Iterator[Platform]:
    """The same for the tests of one file, which leave each other's pictures alone; starting one takes seconds."""
    workspace = tmp_path_factory.mktemp("platform") / "workspace"
    make_cells(workspace, shared_data)
    yield from run(Platform(workspace))


@pytest.fixture
def empty_platform(tmp_path: Path) -> Iterator[Platform]:
    """A server over a workspace that holds nothing yet."""
    yield from run(Platform(tmp_path / "workspace"))


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser's profile of the test's own."""
    context = browser.new_context(viewport={"width": 1280, "height": 720}, reduced_motion="reduce")
    context.set_default_timeout(PATIENCE_MS)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext, platform: Platform) -> Page:
    """A page that opened the printed link."""
    page = context.new_page()
    page.goto(platform.link)
    return page


@pytest.fixture(autouse=True)
def watch(request: pytest.FixtureRequest) -> Iterator[Watch | None]:
    """Sees to it that no page asks another server for anything, nor has anything to complain about."""
    if "context" not in request.fixturenames:
        yield None
        return
    context: BrowserContext = request.getfixturevalue("context")
    server = "empty_platform" if "empty_platform" in request.fixturenames else "platform"
    origin = request.getfixturevalue(server).url
    watch = Watch(context, origin)
    yield watch
    assert watch.foreign == []
    assert watch.complaints == []


def run(platform: Platform) -> Iterator[Platform]:
    """The server for as long as a test needs it."""
    platform.start()
    yield platform
    platform.stop()
