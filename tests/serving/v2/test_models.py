"""Administration as the handlers of both protocols ask for it."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from repository_fakes import Maker, open_host, write_graph

from sightline.core.errors import Conflict, NotFound
from sightline.serving.repository.host import ModelHost
from sightline.serving.v2.models import Models


def test_loads_that_wait_hold_no_thread_and_go_on_when_their_caller_hangs_up(tmp_path: Path) -> None:
    maker = Maker()
    write_graph(tmp_path, "slow", 1, "slow")
    write_graph(tmp_path, "next", 1, "quick")

    async def administer(host: ModelHost) -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        models = Models(host)
        loads = [asyncio.create_task(models.load(name, {})) for name in ("slow", "slow", "next")]
        assert await asyncio.to_thread(maker.entered.wait, 20)
        assert await asyncio.to_thread(int, "1") == 1  # the only thread is free
        assert models.list_versions("") == []
        loads[2].cancel()
        await asyncio.wait(loads[2:])
        maker.gate.set()
        await asyncio.gather(*loads[:2])
        await models.load("next", {})
        assert models.list_versions("") == [("next", 1), ("slow", 1)]
        assert [model.calls.count("open") for model in maker.alive] == [1, 1]
        await models.unload("slow", with_dependents=False)
        with pytest.raises(NotFound, match="Request for unknown model: no model 'none' in the repository"):
            await models.load("none", {})

    with open_host(tmp_path, maker, mode="explicit") as host:
        asyncio.run(administer(host))


def test_what_a_mode_does_not_allow_is_refused_at_once(tmp_path: Path) -> None:
    with open_host(tmp_path, Maker(), mode="none") as host, pytest.raises(Conflict, match="explicit"):
        asyncio.run(Models(host).load("any", {}))
