"""Clients that were used before a fork, over real connections."""

import asyncio
import os
import traceback
from collections.abc import Callable

import pytest
from scripted_server import serve_script, write_answer

from sightline.core.errors import Conflict
from sightline.serving.client.asynchronous import AsyncClient
from sightline.serving.client.blocking import Client

FOUND = b'{"annotations":[{"category":"dog","confidence":0.5,"origin":"model"}]}'


def run_in_fork(work: Callable[[], None]) -> int:
    """Exit code of a forked process: 0 when the work raises nothing."""
    process = os.fork()
    if not process:
        try:
            work()
        except BaseException:  # noqa: BLE001 - nothing of the test's run may go on in the child
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


FORKING = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # the server's threads are this process's


@FORKING
def test_a_forked_process_has_connections_of_its_own() -> None:
    with serve_script(lambda _: write_answer(200, FOUND)) as server, Client(server.url) as client, Client(server.url) as closed:
        closed.close()
        client.predict("m", b"x")
        inherited = client._transport

        def work() -> None:
            assert client.predict("m", b"x")[0].category == "dog"
            assert [stream._sock.fileno() for stream in inherited._backend.streams] == [-1]
            with pytest.raises(Conflict, match="closed"):
                closed.predict("m", b"x")

        assert run_in_fork(work) == 0
        assert server.connections == 2
        assert client.predict("m", b"x")[0].category == "dog"
        assert server.connections == 2  # the first one was left alone


@FORKING
def test_so_has_one_of_an_async_client() -> None:
    async def main(url: str) -> None:
        client = AsyncClient(url)
        await client.predict("m", b"x")
        # On a thread, which has no running loop.
        assert await asyncio.to_thread(run_in_fork, lambda: asyncio.run(check(client))) == 0
        await client.predict("m", b"x")
        await client.aclose()

    async def check(client: AsyncClient) -> None:
        assert (await client.predict("m", b"x"))[0].category == "dog"
        await client.aclose()

    with serve_script(lambda _: write_answer(200, FOUND)) as server:
        asyncio.run(main(server.url))
        assert server.connections == 2
