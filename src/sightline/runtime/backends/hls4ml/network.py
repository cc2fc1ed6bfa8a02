"""The file of a fixed-point network: an ONNX graph beside it, and for every layer the fixed-point types it computes in.

A type is a width and a number of integer bits: `ap_fixed<width, integer>` of the vendors' C++ holds n / 2^(width - integer) for
whole n, so every scale is a power of two and hardware needs shifts only. The file holds data alone: the C++ is always written
anew from it, and native code is never taken from where a network came from.
"""

import hashlib
import math
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from sightline.core.errors import CorruptFile, InvalidInput, NotFound

SUFFIX = ".fpga.json"
MAX_FILE_BYTES = 64 << 20
IoType = Literal["io_parallel", "io_stream"]


class FixedPoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A fixed-point type.

    Attributes:
        width: bits in all.
        integer: of them in front of the point, the sign's included; below 0 or above `width` where the point lies outside.
        signed: whether there is a sign.
        rounds: whether conversion to it rounds to the nearest (ties upwards) and saturates; else it cuts off and wraps, which
            is right for sums that are wide enough to be exact.
    """

    width: int
    integer: int
    signed: bool = True
    rounds: bool = True

    def __post_init__(self) -> None:
        if not (1 <= self.width <= 128 and -64 <= self.integer <= 128):
            raise ValueError(f"a fixed-point type of {self.width} bits with {self.integer} before the point is out of range")

    @property
    def fraction(self) -> int:
        """Bits behind the point."""
        return self.width - self.integer

    @property
    def step(self) -> float:
        """Distance between two neighbouring values."""
        return 2.0**-self.fraction

    @property
    def largest(self) -> float:
        """The largest value it holds."""
        return (2.0 ** (self.width - self.signed) - 1) * self.step

    @property
    def text(self) -> str:
        """As the vendors' C++ writes it."""
        modes = ",AP_RND,AP_SAT" if self.rounds else ""
        return f"{'ap_fixed' if self.signed else 'ap_ufixed'}<{self.width},{self.integer}{modes}>"

    def quantise(self, values: np.ndarray) -> np.ndarray:
        """Values as this type holds them, float64: rounded to the nearest, ties upwards, and saturated."""
        whole = np.floor(np.asarray(values, np.float64) / self.step + 0.5)
        limit = math.ldexp(1.0, self.width - self.signed)
        return np.clip(whole, -limit if self.signed else 0.0, limit - 1) * self.step


class FixedLayer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The types of one node of the graph.

    Attributes:
        name: of the node, or of its first output where it has none.
        result: of what it gives on.
        weight, bias: of a convolution's or matrix product's.
        sum: of its running sum, wide enough for every input that its types can hold; also of a mean's.
    """

    name: str
    result: FixedPoint
    weight: FixedPoint | None = None
    bias: FixedPoint | None = None
    sum: FixedPoint | None = None


class Port(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An input or output: its name and shape in the graph, the batch left out, and its type."""

    name: str
    shape: tuple[int, ...]
    type: FixedPoint

    @property
    def size(self) -> int:
        """Numbers in one picture's tensor."""
        return math.prod(self.shape)


class FixedNetwork(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="fixed_point_network", tag_field="kind"
):
    """A network in fixed point.

    Attributes:
        graph_file: the ONNX file beside this one, float weights as calibrated.
        graph_sha256: of that file, hex.
        precision: "int8" or "int16": width of weights and activations.
        io_type: tensors as parallel wires, or as streams of pixels; the numbers are the same.
        layers: types of every node.
        calibration_images: pictures that chose the types.
    """

    format_version: int = 1
    graph_file: str
    graph_sha256: str
    precision: Literal["int8", "int16"]
    io_type: IoType
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    layers: tuple[FixedLayer, ...]
    calibration_images: int

    def find_layer(self, name: str) -> FixedLayer:
        """Types of a node. Raises: InvalidInput."""
        found = next((layer for layer in self.layers if layer.name == name), None)
        if found is None:
            raise InvalidInput(f"expected fixed-point types of the layer {name!r}, got none; compile the Model again")
        return found


def write_network(network: FixedNetwork, path: Path) -> None:
    """Write the file; its graph must lie beside it already."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(network), indent=1))


def read_network(path: Path) -> tuple[FixedNetwork, bytes]:
    """Read a file and the graph beside it.

    Returns: the network, and the ONNX file's bytes, which have the recorded hash.
    Raises: InvalidInput, NotFound, CorruptFile.
    """
    if path.stat().st_size > MAX_FILE_BYTES:
        raise InvalidInput(f"cannot open {path}: {path.stat().st_size} bytes are too many for a fixed-point network")
    try:
        network = msgspec.json.decode(path.read_bytes(), type=FixedNetwork)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"cannot open {path} as a fixed-point network: {error}; compile the Model again") from error
    if Path(network.graph_file).name != network.graph_file:
        raise InvalidInput(
            f"cannot open {path}: expected a file beside it, got {network.graph_file!r}; compile the Model again"
        )
    graph = path.with_name(network.graph_file)
    if not graph.is_file():
        raise NotFound(f"{path} lacks {network.graph_file} beside it; compile the Model again")
    content = graph.read_bytes()
    if hashlib.sha256(content).hexdigest() != network.graph_sha256:
        raise CorruptFile(f"{graph} does not match the hash in {path.name}; compile the Model again")
    return network, content
