"""The command `sightline`: registers the commands, and turns every failure into one line and an exit code.

Exit codes: 0 done; 1 an internal error; 2 to 6 as `core/errors.py` says
(2 also where `predict` could not read some of the pictures); 130 stopped with Ctrl-C, SIGTERM or SIGHUP.
"""

import errno
import functools
import gc
import inspect
import re
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Any

import typer
from typer.exceptions import TyperException

from sightline import __version__
from sightline.cli.commands import (
    annotate,
    compile_,
    demo,
    deploy,
    doctor,
    export,
    import_,
    keys,
    measure,
    predict,
    remove,
    sample,
    serve,
    show,
    train,
    undeploy,
    up,
    users,
)
from sightline.cli.grouped_help import GroupedCommand
from sightline.cli.temporary import temporary_place
from sightline.cli.terminal import make_console, write_json_line
from sightline.core.errors import EXIT_CODE, Exhausted, InvalidInput, SightlineError, find_by_head

INTERNAL_ERROR = 1
INTERRUPTED = 130
DEBUG_FLAG = "--debug"
DISK_IS_FULL = (errno.ENOSPC, errno.EDQUOT)
GROUPS = {"keys": keys, "users": users}
# Options not named as the parameter that they set.
OTHER_NAMES = {"api_key": "--api-key-env", "precisions": "--dtype", "lists": "--list"}

app = typer.Typer(
    name="sightline",
    help="Label, train, compile, deploy and measure vision models on your own machines.",
    epilog="sightline COMMAND --help explains a command; sightline demo goes the whole way, from data to a measured endpoint.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
COMMANDS: dict[str, Callable[..., None]] = {
    "up": up.up_command,
    "import": import_.import_command,
    "export": export.export_command,
    "annotate": annotate.annotate_command,
    "train": train.train_command,
    "compile": compile_.compile_command,
    "deploy": deploy.deploy_command,
    "undeploy": undeploy.undeploy_command,
    "serve": serve.serve_command,
    "predict": predict.predict_command,
    "measure": measure.measure_command,
    "doctor": doctor.doctor_command,
    "show": show.show_command,
    "remove": remove.remove_command,
    "sample": sample.sample_command,
    "demo": demo.demo_command,
}
STARTS_LONGER = (serve.serve_command,)  # turn collections on themselves


def collect_from_here(command: Callable[..., None]) -> Callable[..., None]:
    """The command with Python's collector of cycles turned on, which `run` turns off while there is no garbage."""

    @functools.wraps(command)
    def collected(*arguments: Any, **options: Any) -> None:
        gc.enable()
        return command(*arguments, **options)

    return collected


for name, command in COMMANDS.items():
    # The first line whole: typer's own short help is cut after about 40 characters.
    short_help = (inspect.getdoc(command) or "").partition("\n")[0]
    register = app.command(name, short_help=short_help, cls=GroupedCommand)
    register(command if command in STARTS_LONGER else collect_from_here(command))
for group in GROUPS:
    app.add_typer(GROUPS[group].app, name=group)


def print_version(wanted: bool) -> None:
    """Print the version and stop."""
    if wanted:
        sys.stdout.write(f"sightline {__version__}\n")
        raise typer.Exit


@app.callback()
def main_options(
    debug: Annotated[
        bool, typer.Option(DEBUG_FLAG, help="Show the traceback of an error; may stand anywhere in the command.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Label, train, compile, deploy and measure vision models on your own machines."""


def run() -> None:
    """Entry point of the program."""
    gc.disable()  # modules and classes last: going through them for garbage took a seventh of a server's start
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:  # `nohup` has SIGHUP ignored
            signal.signal(number, signal.default_int_handler)  # ends as Ctrl-C does: nothing half made is left
    with temporary_place():
        code = run_arguments(sys.argv[1:])
    sys.exit(code)


def run_arguments(arguments: list[str]) -> int:
    """Run one command line and return its exit code; a failure is one line on stderr, and with --json an object on stdout."""
    debug = DEBUG_FLAG in arguments
    rest = [argument for argument in arguments if argument != DEBUG_FLAG]
    try:
        result = app(rest, prog_name="sightline", standalone_mode=False)
    except SightlineError as error:
        return report_failure(error, name_options(str(error)), find_by_head(EXIT_CODE, error), debug, rest)
    except TyperException as error:
        command = f"sightline {rest[0]}" if rest and rest[0] in (*COMMANDS, *GROUPS) else "sightline"
        line = f"{error.format_message().rstrip('.')}; see: {command} --help"
        return report_failure(error, line, error.exit_code, debug, rest)
    except typer.Abort as error:
        return report_failure(error, "stopped", INTERRUPTED, debug, rest)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output left; nothing is wrong here
        return INTERNAL_ERROR
    except Exception as error:  # noqa: BLE001 - the border: whatever is left becomes one line, and the traceback with --debug
        if isinstance(error, OSError) and (error.filename is not None or error.errno in DISK_IS_FULL):
            head = Exhausted if error.errno in DISK_IS_FULL else InvalidInput
            return report_failure(error, describe_file_error(error), EXIT_CODE[head], debug, rest)
        line = f"internal error, {type(error).__name__}: {error}; run it again with {DEBUG_FLAG} and report what it prints"
        return report_failure(error, line, INTERNAL_ERROR, debug, rest)
    if result == INTERRUPTED:  # Ctrl-C, as typer tells it
        return report_failure(KeyboardInterrupt(), "stopped", INTERRUPTED, debug, rest)
    return result if isinstance(result, int) else 0


def name_options(message: str) -> str:
    """What a verb says of its parameters, as the options that set them: `slo_ms` becomes --slo-ms."""
    commands: dict[str, Any] = vars(typer.main.get_command(app))["commands"]
    options = {name for command in commands.values() for parameter in command.params for name in parameter.opts}

    def name_option(found: re.Match[str]) -> str:
        option = OTHER_NAMES.get(found[1], f"--{found[1].replace('_', '-')}")
        return option if option in options else found[0]

    return re.sub(r"`(\w+)`", name_option, message)


def describe_file_error(error: OSError) -> str:
    """What the system says of a path a command was given, as one line that names the path, where known, and the remedy."""
    reason = (error.strerror or type(error).__name__).lower()
    remedy = (
        "make room, or use another disk" if error.errno in DISK_IS_FULL else "check the path and its rights, or give another"
    )
    what = "the workspace or temporary files" if error.filename is None else repr(str(error.filename))
    return f"cannot use {what}: {reason}; {remedy}"


def report_failure(error: BaseException, message: str, code: int, debug: bool, arguments: list[str]) -> int:
    """Tell a failure to people and programs; returns the exit code."""
    if debug:
        traceback.print_exception(error)
    line = " ".join(message.split())
    make_console(to_stderr=True).print(f"error: {line}", style="red", markup=False)
    if "--json" in arguments:
        with suppress(OSError):  # a full disk or a reader that left: stderr has said what failed
            write_json_line({"error": {"type": type(error).__name__, "detail": line, "exit_code": code}})
    return code
