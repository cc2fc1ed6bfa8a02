"""Run the command line in this process, with a workspace of the test's own."""

import io
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from cli_fixtures import Ran, Run

from sightline.cli.main import run_arguments


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return tmp_path / "workspace"


@pytest.fixture
def run(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `sightline ARGUMENTS` with the test's own workspace."""
    monkeypatch.setenv("SIGHTLINE_WORKSPACE", str(workspace))

    def run_line(*arguments: str | Path) -> Ran:
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = run_arguments([str(argument) for argument in arguments])
        return Ran(code, out.getvalue(), err.getvalue())

    return run_line
