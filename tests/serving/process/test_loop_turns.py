"""While requests wait the event loop's thread interrupts no other one; those that execute are ordinary throughout."""

import os
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from http_server import connect
from waiting import wait_until
from whole_server import run_server

from sightline.core.settings import Settings
from sightline.imaging.files.reading import encode_image
from sightline.serving.inference.served_model import ServedModel
from sightline.serving.process.loop_turns import LoopTurns
from sightline.serving.scheduling.work import Work
from sightline.serving.server_options import ServerOptions

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="policies of Linux")


def list_policies(waiting: Sequence[int], before: Callable[[], object] = lambda: None, slots: int = 2) -> list[int]:
    """The policy of a thread of its own after it looked at each of these numbers of waiting requests."""
    depths = iter(waiting)
    turns = LoopTurns(lambda: next(depths), slots)

    def look() -> int:
        turns.look()
        return os.sched_getscheduler(0)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(before).result()
        return [pool.submit(look).result() for _ in waiting]


def test_it_waits_from_three_of_each_slot_until_one_of_each() -> None:
    policies = list_policies([0, 5, 6, 3, 9, 2, 5, 6])
    names = {os.SCHED_OTHER: "other", os.SCHED_BATCH: "batch"}
    assert [names[one] for one in policies] == ["other", "other", "batch", "batch", "batch", "other", "other", "batch"]
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_queues_do_not_grow_with_the_cores() -> None:
    assert list_policies([47, 48, 17, 16], slots=64) == [os.SCHED_OTHER, os.SCHED_BATCH, os.SCHED_BATCH, os.SCHED_OTHER]


def test_a_system_that_forbids_it_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def refuse(*arguments: object) -> None:
        asked.append(arguments)
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    assert list_policies([8, 8, 0, 8]) == [os.SCHED_OTHER] * 4
    assert len(asked) == 1


def test_a_policy_that_the_operator_chose_stays() -> None:
    def choose() -> None:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))  # of this thread alone

    assert list_policies([8, 0, 8], choose) == [os.SCHED_IDLE] * 3


def test_in_a_server_it_is_the_loop_and_not_the_slots(repository: Path) -> None:
    gate = threading.Event()

    class Gated(ServedModel):
        def execute(self, works: Sequence[Work], alone: bool) -> None:
            assert gate.wait(30)
            super().execute(works, alone)

    def read_policies() -> set[tuple[str, int]]:
        threads = [(thread.name.partition("-")[0], thread.native_id or 0) for thread in threading.enumerate()]
        return {(name, os.sched_getscheduler(number)) for name, number in threads if name in ("server", "slot")}

    picture = encode_image(np.full((8, 8, 3), 255, np.uint8), "png")
    with (
        run_server(
            repository, ServerOptions(express_slots=0), Settings(threads=1), lambda source: Gated(source, 1, 1000)
        ) as running,
        running.client() as client,
        ThreadPoolExecutor(4) as pool,
    ):
        answers = [pool.submit(client.post, "/predict/parts", content=picture) for _ in range(4)]
        try:
            wait_until(lambda: running.whole.scheduler.waiting == 3)
            assert read_policies() == {("server", os.SCHED_OTHER), ("slot", os.SCHED_OTHER)}
            with connect(running.port) as leaving:
                leaving.sendall(
                    b"POST /predict/parts HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(picture) + picture
                )
                wait_until(lambda: running.whole.scheduler.waiting == 4)
            wait_until(lambda: read_policies() == {("server", os.SCHED_BATCH), ("slot", os.SCHED_OTHER)})
        finally:
            gate.set()
        assert [answer.result().status_code for answer in answers] == [200] * 4
        wait_until(lambda: read_policies() == {("server", os.SCHED_OTHER), ("slot", os.SCHED_OTHER)})
