"""Write the reference pages beside this file from the code itself: settings, commands, errors, formats, networks and more.

`make docs` runs it; a test fails when a page differs from what it writes.
"""

import importlib
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import typer

from sightline.core import errors
from sightline.core.settings import Settings

FOLDER = Path(__file__).parent
OPENAPI = FOLDER.parents[1] / "web/src/api/openapi.json"
ANSWERING = ("Predictor", "Client", "AsyncClient")  # classes whose methods get a section each
NOT_MADE_BY_USERS = ("Predictor", "DatasetVersion", "ConversionReport")
NOTE = "<!-- Written by docs/reference/generate.py (make docs); edit the code, not this page. -->\n"


def render_table(headings: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; bars inside cells are escaped."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines)


def render_settings() -> str:
    """Every setting with its environment variable, type, default and meaning."""
    rows = []
    for name, hint in get_type_hints(Settings, include_extras=True).items():
        kind, meta = get_args(hint)
        default = "cores this process may use" if name == "threads" else f"`{getattr(Settings(), name)}`"
        rows.append([f"`SIGHTLINE_{name.upper()}`", kind.__name__, default, meta.description])
    return (
        "# Settings\n\nSightline reads these environment variables once, at the start.\n\n"
        + render_table(["Variable", "Type", "Default", "Meaning"], rows)
        + "\n"
    )


def walk_commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """The command and all below it, with the words that call them."""
    children = getattr(command, "commands", None)
    if children is None:
        yield path, command
        return
    for name in sorted(children):
        yield from walk_commands(children[name], f"{path} {name}")


def render_commands() -> str:
    """Every command with its arguments and options."""
    from sightline.cli.main import app

    parts = [
        "# Commands\n\nWith `--json` every command prints one JSON object as the last line of stdout. `sightline COMMAND "
        "--help` shows "
        "the same as this page.\n"
    ]
    for path, command in walk_commands(typer.main.get_command(app), "sightline"):
        parts.append(f"## {path}\n\n{(command.help or '').strip()}\n")
        rows = []
        for parameter in command.params:
            names = ", ".join(f"`{name}`" for name in [*parameter.opts, *parameter.secondary_opts])
            is_argument = parameter.param_type_name == "argument"
            default = "required" if parameter.required else format_default(parameter.default)
            rows.append([names if not is_argument else f"`{parameter.name}`", default, help_of(parameter)])
        parts.append(render_table(["Argument or option", "Default", "Meaning"], rows) + "\n")
    return "\n".join(parts)


def format_default(default: Any) -> str:
    """A default value as text; empty when there is none."""
    if default is None or callable(default) or default is False or default == ():
        return ""
    return f"`{default}`"


def help_of(parameter: Any) -> str:
    """Help text of an option or argument."""
    group = getattr(parameter, "rich_help_panel", None)
    return (f"*{group}.* " if group else "") + (getattr(parameter, "help", None) or "").strip()


def render_errors() -> str:
    """Every error with its HTTP status and exit code."""
    rows = []
    for name, error in vars(errors).items():
        if not (isinstance(error, type) and issubclass(error, errors.SightlineError)) or error is errors.SightlineError:
            continue
        status = errors.find_by_head(errors.HTTP_STATUS, error("x"))
        code = errors.find_by_head(errors.EXIT_CODE, error("x"))
        rows.append([f"`{name}`", str(status), str(code), (error.__doc__ or "").splitlines()[0]])
    return (
        "# Errors\n\nEvery error that Sightline raises on purpose. The server answers with its HTTP status, a command ends "
        "with its "
        "exit code.\n\n" + render_table(["Error", "HTTP status", "Exit code", "Meaning"], rows) + "\n"
    )


def render_formats() -> str:
    """Every dataset format with what its module says of itself: layouts, options, conventions."""
    from sightline.data.formats.table import FORMATS, load_format

    parts = [
        "# Dataset formats\n\nImport with `sightline import SOURCE`. The format is found unless `--format NAME` names it; "
        "`--option KEY=VALUE` sets an option of its reader. Export with `sightline export DATASET --format NAME --out FOLDER`, "
        "which refuses to lose anything unless `--allow-loss` is given.\n"
    ]
    described: dict[str, str] = {}
    for name, target in FORMATS.items():
        module = importlib.import_module(target.partition(":")[0])
        first = described.setdefault(module.__name__, name)
        about = (module.__doc__ or "").strip() if first == name else f"Everything else is as for [{first}](#{first})."
        parts.append(f"## {name}\n\n{load_format(name).description}.\n\n{about}\n")
    return "\n".join(parts)


def render_networks() -> str:
    """Every network with its tasks, its dial and its usual input size."""
    from sightline.models.table import DIALS, NETWORKS

    rows = []
    for name, row in NETWORKS.items():
        module, _, function = row.builder.partition(":")
        builder = getattr(importlib.import_module(module), function)
        dials = sorted({dial for names in DIALS.values() for dial, network in names.items() if network == name})
        about = (builder.__doc__ or "").strip().splitlines()[0]
        if about.startswith("Row of"):
            about = (importlib.import_module(module).__doc__ or "").strip().splitlines()[0]
        rows.append([f"`{name}`", ", ".join(row.tasks), ", ".join(dials), str(row.size), about])
    table = render_table(["Name", "Tasks", "Dial", "Usual longest side, px", "What it is"], rows)
    use = (
        "Train one with `sightline train DATASET --task TASK --model NAME`. NAME is a network or dial of this table, or "
        "`timm/NAME` for any classifier of timm. Without `--model` the dial `fast` is taken."
    )
    return f"# Networks\n\n{use}\n\n{table}\n"


def render_backends() -> str:
    """Every back end with its device and precisions."""
    from sightline.runtime.backends.table import BACKENDS, make_backend

    rows = []
    for name in BACKENDS:
        backend = make_backend(name)
        about = (type(backend).__doc__ or "").strip().splitlines()[0]
        rows.append([f"`{name}`", backend.device, ", ".join(backend.precisions), about])
    return (
        "# Back ends and devices\n\nA back end runs networks with one engine. A device declares the operators and precisions "
        "it supports.\n\n"
        + render_table(["Name", "Device", "Precisions", "What it is"], rows)
        + "\n\n## Devices\n\nCompile for one with `sightline compile MODEL --device NAME`. With `hetero:FIRST,SECOND` the "
        "layers that "
        "FIRST does not declare run on SECOND.\n\n" + render_devices() + "\n"
    )


def render_devices() -> str:
    """What each device declares."""
    from sightline.runtime.devices import DEVICES

    rows = []
    for device in DEVICES.values():
        operators = "all its engines read" if device.operators is None else ", ".join(sorted(device.operators))
        limits = [
            f"{count:,} {what}"
            for count, what in (
                (device.max_weights, "weights"),
                (device.max_multiplications, "multiplications a picture"),
                (device.max_tensor, "numbers in a tensor"),
            )
            if count
        ]
        rows.append([f"`{device.name}`", ", ".join(device.precisions), operators, "; ".join(limits) or "none"])
    return render_table(["Device", "Precisions", "Operators", "Limits"], rows)


def render_frameworks() -> str:
    """Every framework whose networks can be imported, the presets of the input, and the heads of the outputs."""
    from sightline.compiler.importers.table import IMPORTERS
    from sightline.compiler.importing.input_specs import PRESETS
    from sightline.imaging.heads.decoding import HEADS, RAW, TASK_OF_HEAD
    from sightline.imaging.heads.pictures import PICTURE

    frameworks = []
    for name, target in IMPORTERS.items():
        module, _, class_name = target.partition(":")
        frameworks.append([f"`{name}`", getattr(importlib.import_module(module), class_name)().description])
    presets = [
        [f"`{name}`", preset.description, preset.colour, format_numbers(preset.mean_rgb), format_numbers(preset.std_rgb)]
        for name, preset in PRESETS.items()
    ]
    undecoded = {PICTURE: "A picture.", RAW: "Tensors, not decoded."}
    heads = [
        [f"`{name}`", task, undecoded.get(name) or (HEADS[name].__doc__ or "").strip().splitlines()[0]]
        for name, task in TASK_OF_HEAD.items()
    ]
    return (
        "# Frameworks\n\n`sightline import NETWORK` recognises the framework by the file; `--framework NAME` names it. "
        "[Importing a network](../concepts/importing.md) explains how an import works.\n\n"
        + render_table(["Framework", "What is read"], frameworks)
        + "\n\n## Presets\n\nA preset says how to feed pictures if the file does not: tensor = (pixel - mean) / std, pixels "
        "0..255. "
        "Means and stds are for red, green, blue.\n\n"
        + render_table(["Preset", "Used by", "Channel order", "Mean", "Std"], presets)
        + "\n\n## Heads\n\nA head says what the outputs mean. It is found from their shapes and last operators, or named with "
        "`--head`.\n\n" + render_table(["Head", "Task", "Outputs"], heads) + "\n"
    )


def format_numbers(values: tuple[float, ...]) -> str:
    """Numbers with commas, one when all are the same."""
    return f"{values[0]:g}" if len(set(values)) == 1 else ", ".join(f"{value:g}" for value in values)


def render_quantisers() -> str:
    """Every quantiser and when it is tried."""
    from sightline.compiler.quantisers.table import (
        FIRST_QUANTISERS,
        QUANTISERS,
        RESCUE_QUANTISERS,
        SYMMETRIC_QUANTISERS,
        load_quantiser,
    )

    when = dict.fromkeys(FIRST_QUANTISERS, "always")
    when |= dict.fromkeys(RESCUE_QUANTISERS, "if no earlier one passes the gate")
    when |= dict.fromkeys(SYMMETRIC_QUANTISERS, "alone, with `--symmetric`")
    rows = [[f"`{name}`", load_quantiser(name).description, when[name]] for name in QUANTISERS]
    return (
        "# Quantisers\n\n`sightline compile` makes INT8 networks with these; [the gate](../concepts/gate.md) decides which is "
        "taken.\n\n" + render_table(["Name", "How", "When it is tried"], rows) + "\n"
    )


def render_routes() -> str:
    """Every route of the server, what it takes and what it answers, from the table that /openapi.json is made of."""
    from sightline.serving.http.openapi import RIGHT_TEXTS
    from sightline.serving.http.operations import OPERATIONS

    parts = [
        "# Routes of the server\n\nThese are the HTTP routes of `sightline serve`. A running server lists them too: "
        "`GET /openapi.json` for programs, `GET /docs` for people. [The server's protocols](serving-protocols.md) describe "
        "bodies "
        "and answers. gRPC offers everything below `/v2` except streams. The last column says what a caller needs on a server "
        "with API keys.\n"
    ]
    for group in dict.fromkeys(operation.group for operation in OPERATIONS):
        rows = [
            [
                f"`{operation.method} {operation.path}`",
                " ".join([operation.text, *(f"`?{query.name}=` {query.text}." for query in operation.query)]),
                ", ".join(f"`{kind}`" for kind in operation.body),
                " ".join([str(operation.status), ", ".join(f"`{kind}`" for kind in operation.answer)]),
                RIGHT_TEXTS[operation.right],
            ]
            for operation in OPERATIONS
            if operation.group == group
        ]
        parts.append(f"## {group}\n\n" + render_table(["Route", "What it does", "Takes", "Answers", "Needs"], rows) + "\n")
    return "\n".join(parts)


def render_platform_routes() -> str:
    """Every route of the platform, what it takes and what it answers, from the schema that the web app's types are made of."""
    operations = [
        (method.upper(), path, operation)
        for path, methods in make_openapi()["paths"].items()
        for method, operation in methods.items()
    ]
    parts = [
        "# Routes of the platform\n\nThese are the HTTP routes of `sightline up`, which the web app uses too. A running server "
        "describes bodies and answers at `GET /v1/openapi.json`. Programs send `Authorization: Bearer TOKEN` with the token "
        "that `sightline up --json` prints. A refusal is `application/problem+json`: its `detail` says what was expected, "
        "what came and what to do.\n"
    ]
    for tag in dict.fromkeys(operation["tags"][0] for _, _, operation in operations):
        rows = [
            [
                f"`{method} {path}`",
                " ".join([operation["description"].replace("\n", " "), *list_queries(operation)]),
                ", ".join(f"`{kind}`" for kind in operation.get("requestBody", {}).get("content", {})),
                describe_answers(operation),
            ]
            for method, path, operation in operations
            if operation["tags"][0] == tag
        ]
        parts.append(f"## {tag}\n\n" + render_table(["Route", "What it does", "Takes", "Answers"], rows) + "\n")
    return "\n".join(parts)


def render_powerai_vision() -> str:
    """Every call that `/api` answers, from its handlers, and who may make it."""
    from fastapi.routing import APIRoute, iter_route_contexts

    from sightline.api.mvi.application import make_mvi
    from sightline.api.mvi.roles import find_role

    rows: dict[str, list[list[str]]] = {}
    for context in iter_route_contexts(make_mvi(None).routes):
        route = context.original_route
        assert isinstance(route, APIRoute) and context.path is not None
        for method in sorted(context.methods or ()):
            meaning = " ".join((route.endpoint.__doc__ or "").split())
            row = [f"`{method} /api{context.path}`", meaning, find_role(method, context.path)]
            rows.setdefault(context.path.split("/")[1], []).append(row)
    parts = [POWERAI_VISION]
    for noun, calls in sorted(rows.items()):
        parts.append(f"## {noun}\n\n" + render_table(["Call", "What it does, and what differs", "Needs"], calls) + "\n")
    return "\n".join(parts)


def list_queries(operation: dict[str, Any]) -> list[str]:
    """What may stand in a route's query."""
    return [
        f"`?{parameter['name']}=` {parameter.get('description', '')}".strip()
        for parameter in operation.get("parameters", [])
        if parameter["in"] == "query"
    ]


def describe_answers(operation: dict[str, Any]) -> str:
    """Status and media type of a route's answers but for the usual refusals."""
    answers = {status: answer for status, answer in operation["responses"].items() if status != "default"}
    return "; ".join(
        " ".join([status, *(f"`{kind}`" for kind in answer.get("content", ()))]) for status, answer in answers.items()
    )


def make_openapi() -> dict[str, Any]:
    """The schema of the platform's routes."""
    from sightline.api.application import make_application

    schema: dict[str, Any] = make_application(None).openapi()
    return schema


def render_openapi() -> str:
    """The schema as the web app keeps it; `npm run schema` makes its types from it."""
    return json.dumps(make_openapi(), indent=2, ensure_ascii=False) + "\n"


def render_python() -> str:
    """What `import sightline` offers: signatures, and what the code says of itself."""
    import sightline

    offers = {name: getattr(sightline, name) for name in sightline.__all__ if not name.startswith("_")}
    kinds = [name for name, offered in offers.items() if inspect.isclass(offered) and issubclass(offered, Exception)]
    parts = [
        "# Python\n\n`import sightline` loads nothing heavy: each name loads what it needs when it is first used. This page "
        "has "
        "first the verbs, then what predicts, then what verbs take and return. "
        f"[Errors](errors.md) are of a few kinds: {', '.join(f'`sightline.{name}`' for name in kinds)}.\n"
    ]
    for name, offered in offers.items():
        if name in kinds:
            continue
        parts.append(f"## {name}\n\n" + render_offered(name, offered))
        if name in ANSWERING:
            for method, function in vars(offered).items():
                if not method.startswith("_") and inspect.isfunction(function):
                    parts.append(f"### {name}.{method}\n\n" + render_offered(method, function))
        elif inspect.isclass(offered):
            parts.append(render_members(name, offered))
    return "\n".join(part for part in parts if part)


def render_offered(name: str, offered: Any) -> str:
    """Signature and docstring of a function or class; of a class that users do not make its name alone."""
    before = "async def" if inspect.iscoroutinefunction(offered) else "class" if inspect.isclass(offered) else "def"
    signature = name if name in NOT_MADE_BY_USERS else render_signature(name, offered)
    return f"```python\n{before} {signature}\n```\n\n```text\n{inspect.getdoc(offered) or ''}\n```\n"


def render_members(name: str, offered: type) -> str:
    """Properties and methods of a class, a line each; nothing for a record that has none."""
    rows = []
    for member, value in vars(offered).items():
        if member.startswith("_") or not (isinstance(value, property) or inspect.isfunction(value)):
            continue
        if isinstance(value, property):
            returned = shorten_type(inspect.signature(value.fget).return_annotation) if value.fget else ""
            call = f"{member} -> {returned}"
        else:
            call = " ".join(render_signature(member, value).split()).replace("( ", "(").replace(", )", ")").replace(",)", ")")
        rows.append([f"`{name}.{call}`", (inspect.getdoc(value) or "").splitlines()[0]])
    return render_table(["Member", "What it is"], rows) + "\n" if rows else ""


def render_signature(name: str, offered: Any) -> str:
    """A signature, a parameter a line, types without their modules."""
    signature = inspect.signature(offered)
    lines, keyword_only = [], False
    for parameter in signature.parameters.values():
        if parameter.name == "self":
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword_only:
            keyword_only = True
            lines.append("    *,")
        kind = "" if parameter.annotation is parameter.empty else f": {shorten_type(parameter.annotation)}"
        stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        lines.append(f"    {stars}{parameter.name}{kind}{render_default(parameter)},")
    returned = signature.return_annotation
    answer = "" if returned in (signature.empty, None) or inspect.isclass(offered) else f" -> {shorten_type(returned)}"
    return "\n".join([f"{name}(", *lines, f"){answer}"]) if lines else f"{name}(){answer}"


def render_default(parameter: inspect.Parameter) -> str:
    """What stands for an argument that is left out; a record of defaults by its name alone."""
    default = parameter.default
    if default is parameter.empty:
        return ""
    if callable(default):
        return f" = {default.__name__}"
    if hasattr(default, "factory"):
        default = default.factory()
    return (
        f" = {default!r}"
        if isinstance(default, (type(None), str, int, float, tuple, list, dict))
        else f" = {type(default).__name__}()"
    )


def shorten_type(annotation: Any) -> str:
    """A type without the modules that its parts stand in, and without the limits of its values."""
    short = re.sub(r"\b(?:[A-Za-z_]\w*\.)+(?=\w)", "", inspect.formatannotation(annotation)).strip("'")
    short = re.sub(r"Annotated\[(\w+), Meta\([^)]*\)\]", r"\1", short)
    return re.sub(r"Optional\[((?:[^\[\]]|\[[^\[\]]*\])*)\]", r"\1 | None", short)


POWERAI_VISION = """# PowerAI Vision's interface

`sightline up` answers below `/api` as PowerAI Vision and Maximo Visual Inspection do. It is tested with IBM's own client,
`vision-tools` 0.2.0, whose calls all are in this list; [how to switch a script over](../guides/powerai-vision.md).

- **Ids** are UUIDs made from names and contents. They stay the same for as long as a thing keeps its name.
- **Lists** are ordered by `sortby` (`FIELD` or `FIELD DESC`, several with commas; newest first by default) and cut by `skip`
  and `limit`.
- **A refusal** has a status outside of 2xx, and JSON with `"result": "fail"` and the reason as `fault`.
- **Words of a body or query that are not known** are passed over.
- **`X-Auth-Token`** is the token that `sightline up` prints, an API key of the page Settings, or what `POST /api/tokens`
  answers to `{"grant_type": "password", "username": ..., "password": ...}`. The last column says which role a call needs.
"""

PAGES: dict[str, Callable[[], str]] = {
    "settings.md": render_settings,
    "commands.md": render_commands,
    "errors.md": render_errors,
    "formats.md": render_formats,
    "networks.md": render_networks,
    "backends.md": render_backends,
    "frameworks.md": render_frameworks,
    "quantisers.md": render_quantisers,
    "routes.md": render_routes,
    "platform-routes.md": render_platform_routes,
    "powerai-vision.md": render_powerai_vision,
    "python.md": render_python,
}


def render_page(name: str) -> str:
    """The text of one reference page."""
    return NOTE + "\n" + PAGES[name]()


def main() -> None:
    """Write every page, and the schema for the web app."""
    for name in PAGES:
        (FOLDER / name).write_text(render_page(name))
        print(f"wrote {FOLDER / name}", file=sys.stderr)
    OPENAPI.write_text(render_openapi())
    print(f"wrote {OPENAPI}; run `npm run schema` in web/ if it changed", file=sys.stderr)


if __name__ == "__main__":
    main()
