"""From labelled pictures to a deployment that answers, in a browser alone; and jobs that go wrong."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from platform_process import Platform, Watch
from playwright.sync_api import Page, expect

from sightline.core.workspace import Workspace
from sightline.data.samples import generate_samples

pytestmark = pytest.mark.slow

JOB_TIMEOUT_MS = 200_000  # a job takes seconds; a machine that does much else lets it wait
PICTURES = 24


@pytest.fixture(scope="module")
def parts_platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A server with the generated dataset `parts`, whose pictures have a category each."""
    workspace = tmp_path_factory.mktemp("parts") / "workspace"
    generate_samples(Workspace(workspace), PICTURES, task="classification", name="parts")
    platform = Platform(workspace)
    platform.start()
    yield platform
    platform.stop()


@pytest.fixture
def platform(parts_platform: Platform) -> Platform:
    return parts_platform


def test_a_dataset_becomes_a_deployment_that_answers(page: Page, platform: Platform, tmp_path: Path) -> None:
    page.goto(f"{platform.url}/datasets/parts")
    page.get_by_role("button", name="Train").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Task")).to_have_value("classification")
    expect(dialog.get_by_text("The labels are of this kind.")).to_be_visible()
    expect(dialog.get_by_text("which holds all that was labelled")).to_be_visible()
    dialog.get_by_label("Budget").fill("4")
    dialog.get_by_label("Unit").select_option("it")
    dialog.get_by_role("button", name="Train").click()
    expect(page.get_by_role("heading", name="Train parts-fast")).to_be_visible()
    finish(page, "model")
    expect(page.get_by_role("slider", name="Loss: point of the curve")).to_be_attached()
    expect(page.get_by_role("log")).to_contain_text("training")

    page.get_by_role("link", name="Open the model").click()
    expect(page.get_by_text("top-1 accuracy, validation")).to_be_visible()
    page.get_by_role("button", name="Compile").click()
    dialog.get_by_label("Precision").select_option("fp32")
    dialog.get_by_role("button", name="Compile").click()
    finish(page, "artifact")

    page.get_by_role("link", name="Open the artifact").click()
    expect(page.get_by_role("heading", name="What was checked")).to_be_visible()
    page.get_by_role("button", name="Deploy").click()
    dialog.get_by_label("Name").fill("line-1")
    dialog.get_by_role("button", name="Deploy").click()
    finish(page, "deployment")

    page.get_by_role("link", name="Open the deployment").click()
    expect(page.get_by_text("sightline serve --port 8001")).to_be_visible()
    page.set_input_files("input[type=file]", save_picture(platform, tmp_path))
    expect(page.get_by_role("heading", name="Found: 1")).to_be_visible()
    expect(page.get_by_role("img", name="part.jpg with what was found drawn on it")).to_be_visible()

    page.get_by_role("link", name="Jobs", exact=True).click()
    expect(page.get_by_role("row").filter(has_text="done")).to_have_count(3)
    page.get_by_role("link", name="Models", exact=True).click()
    expect(page.get_by_role("link", name=re.compile("^Deployments"))).to_contain_text("1")


def test_a_job_that_fails_says_why(page: Page, platform: Platform) -> None:
    page.goto(f"{platform.url}/datasets/parts")
    page.get_by_role("button", name="Train").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Task").select_option("detection")
    expect(dialog.get_by_text("The labels rather look like Classification.")).to_be_visible()
    dialog.get_by_role("button", name="Train").click()
    expect(page.get_by_role("alert")).to_contain_text("boxes", timeout=JOB_TIMEOUT_MS)
    expect(page.get_by_text("failed", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Cancel job")).to_have_count(0)


def test_a_page_of_a_job_outlives_its_server(page: Page, platform: Platform, watch: Watch) -> None:
    page.goto(f"{platform.url}/datasets/parts")
    page.get_by_role("button", name="Train").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Budget").fill("20")
    dialog.get_by_role("button", name="Train").click()
    expect(page.get_by_text("running", exact=True)).to_be_visible(timeout=JOB_TIMEOUT_MS)
    platform.kill()
    expect(page.get_by_text("The server does not answer; the job itself goes on.")).to_be_visible()
    platform.start()
    link = page.context.new_page()
    link.goto(platform.link)
    expect(page.get_by_text("The server does not answer")).to_have_count(0, timeout=JOB_TIMEOUT_MS)
    page.get_by_role("button", name="Cancel job").click()
    dialog.get_by_role("button", name="Cancel job").click()
    expect(page.get_by_text("This job was cancelled")).to_be_visible(timeout=JOB_TIMEOUT_MS)
    watch.forget_refusals()


def test_devices_say_what_they_are_here_for(page: Page, platform: Platform) -> None:
    page.goto(f"{platform.url}/")
    page.get_by_role("link", name="Devices").click()
    expect(page.get_by_role("row", name="cpu ready")).to_contain_text("FP32")
    expect(page.get_by_role("row", name="fpga-emulator")).to_contain_text("not how fast")
    expect(page.get_by_text("No job computes now.")).to_be_visible()


def finish(page: Page, noun: str) -> None:
    """Wait until a job has made what it was for."""
    expect(page.get_by_role("link", name=f"Open the {noun}")).to_be_visible(timeout=JOB_TIMEOUT_MS)


def save_picture(platform: Platform, folder: Path) -> Path:
    """A picture of the dataset, as a file to try."""
    path = folder / "part.jpg"
    url, headers = f"{platform.url}/v1/datasets/parts/items/0/picture", {"Authorization": f"Bearer {platform.token}"}
    path.write_bytes(httpx.get(url, headers=headers, trust_env=False, timeout=60).raise_for_status().content)
    return path
