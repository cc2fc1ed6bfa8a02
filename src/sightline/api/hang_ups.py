"""A request whose client has hung up is carried out all the same, as it holds threads and locks.

The connections of the inference server end a request's task when its client goes, which saves work in queues. A handler here
runs on a thread that cannot be ended, under limits that must hold as long as it runs. So its task goes on. Streams and uploads,
which ask whether their reader is still there, are told that it is not.
"""

import asyncio
from contextlib import suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sightline.serving.http.connections.exchange import ClientGone, is_ended_by_server

TOLD_BY_RECEIVE = "2.3"  # of ASGI: the version before which no `send` fails, so that streams listen for the end


class CarriedOut:
    """The ASGI layer. Args: app: answers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["asgi"] = {**scope["asgi"], "spec_version": TOLD_BY_RECEIVE}

        async def send_if_there(message: Message) -> None:
            with suppress(ClientGone):
                await send(message)

        work = asyncio.ensure_future(self._app(scope, receive, send_if_there))
        has_gone = False
        while True:
            try:
                await asyncio.shield(work)
                return
            except asyncio.CancelledError:
                if work.done() or has_gone or is_ended_by_server(scope):
                    work.cancel()
                    raise
                has_gone = True
