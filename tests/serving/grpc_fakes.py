"""The gRPC server over models of plain numpy, in a thread of this process with an event loop of its own."""

import asyncio
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import grpc
import numpy as np
import pytest
import uvloop
from v2_fakes import MAX_REQUEST_BYTES, Arrays, Bench, NumpyVersion, make_facts, tensor
from waiting import wait_until

from sightline.serving.http.connections.rules import ConnectionLimits
from sightline.serving.inference.service import InferenceService
from sightline.serving.scheduling.work import Work
from sightline.serving.v2_grpc.server import create_grpc_server

with warnings.catch_warnings():  # the client's own dependencies warn at import
    warnings.simplefilter("ignore")
    from tritonclient.grpc import service_pb2

METHOD = "/inference.GRPCInferenceService/"


class Gate(NumpyVersion):
    """The model `gate`: gives back its input, and waits while it is shut."""

    def __init__(self) -> None:
        facts = make_facts("gate", inputs=(tensor("x", "FP32", -1, 1),), outputs=(tensor("x", "FP32", -1, 1),))
        super().__init__(facts, self._pass)
        self.opened = threading.Event()
        self.opened.set()
        self.entered = threading.Semaphore(0)

    def _pass(self, inputs: Arrays) -> Arrays:
        self.entered.release()
        assert self.opened.wait(30)
        return inputs


class GrpcBench(Bench):
    """The pieces of a server, and the model `gate`."""

    def __init__(self, mode: str = "explicit") -> None:
        super().__init__(mode)
        self.gate = Gate()
        self.host.versions["gate"] = self.gate
        self.host.loaded.add("gate")
        self.ended: list[Work] = []
        self._ends = threading.Semaphore(0)
        self.service = InferenceService(self.host, self.scheduler, [self.statistics, self._count_ended])

    def wait_for_submitted(self, count: int) -> None:
        """Return when so many works came to the scheduler."""
        wait_until(lambda: len(self.scheduler.works) >= count)

    def wait_for_ended(self, count: int) -> None:
        """Return when so many works have ended, one way or another."""
        for _ in range(count):
            assert self._ends.acquire(timeout=30)

    def _count_ended(self, work: Work, facts: Any) -> None:
        self.ended.append(work)
        self._ends.release()


@contextmanager
def run_grpc(
    bench: GrpcBench,
    authenticator: Any = None,
    tls: Any = None,
    is_uvloop: bool = True,
    limits: ConnectionLimits | None = None,
    **options: Any,
) -> Iterator[str]:
    """Serve; gives `host:port`. Args: options: of `create_grpc_server`."""
    started: list[int] = []
    is_started, stops = threading.Event(), []

    async def serve() -> None:
        server = create_grpc_server(
            bench.service,
            bench.host,
            bench.statistics,
            max_request_bytes=MAX_REQUEST_BYTES,
            authenticator=authenticator,
            is_ready=lambda: bench.is_ready,
            **options,
        )
        started.append(await server.start("127.0.0.1", 0, tls, limits))
        stop = asyncio.Event()
        stops.append((asyncio.get_running_loop(), stop))
        is_started.set()
        await stop.wait()
        await server.stop(grace_s=5)

    thread = threading.Thread(target=(uvloop.run if is_uvloop else asyncio.run), args=(serve(),))
    thread.start()
    try:
        assert is_started.wait(20)
        yield f"127.0.0.1:{started[0]}"
    finally:
        bench.gate.opened.set()
        for loop, stop in stops:
            loop.call_soon_threadsafe(stop.set)
        thread.join(20)
        bench.scheduler.pool.shutdown()
        assert not thread.is_alive()
        assert bench.host.held == 0  # every acquired version was let go of


def make_tensor(kind: Any, name: str, rows: Sequence[Any], datatype: str = "FP32") -> Any:
    """An input of `tritonclient`. Args: kind: its module `tritonclient.grpc`."""
    array = np.array(rows, object if datatype == "BYTES" else np.float32)
    given = kind.InferInput(name, list(array.shape), datatype)
    given.set_data_from_numpy(array)
    return given


def make_request(model: str = "gate", value: bytes = b"\0\0\0\0") -> Any:
    """A `ModelInferRequest`. Args: value: of a row of the model `gate`."""
    request = service_pb2.ModelInferRequest(model_name=model, raw_input_contents=[value])
    request.inputs.add(name="x", datatype="FP32", shape=[1, 1])
    return request


def read_failure(call: Any, *arguments: Any, **options: Any) -> grpc.RpcError:
    """What a call that fails ends with."""
    with pytest.raises(grpc.RpcError) as raised:
        call(*arguments, timeout=options.pop("timeout", 30), **options)
    return raised.value
