import ast
import errno
import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from cli_fixtures import Run

from sightline.cli import main as cli
from sightline.cli.main import app
from sightline.compiler.importers.table import IMPORTERS
from sightline.core.errors import EXIT_CODE, Exhausted, InvalidInput, NotFound
from sightline.data.formats.table import FORMATS, WRITTEN
from sightline.models.table import NETWORKS


def list_commands() -> dict[str, Any]:
    """Every command by the words that call it; those of a group each for themselves."""
    commands = {}
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        below = getattr(command, "commands", None)
        commands |= {name: command} if below is None else {f"{name} {word}": one for word, one in below.items()}
    return commands


COMMANDS = sorted(list_commands())


def list_parameters() -> list[tuple[str, str, str | None]]:
    commands = {"": typer.main.get_command(app), **list_commands()}
    return [
        (name, parameter.name, getattr(parameter, "help", None))
        for name, command in commands.items()
        for parameter in command.params
    ]


def test_the_verbs_of_the_product_are_there() -> None:
    assert {"import", "annotate", "train", "compile", "deploy", "measure"} <= set(COMMANDS)
    assert {"export", "serve", "predict", "doctor", "demo", "sample", "show"} <= set(COMMANDS)
    assert {"keys new", "keys list", "keys remove"} <= set(COMMANDS)


def test_every_command_and_every_option_has_help() -> None:
    assert [name for name, command in list_commands().items() if not command.help] == []
    assert [(command, name) for command, name, text in list_parameters() if not text] == []


def test_every_command_takes_json() -> None:
    with_json = {command for command, name, _ in list_parameters() if name == "as_json"}
    assert with_json == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_prints_its_help(run: Run, name: str) -> None:
    ran = run(*name.split(), "--help")
    assert ran.code == 0
    assert "Usage: sightline" in ran.out
    assert run(*name.split(), "-h").out == ran.out


def test_help_names_every_choice_of_a_table_and_no_file_of_the_repository() -> None:
    texts = {(command, name): text or "" for command, name, text in list_parameters()}
    assert [key for key, text in texts.items() if "docs/" in text] == []
    for key, table in (
        (("import", "format_name"), FORMATS),
        (("export", "format_name"), WRITTEN),
        (("import", "framework"), IMPORTERS),
        (("train", "network"), NETWORKS),
    ):
        assert set(table) <= set(re.findall(r"\w+", texts[key])), key


@pytest.mark.parametrize("group", ["", "keys", "users"])
def test_the_list_of_commands_cuts_no_sentence(run: Run, group: str) -> None:
    text = run(*group.split(), "--help").out
    assert "..." not in text.partition("Commands:")[2]
    assert text.partition("Commands:")[2]


def test_help_tells_the_options_of_a_group_together(run: Run) -> None:
    text = run("measure", "--help").out
    places = [text.index(words) for words in ("\nOptions:", "\nReport:", "\nServer:", "\nLoad:", "\nSweep:")]
    assert places == sorted(places)
    assert text.index("\nLoad:") < text.index("--clients <str>") < text.index("--server-pid") < text.index("\nSweep:")
    assert text.index("\nOptions:") < text.index("--json") < text.index("\nReport:")


