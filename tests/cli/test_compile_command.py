"""`sightline compile` and the command that its report prints."""

import shlex
from pathlib import Path

import pytest
from cli_fixtures import Run, write_brightness_model

from sightline.compiler.request import CompileRequest, describe_command
from sightline.compiler.tuning.goals import Goal
from sightline.core.errors import InvalidInput


def test_the_command_in_a_compile_report_asks_for_the_same_again(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[CompileRequest] = []

    def remember(request: CompileRequest, *_: object, **__: object) -> None:
        asked.append(request)
        raise InvalidInput("remembered")

    monkeypatch.setattr("sightline.compiler.compile.compile_request", remember)
    model = write_brightness_model(tmp_path / "model")
    wanted = CompileRequest(
        precision="auto",
        max_drop=0.02,
        goal=Goal("latency", 3.5),
        calibration_images=17,
        validation_images=23,
        calibrate_random=True,
        symmetric=True,
        time_limit_s=90.0,
        seed=4,
    )
    for request in (wanted, CompileRequest()):
        words = shlex.split(describe_command(model, (), {}, request))
        run("compile", model, *words[3:])
        assert asked.pop() == request
