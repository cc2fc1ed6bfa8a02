"""Proposals for a whole dataset, asked for in a browser: what a model says becomes proposals, and what people said stays."""

from pathlib import Path

import pytest
from platform_process import LABELLED, Platform
from playwright.sync_api import Page, expect
from small_artifacts import write_halves

from sightline.core.workspace import Workspace
from sightline.serving.deployments import deploy_artifact

pytestmark = pytest.mark.slow

JOB_TIMEOUT_MS = 200_000  # a job takes seconds; a machine that does much else lets it wait


def test_a_deployment_proposes_labels_for_what_nobody_labelled(page: Page, platform: Platform, tmp_path: Path) -> None:
    folder = write_halves(tmp_path / "halves", categories=("RBC", "WBC"))  # finds one box in each picture
    deploy_artifact(folder, "seen", Workspace(platform.workspace).deployments)
    by_hand = platform.read_labels(0)

    page.goto(f"{platform.url}/deployments/seen")
    page.get_by_role("button", name="Propose labels").click()
    dialog = page.get_by_role("dialog", name="Propose labels with seen")
    expect(dialog.get_by_label("Dataset")).to_have_value("cells")
    expect(dialog).to_contain_text("3 pictures that no person labelled get proposals")
    dialog.get_by_role("button", name="Propose labels").click()
    expect(page.get_by_text("3 proposals on 3 pictures")).to_be_visible(timeout=JOB_TIMEOUT_MS)

    page.get_by_role("link", name="Look through them").click()
    expect(page).to_have_url(f"{platform.url}/datasets/cells?state=proposed")
    pictures = page.get_by_role("grid").get_by_role("link")
    expect(pictures).to_have_count(3)
    assert platform.read_labels(0) == by_hand
    pictures.first.click()
    expect(page.get_by_role("button", name="Accept all")).to_be_visible()
    page.keyboard.press("Escape")
    (proposal,) = platform.read_labels(LABELLED)
    assert proposal["annotation"]["origin"] == "model" and proposal["annotation"]["box_xyxy"] == [0, 0, 320, 480]