def test_help_loads_no_engine_and_no_framework() -> None:
    code = (
        "import sys; from sightline.cli.main import run_arguments; assert run_arguments(['--help']) == 0; "
        "heavy = {'torch', 'openvino', 'onnxruntime', 'cv2', 'numpy', 'starlette', 'httpx', 'av'}; "
        "sys.exit(' '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_no_arguments_print_the_help(run: Run) -> None:
    ran = run()
    assert "Usage: sightline" in ran.out + ran.err
    assert ran.code == 2


def test_the_version_is_printed(run: Run) -> None:
    ran = run("--version")
    assert (ran.code, ran.out.split()[0]) == (0, "sightline")


@pytest.mark.parametrize(
    "arguments",
    [
        ["nothing"],
        ["train"],
        ["train", "parts"],
        ["train", "parts", "--task", "detection", "--seed", "x"],
        ["deploy", "x", "--nothing"],
        ["measure", "x", "--compare", "one"],
    ],
)
def test_usage_errors_are_one_line_with_code_2(run: Run, arguments: list[str]) -> None:
    ran = run(*arguments)
    assert ran.code == 2
    assert ran.err.count("\n") == 1 and ran.err.startswith("error: ") and "--help" in ran.err
    assert ran.out == ""


@pytest.mark.parametrize(
    ("arguments", "head"),
    [
        (["deploy", "nothing"], NotFound),
        (["import", "nothing"], NotFound),
        (["export", "nothing", "--format", "coco", "--out", "x"], NotFound),
        (["predict", "nothing", "x.jpg"], NotFound),
        (["measure", "nothing", "--data", "nothing"], NotFound),
        (["measure"], InvalidInput),
        (["compile", "nothing"], NotFound),
        (["annotate", "nothing", "--with", "nothing"], NotFound),
        (["train", "nothing", "--task", "detection"], NotFound),
        (["serve", "--host", "0.0.0.0"], InvalidInput),
        (["show", "nothing"], NotFound),
        (["sample", "--task", "cooking"], InvalidInput),
    ],
)
def test_failures_are_one_line_with_the_code_of_their_head(run: Run, arguments: list[str], head: type) -> None:
    ran = run(*arguments, "--json")
    assert ran.code == EXIT_CODE[head], ran.err
    assert ran.err.count("\n") == 1 and ran.err.startswith("error: ")
    assert ran.json["error"]["exit_code"] == ran.code
    assert ran.json["error"]["detail"] in ran.err


def test_an_internal_error_is_one_line_and_a_traceback_only_with_debug(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("division\nby zero")

    monkeypatch.setattr(cli, "app", fail)
    ran = run("doctor")
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert "--debug" in ran.err and "ZeroDivisionError" in ran.err
    assert "Traceback" in run("doctor", "--debug").err


@pytest.mark.parametrize("command", [("sample", "p", "--count", "10", "--workspace"), ("demo", "--folder")])
def test_a_file_where_a_folder_must_be_is_no_internal_error(run: Run, tmp_path: Path, command: tuple[str, ...]) -> None:
    (tmp_path / "file").touch()
    ran = run(*command, tmp_path / "file", "--json")
    assert (ran.code, ran.err.count("\n"), ran.out.count("\n")) == (EXIT_CODE[InvalidInput], 1, 1)
    assert str(tmp_path / "file") in ran.err and "internal" not in ran.err


def test_a_full_disk_says_to_make_room() -> None:
    assert cli.describe_file_error(OSError(errno.ENOSPC, "No space left on device", "a/b")) == (
        "cannot use 'a/b': no space left on device; make room, or use another disk"
    )


def test_a_full_disk_is_no_internal_error_where_the_system_names_no_file(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(cli, "app", fill)
    ran = run("train", "parts")
    assert ran.code == EXIT_CODE[Exhausted]
    assert ran.err == (
        "error: cannot use the workspace or temporary files: no space left on device; make room, or use another disk\n"
    )


def test_a_full_disk_behind_stdout_is_no_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTLINE_WORKSPACE", str(tmp_path))

    class Full(io.StringIO):
        def flush(self) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(sys, "stdout", Full())
    for arguments, error in ((["show", "--json"], Exhausted), (["show", "nobody", "--json"], NotFound)):
        assert cli.run_arguments(arguments) == EXIT_CODE[error]


def test_a_usage_error_names_the_command_whose_help_to_read(run: Run) -> None:
    for arguments in (("measure", "--compare", "one"), ("train", "parts", "--seed", "-1")):
        assert run(*arguments).err.endswith(f"; see: sightline {arguments[0]} --help\n")


def test_the_list_of_commands_is_not_cut_short(run: Run) -> None:
    assert "..." not in run("--help").out.partition("Commands:")[2]


def test_an_error_is_as_clear_from_a_shell(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "sightline", "deploy", "nothing", "--json", "--workspace", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == EXIT_CODE[NotFound]
    assert result.stderr == f"error: no artifact 'nothing' in {tmp_path}; there is none yet\n"
    assert json.loads(result.stdout)["error"]["type"] == "NotFound"


def test_ctrl_c_ends_a_server_cleanly_and_sigterm_too(tmp_path: Path) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        command = [sys.executable, "-m", "sightline", "serve", str(tmp_path), "--port", "0", "--json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None and server.stderr is not None
            assert json.loads(server.stdout.readline())["deployments"] == []
            server.send_signal(number)
            assert server.wait(20) == 0, server.stderr.read()


WAITING_COMMAND = """
import signal, sys, tempfile, time
from sightline.cli import main
from sightline.core.workspace import Workspace

# Whoever runs the tests may have been started by nohup, or in the background of a script: both let signals be ignored.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)

def wait(*_, **__):
    with tempfile.TemporaryDirectory(prefix="sightline-compile-") as folder:
        print(folder, flush=True)
        while True:
            time.sleep(0.02)  # not `signal.pause`: it would not see a signal that came just before

Workspace.find = wait
sys.argv = ["sightline", "show", "parts"]
main.run()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_command_that_is_told_to_end_leaves_no_temporary_file(number: int, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WAITING_COMMAND],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(tmp_path), "SIGHTLINE_WORKSPACE": str(tmp_path / "none")},
    ) as command:
        assert command.stdout is not None and command.stderr is not None
        folder = Path(command.stdout.readline().strip())
        assert folder.is_dir() and folder.is_relative_to(tmp_path)
        command.send_signal(number)
        try:
            code = command.wait(60)
        finally:
            command.kill()
        assert (code, command.stderr.read()) == (130, "error: stopped\n")
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_in_a_command_is_code_130(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt  # what Python makes of the signal

    monkeypatch.setattr("sightline.core.workspace.Workspace.find", interrupt)
    ran = run("show", "parts")
    assert (ran.code, ran.err) == (130, "error: stopped\n")


def test_a_start_collects_no_garbage_and_a_command_does() -> None:
    code = (
        "import gc, sys; from sightline.cli import main; seen = []\n"
        "def probe() -> None:\n    seen.append(gc.isenabled())\n"
        "main.app.command('probe')(main.collect_from_here(probe)); main.app.command('plain')(probe)\n"
        "for name in ('plain', 'probe'):\n"
        "    sys.argv = ['sightline', name]\n"
        "    try: main.run()\n"
        "    except SystemExit: pass\n"
        "print(seen)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "[False, True]\n"


def test_every_command_that_may_last_collects_garbage_but_the_one_that_turns_it_on_itself() -> None:
    registered = {info.name: info.callback for info in app.registered_commands}
    assert {name for name, command in cli.COMMANDS.items() if registered[name] is command} == {"serve"}


def test_a_parameter_in_a_message_is_told_as_its_option() -> None:
    said = "leave `objective` and `slo_ms` out, give an `api_key`; under `names`, with `predict_raw`"
    assert (
        cli.name_options(said) == "leave --objective and --slo-ms out, give an --api-key-env; under `names`, with `predict_raw`"
    )


def test_a_failed_verb_names_the_options_of_the_command_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path | None) -> None:
        raise InvalidInput("leave `slo_ms` out")

    monkeypatch.setattr("sightline.cli.commands.compile_.open_workspace", fail)
    ran = run("compile", "parts", "--json")
    assert (ran.err, ran.json["error"]["detail"]) == ("error: leave --slo-ms out\n", "leave --slo-ms out")


SERVER_ONLY = ("serving/http", "serving/repository", "serving/streams", "serving/process")  # `sightline serve` starts it


def test_errors_of_the_library_name_parameters_and_no_options() -> None:
    package = Path(cli.__file__).parents[1]
    found = []
    for path in sorted(package.rglob("*.py")):
        place = path.relative_to(package).as_posix()
        if place.startswith(("cli/", *SERVER_ONLY)):
            continue
        raised = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Raise)]
        texts = [part.value for node in raised for part in ast.walk(node) if isinstance(part, ast.Constant)]
        found += [(place, text) for text in texts if isinstance(text, str) and re.search(r"(^|[ (])--[a-z]", text)]
    whole_commands = [(place, text) for place, text in found if "sightline " in text or text.startswith(" --data")]
    assert [one for one in found if one not in whole_commands] == []
