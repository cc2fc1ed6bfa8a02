"""`sightline serve`: the inference server over a model repository."""

from pathlib import Path
from typing import Annotated

import typer

from sightline.cli.options import JsonOption, WorkspaceOption, open_workspace
from sightline.cli.terminal import Terminal


def serve_command(
    repository: Annotated[Path | None, typer.Argument(help="Model repository; by default the workspace's deployments.")] = None,
    host: Annotated[str | None, typer.Option("--host", help="Address; by default $SIGHTLINE_HOST, 127.0.0.1.")] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65535, help="Port; 0 picks a free one; by default $SIGHTLINE_PORT, 8000.")
    ] = None,
    allow_remote: Annotated[
        bool,
        typer.Option("--allow-remote", help="Let other machines reach the server, which asks for no password."),
    ] = False,
    max_waiting: Annotated[
        int, typer.Option("--max-waiting", min=0, help="Requests that may wait; the next one is answered 503 at once.")
    ] = 64,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Answer POST /predict/NAME with labels, boxes or masks until stopped; new versions are picked up while it runs."""
    import logging

    from sightline.core.settings import Settings
    from sightline.serving.deployments import check_repository
    from sightline.serving.server import LOOPBACK_NAMES, create_app, format_url, is_loopback, open_listener, run_server

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    logging.getLogger("python_multipart.multipart").setLevel(logging.ERROR)  # a client's broken form is told to the client
    settings, terminal = Settings(), Terminal(as_json)
    folder = check_repository(repository) if repository is not None else open_workspace(workspace).deployments
    address = host or settings.host
    listener = open_listener(address, settings.port if port is None else port, allow_remote)
    url = format_url(listener)

    def announce(names: list[str]) -> None:
        terminal.say(f"serving {', '.join(names) or 'nothing yet'} from {folder} at {url}")
        terminal.finish({"url": url, "repository": folder, "deployments": names})

    allowed = LOOPBACK_NAMES if is_loopback(address) else None
    run_server(create_app(folder, settings, max_waiting=max_waiting, allowed_hosts=allowed), listener, announce)
