import os
import socket
import subprocess
import sys

import pytest

from sightline.bench.load.server_watch import ServerReading, ServerWatch, compute_cost, find_roots
from sightline.core.errors import NotFound


def test_the_listener_of_a_port_is_found_with_its_children() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        watch = ServerWatch.of_listener("127.0.0.1", listener.getsockname()[1])
        assert watch is not None and watch.pids == {os.getpid()}
        before = watch.read()
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
            during = watch.read()
            assert find_roots(frozenset({os.getpid(), child.pid})) == {os.getpid()}
            child.communicate(b"\n")
    assert before is not None and during is not None
    assert during.processes == before.processes + 1
    assert during.memory_bytes > 1e6 and before.memory_kind == "pss"


def test_cpu_seconds_of_children_that_ended_stay_counted() -> None:
    watch = ServerWatch.of_pid(os.getpid())
    before = watch.read()
    subprocess.run([sys.executable, "-c", "import time\nwhile time.process_time() < 0.3: pass"], check=True)
    after = watch.read()
    cost = compute_cost(before, after)
    assert cost is not None and cost.cpu_s >= 0.28


def test_costs_by_hand_and_without_readings() -> None:
    one = ServerReading(at_s=10.0, processes=1, cpu_s=1.0, memory_kind="pss", memory_bytes=100)
    two = ServerReading(at_s=12.0, processes=3, cpu_s=4.0, memory_kind="pss", memory_bytes=140)
    cost = compute_cost(one, two)
    assert cost is not None
    assert (cost.cpu_s, cost.cores, cost.processes) == (3.0, 1.5, 3)
    assert (cost.memory_before_bytes, cost.memory_after_bytes) == (100, 140)
    assert compute_cost(None, two) is None and compute_cost(one, None) is None


def test_a_process_that_is_not_there() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    with pytest.raises(NotFound, match="`server_pid`"):
        ServerWatch.of_pid(gone.pid)
    assert ServerWatch(frozenset({gone.pid})).read() is None
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert ServerWatch.of_listener("127.0.0.1", port) is None
