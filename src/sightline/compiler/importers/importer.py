"""The seam between `import` and a foreign framework: an Importer turns a network's file into an ONNX graph and what it states.

An importer only reads: it does not choose preprocessing, categories or a decode head (the verb does, from what the file states
and what the user says), and it does not judge itself. It hands over the source network in a form that can still be run, so that
`verification` can compare the graph with it, layer by layer where they differ.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import msgspec
import numpy as np

from sightline.core.manifests import DecodeSpec, Precision, ResizeRule, ShrinkRule
from sightline.core.workspace import StrPath

if TYPE_CHECKING:
    import onnx

Colour = Literal["RGB", "BGR", "GRAY"]
Tensors = Mapping[str, np.ndarray]  # tensor name of the ONNX graph -> array, batch first


class StatedInput(msgspec.Struct, frozen=True, kw_only=True):
    """What is stated of how pictures are fed, None where nothing is. `InputSpec` explains the fields."""

    colour: Colour | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    resize: ResizeRule | None = None
    shrink: ShrinkRule | None = None
    crop_fraction: float | None = None
    pad_value: int | None = None


class ImportOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What you may have to add to a network's file.

    Attributes:
        weights: second file, for formats that come in two; None looks beside the first.
        architecture: architecture that bare weights belong to: "timm/NAME", "torchvision/NAME", or "FILE.py:FUNCTION".
        outputs: names of the tensors to end the graph at; empty keeps the network's own outputs.
        width, height: input size in pixels, for networks that take any size.
        channels: input channels, 1 or 3, for networks that do not say.
    """

    weights: StrPath | None = None
    architecture: str | None = None
    outputs: tuple[str, ...] = ()
    width: int | None = None
    height: int | None = None
    channels: int | None = None


class SourceNetwork(Protocol):
    """The network as its own framework runs it, or another engine that reads the same file.

    Attributes:
        engine: what runs it, with its version: "opencv 4.14.0".
        is_own_framework: False when it is a second, independent engine because the framework itself is not installed.
    """

    engine: str
    is_own_framework: bool

    def run(self, batch: np.ndarray) -> Tensors:
        """Outputs for a batch laid out as the ONNX graph's input wants it, by the ONNX graph's output names and layouts."""
        ...

    def run_layers(self, batch: np.ndarray, names: Sequence[str]) -> Tensors:
        """The tensors of these names of the ONNX graph, as the source computes them; those it does not know are left out."""
        ...

    def close(self) -> None:
        """Free what it holds: sessions, processes, temporary files."""
        ...


@dataclass(frozen=True)
class ImportedGraph:
    """What an importer made of a file.

    Attributes:
        framework: name of the importer: "caffe".
        graph: opset <= 18; one picture input `(batch, C, H, W)`, or `(batch, H, W, C)` where the file wants that, float32 with
            a symbolic batch and fixed H and W; float32 outputs, batch first. QDQ when the file was quantised already. Nodes
            carry the names of the source's layers.
        stated: what the file says of its input.
        published: what is published of its architecture, not stated by the file: whoever trained these weights may have done
            otherwise. Means and stds are for red, green, blue.
        source: the network as its framework runs it.
        files: the files it was read from, the first one first.
        precision: "fp32", or "int8" for a file that was quantised already and stays so.
        categories: names the file carries, in order of the outputs' classes; None when it carries none.
        decode: the decode head when the file says what its outputs mean (a Darknet cfg does); None lets the verb find it.
        notes: what a careful user should know, a line each: layers dropped, values widened.
    """

    framework: str
    graph: "onnx.ModelProto"
    stated: StatedInput
    source: SourceNetwork
    files: tuple[Path, ...]
    precision: Precision = "fp32"
    categories: tuple[str, ...] | None = None
    decode: DecodeSpec | None = None
    published: StatedInput = field(default_factory=StatedInput)
    notes: tuple[str, ...] = field(default=())


class Importer(Protocol):
    """Reads the networks of one framework.

    Attributes:
        name: in the table: "caffe".
        description: a phrase for the reference page.
    """

    name: str
    description: str

    def detect(self, path: Path) -> bool:
        """Whether the file or folder is one of ours, by its name and first bytes only; must not raise for any path."""
        ...

    def missing(self) -> str | None:
        """What must be installed besides onnx before `read` can work, as one line naming the extra, or None."""
        ...

    def read(self, path: Path, options: ImportOptions) -> ImportedGraph:
        """Read the network.

        Raises: InvalidInput for a damaged file or options that do not fit it; NotFound for a file that should lie beside it;
            Unsupported for a network with layers or inputs we cannot carry over, all of them named.
        """
        ...
