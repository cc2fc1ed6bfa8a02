"""A gRPC server on loopback, and stubs of the published client's generated code."""

import warnings
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_fakes import GrpcBench, run_grpc

from sightline.imaging.files.reading import encode_image

with warnings.catch_warnings():  # the client's own dependencies warn at import
    warnings.simplefilter("ignore")
    from tritonclient.grpc import service_pb2_grpc


@pytest.fixture
def bench() -> GrpcBench:
    return GrpcBench()


@pytest.fixture
def address(bench: GrpcBench) -> Iterator[str]:
    with run_grpc(bench) as address:
        yield address


@pytest.fixture
def stub(address: str) -> Iterator[Any]:
    """Calls with messages, as a client without a library's help makes them."""
    with grpc.insecure_channel(address) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


@pytest.fixture
def jpeg() -> bytes:
    """A bright picture."""
    return encode_image(np.full((30, 40, 3), 230, np.uint8), "jpeg")


@pytest.fixture
def red_png() -> bytes:
    return encode_image(np.full((5, 7, 3), (200, 0, 0), np.uint8), "png")
