"""`sightline remove`: with a database and without, several things at once, and what it says."""

import shlex
from pathlib import Path

from cli_fixtures import Run

from sightline.core.workspace import Workspace
from sightline.store.database import DATABASE_NAME, open_database


def test_several_things_are_removed_or_none(run: Run, workspace: Path) -> None:
    for name in ("parts", "other"):
        assert run("sample", name, "--count", "10").code == 0
    missing = run("remove", "datasets/parts", "datasets/none")
    assert missing.code == 3 and Workspace(workspace).names("datasets") == ["other", "parts"]
    ran = run("remove", "datasets/parts", "datasets/other", "--json")
    assert ran.code == 0, ran.err
    assert [one["thing"] for one in ran.json["removed"]] == ["parts", "other"]
    assert Workspace(workspace).names("datasets") == []
    assert not (workspace / DATABASE_NAME).exists()


def test_it_says_how_to_bring_it_back(run: Run, workspace: Path) -> None:
    assert run("sample", "parts", "--count", "10").code == 0
    open_database(workspace / DATABASE_NAME).close()
    told = run("remove", "datasets/parts").out
    move, trash, place = shlex.split("".join(told.partition("to bring it back: ")[2].splitlines()))
    assert (move, Path(place)) == ("mv", workspace / "datasets/parts")
    Path(trash).rename(place)
    assert run("show", "parts").code == 0


def test_a_deployment_is_ended_by_another_command(run: Run) -> None:
    refused = run("remove", "deployments/parts")
    assert refused.code == 2 and "sightline undeploy parts" in refused.err
