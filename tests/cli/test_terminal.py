"""The command that a command names as the next one must work as it stands, in a shell."""

import shlex
from pathlib import Path

import pytest
from cli_fixtures import Run, write_brightness_artifact, write_brightness_model

from sightline.cli.commands.train import show_model
from sightline.cli.terminal import Terminal


def read_next(out: str) -> list[list[str]]:
    """Words of the commands of the line `next: ...`, as a shell reads them, each without `sightline`."""
    line = next(line for line in out.splitlines() if line.startswith("next: "))
    return [shlex.split(command)[1:] for command in line.removeprefix("next: ").split("   or   ")]


def test_the_next_command_works_in_the_workspace_that_this_one_worked_in(run: Run, tmp_path: Path) -> None:
    place = tmp_path / "my parts"
    made = run("sample", "parts", "--count", "10", "--task", "classification", "--workspace", place)
    assert read_next(made.out)[0][-2:] == ["--workspace", str(place)]
    exported = run("export", "parts", "--format", "class_folders", "--out", tmp_path / "folders", "--workspace", place)
    imported = run("import", tmp_path / "folders", "--name", "again", "--workspace", place)
    assert exported.code == 0 and imported.code == 0
    assert run(*read_next(imported.out)[0]).code == 0
    assert run("show", "again").code == 3  # it is in no other workspace


def test_the_next_command_finds_a_deployment_in_another_repository(run: Run, tmp_path: Path) -> None:
    artifact, repository = write_brightness_artifact(tmp_path / "artifact"), tmp_path / "our repository"
    predict, serve = read_next(run("deploy", artifact, "--name", "tone", "--repository", repository).out)
    assert serve == ["serve", str(repository)]
    asked = run(*predict[:2], tmp_path / "nowhere.png")
    assert asked.code == 3 and "nowhere.png" in asked.err and "no deployment" not in asked.err


def test_a_folder_with_a_space_is_quoted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_brightness_model(tmp_path / "a model")
    show_model(Terminal(as_json=False), folder, "parts", is_shelved=False)
    assert read_next(capsys.readouterr().out) == [["compile", str(folder), "--data", "parts"]]
