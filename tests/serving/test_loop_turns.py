"""The event loop's thread interrupts no other one; those that execute are ordinary."""

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from whole_server import run_server

from sightline.serving.loop_turns import wait_for_turns

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="policies of Linux")


def run_in_thread(call: Callable[[], tuple[bool, int]]) -> tuple[bool, int]:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result()


def wait_and_read() -> tuple[bool, int]:
    return wait_for_turns(), os.sched_getscheduler(0)


def test_the_thread_becomes_a_batch_thread() -> None:
    assert run_in_thread(wait_and_read) == (True, os.SCHED_BATCH)
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_a_system_that_forbids_it_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    assert run_in_thread(wait_and_read) == (False, os.SCHED_OTHER)


def test_a_policy_that_the_operator_chose_stays() -> None:
    def choose_and_wait() -> tuple[bool, int]:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))  # of this thread alone
        return wait_and_read()

    assert run_in_thread(choose_and_wait) == (False, os.SCHED_IDLE)


def test_in_a_server_it_is_the_loop_and_not_the_slots(tmp_path: Path) -> None:
    with run_server(tmp_path):
        policies = {thread.name: os.sched_getscheduler(thread.native_id or 0) for thread in threading.enumerate()}
    assert policies["server"] == os.SCHED_BATCH
    assert {policy for name, policy in policies.items() if name.startswith("slot-")} == {os.SCHED_OTHER}
