"""`sightline measure --clients | --rate`: a server under load, in closed loops and in open ones."""

from pathlib import Path
from typing import TYPE_CHECKING, get_args

import msgspec

from sightline.cli.commands.measure_sweep import choose_new_folder
from sightline.cli.options import parse_counts, refuse_options
from sightline.cli.progress import show_progress
from sightline.cli.terminal import Terminal

if TYPE_CHECKING:
    from sightline.bench.load.records import LoadPlan, Protocol
    from sightline.core.workspace import Workspace

LOADS_FOLDER = "loads"


class LoadArguments(msgspec.Struct, frozen=True, kw_only=True):
    """The options only a load measurement has, as they were typed; None means "not said"."""

    clients: str | None = None
    rate: tuple[str, ...] = ()
    duration_s: float | None = None
    warm_up_s: float | None = None
    protocol: str | None = None
    processes: int | None = None
    max_in_flight: int | None = None
    server_pid: int | None = None

    @property
    def wants_load(self) -> bool:
        """Whether one of the options was given that ask for load."""
        return self.clients is not None or bool(self.rate)


def run_load(
    terminal: Terminal,
    home: "Workspace",
    *,
    model: str,
    url: str | None,
    data: str,
    split: str | None,
    api_key: str | None,
    seed: int,
    asked: LoadArguments,
    out: Path | None,
) -> None:
    """Put load on the server, show the table, and keep it as a folder with a page.

    Raises: Exhausted when no request was answered; the page is there then, too.
    """
    from sightline.bench.load.measure import measure_load
    from sightline.bench.load.pages import save_load
    from sightline.bench.load.pictures import read_pictures
    from sightline.bench.load.tables import build_load_table
    from sightline.core.errors import Conflict, Exhausted, InvalidInput

    if url is None:
        raise InvalidInput("load is put on a server; give its --url, such as http://127.0.0.1:8000")
    if out is not None and out.exists():
        raise Conflict(f"{out} exists already; choose another name or remove it")
    plan, protocol = make_plan(asked), parse_protocol(asked.protocol)
    pictures, facts = read_pictures(data, home, None if split == "all" else split, seed)
    with show_progress() as on_progress:
        content = measure_load(
            url,
            model,
            pictures,
            facts,
            plan=plan,
            protocol=protocol,
            api_key=api_key,
            seed=seed,
            server_pid=asked.server_pid,
            on_progress=on_progress,
        )
    terminal.show(build_load_table(content))
    folder = out or choose_new_folder(home, LOADS_FOLDER, content.name, content.created_at)
    page = save_load(content, folder)
    terminal.say(f"page: {page}")
    if not any(point.answered or point.answered_per_s for point in content.points):
        raise Exhausted(f"the server answered no request under load; what came instead is in {page}")
    terminal.finish({"load": content.name, "folder": folder, "page": page, "content": content})


def make_plan(asked: LoadArguments) -> "LoadPlan":
    """The plan of the options, the default where they say nothing. Raises: InvalidInput."""
    from sightline.bench.load.records import LoadPlan

    if not asked.rate:
        refuse_options("--clients without --rate", {"--max-in-flight": asked.max_in_flight})
    fields = {name: getattr(asked, name) for name in ("duration_s", "warm_up_s", "processes", "max_in_flight")}
    return LoadPlan(
        clients=parse_counts(asked.clients, "--clients") if asked.clients is not None else (),
        rates=tuple(part.strip() for rate in asked.rate for part in rate.split(",")),
        **{name: value for name, value in fields.items() if value is not None},
    )


def parse_protocol(name: str | None) -> "Protocol":
    """The protocol of `--protocol`. Raises: InvalidInput."""
    from sightline.bench.load.records import Protocol
    from sightline.core.errors import InvalidInput

    known: tuple[Protocol, ...] = get_args(Protocol)
    for protocol in known:
        if name in (None, protocol):
            return protocol
    raise InvalidInput(f"expected --protocol as one of {', '.join(known)}, got {name!r}")
