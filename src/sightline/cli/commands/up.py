"""`sightline up`: the web app in which people label the pictures of a workspace, and its interface for programs."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sightline.cli.options import JsonOption, WorkspaceOption, open_workspace
from sightline.cli.terminal import Terminal, format_count
from sightline.core.percent import format_percent

if TYPE_CHECKING:
    from sightline.store.jobs import Job

MOST_NAMED = 3


def up_command(
    port: Annotated[
        int | None,
        typer.Option(
            "--port", min=0, max=65535, help="Port to listen on; 0 picks a free one; by default 8000, or the next that is free."
        ),
    ] = None,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; one that other machines reach needs users, and TLS or a proxy.")
    ] = "127.0.0.1",
    server_name: Annotated[
        list[str] | None, typer.Option("--server-name", help="Name or address under which browsers ask. May be repeated.")
    ] = None,
    tls_certificate: Annotated[
        Path | None, typer.Option("--tls-certificate", help="PEM file of the certificate with which to serve HTTPS.")
    ] = None,
    tls_key: Annotated[
        Path | None,
        typer.Option("--tls-key", help="PEM file of the certificate's private key, if it is not in the same file."),
    ] = None,
    behind_proxy: Annotated[
        bool, typer.Option("--behind-proxy", help="A proxy on this machine serves HTTPS and alone reaches this server.")
    ] = False,
    author: Annotated[
        str | None,
        typer.Option("--author", help="Name that is written down for each edit; by default the one you are logged in with."),
    ] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Label the pictures of a workspace in a browser, until stopped; prints the link to open."""
    import logging
    import socket

    from sightline.api.reach import Reach
    from sightline.api.server import DEFAULT_PORT, has_users, listen, make_platform, open_parts, run_platform
    from sightline.api.session import Session
    from sightline.cli.commands.serve import configure_logging, find_tls_files, read_server_name
    from sightline.serving.http.tls import make_tls_context
    from sightline.serving.process.listening import format_url

    configure_logging()
    logging.getLogger("alembic").setLevel(logging.WARNING)
    terminal, home = Terminal(as_json), open_workspace(workspace)
    tls_files = find_tls_files(tls_certificate, tls_key, None)
    tls = None if tls_files is None else make_tls_context(*tls_files)
    names = tuple(map(read_server_name, server_name or ()))
    reach = Reach(
        host=host, has_tls=tls is not None, behind_proxy=behind_proxy, names=names, machine=socket.gethostname().lower()
    )
    reach.check(has_users(home))
    listener = listen(host, port)
    bound = listener.getsockname()[1]
    session = Session(
        port=bound,
        author=author or find_user(),
        scheme=reach.scheme,
        hosts=reach.make_hosts(bound),
        behind_proxy=behind_proxy,
    )
    url = reach.make_url(bound)
    link = f"{url}/?token={session.token}"

    def announce() -> None:
        if port is None and session.port != DEFAULT_PORT:
            terminal.note(f"port {DEFAULT_PORT} is taken, perhaps by another `sightline up`: this one is on {session.port}")
        if behind_proxy:
            terminal.note(f"the proxy finds this server at {format_url(listener)}; it must pass the Host on that browsers send")
        terminal.say(f"label the pictures of {home.root} at {url if as_json else link}")  # no token among what is logged
        terminal.finish({"url": url, "token": session.token, "link": link, "workspace": home.root})

    with open_parts(home) as parts:
        app = make_platform(parts, session)
        run_platform(app, listener, announce, parts.jobs.begin_to_close, limits=reach.limits, tls=tls)
        if left := parts.jobs.close():
            terminal.note(describe_left(left))


def describe_left(jobs: Sequence["Job"]) -> str:
    """What becomes of jobs that were not done when the server ended."""
    named = ", ".join(f"{job.kind} {format_percent(job.progress, 0)}" for job in jobs[:MOST_NAMED])
    more = f" and {len(jobs) - MOST_NAMED} more" if len(jobs) > MOST_NAMED else ""
    return f"{format_count(len(jobs), 'job')} will go on at the next `sightline up`: {named}{more}"


def find_user() -> str:
    """The name of the user who runs this, or their number where it has none."""
    import os
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"user {os.getuid()}"
