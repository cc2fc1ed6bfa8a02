"""PyTorch networks brought to our form: `.pt2` programs, TorchScript, bare weights with a named architecture, and modules.

`sightline.models.foreign` opens and exports them; the graph then takes the same way as any ONNX file. torch is imported
only when a network is read.
"""

import importlib.util
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from sightline.compiler.importers.importer import ImportedGraph, ImportOptions, StatedInput
from sightline.compiler.importers.onnx.importer import normalise_graph
from sightline.compiler.importers.onnx.reading import check_model
from sightline.core.errors import Unsupported

if TYPE_CHECKING:
    from sightline.models.foreign.opening import ForeignNetwork

SUFFIXES = (".pt2", ".pt", ".pth", ".th", ".ts", ".torchscript", ".safetensors", ".ckpt")
ZIP, PICKLE = b"PK\x03\x04", b"\x80"
MISSING = "PyTorch networks need torch and timm; pip install 'sightline[train,compile]'"


class PytorchImporter:
    """Reads `.pt2`, TorchScript and weights."""

    name = "pytorch"
    description = "PyTorch: exported programs (.pt2), TorchScript, weights of a named architecture"

    def detect(self, path: Path) -> bool:
        """Whether name and first bytes are those of a PyTorch archive, an old checkpoint or safetensors."""
        try:
            if path.suffix.lower() not in SUFFIXES or not path.is_file():
                return False
            with path.open("rb") as file:
                start = file.read(9)
        except (OSError, ValueError):
            return False
        if path.suffix.lower() == ".safetensors":
            return start[8:9] == b"{"
        return start[:4] == ZIP or start[:1] == PICKLE

    def missing(self) -> str | None:
        """What must be installed, or None."""
        return None if all(importlib.util.find_spec(name) for name in ("torch", "onnxscript")) else MISSING

    def read(self, path: Path, options: ImportOptions) -> ImportedGraph:
        """Read the network. Raises: InvalidInput, NotFound, Unsupported."""
        from sightline.models.foreign.opening import read_foreign

        network = read_foreign(path, options.architecture, options.width, options.height, options.channels)
        files = (path, *_list_own_code(options.architecture))
        return _make_import(network, options, files, path.name)


def read_module(
    module: Any, width: int | None = None, height: int | None = None, channels: int | None = None, outputs: tuple[str, ...] = ()
) -> ImportedGraph:
    """Import a network that lives in this Python process.

    Args:
        module: a `torch.nn.Module`; a copy of it is taken, in evaluation mode and float32.
        width, height: of its input, pixels; None takes what timm publishes of it.
        channels: 1 or 3; None takes what its first convolution wants.
        outputs: layers or tensors to end it at.

    Raises: InvalidInput, Unsupported.
    """
    from sightline.models.foreign.opening import copy_module, export_foreign

    options = ImportOptions(width=width, height=height, channels=channels, outputs=outputs)
    network = export_foreign(copy_module(module), width=width, height=height, channels=channels)
    return _make_import(network, options, (), type(module).__name__)


def _make_import(network: "ForeignNetwork", options: ImportOptions, files: tuple[Path, ...], name: str) -> ImportedGraph:
    check_model(network.graph, name)
    layers = {layer: tensor for tensor, layer in network.source.layers.items()}
    outputs = tuple(layers.get(output, output) for output in options.outputs)
    own = [value.name for value in network.graph.graph.output]
    if unknown := [output for output in outputs if output not in own and output not in network.source.layers]:
        raise Unsupported(
            f"{name} cannot end at {', '.join(unknown)}, which torch does not give; its outputs are {', '.join(own)}, "
            f"and it can end at {len(layers)} of its layers{_show_examples(layers)}"
        )
    done = normalise_graph(network.graph, msgspec.structs.replace(options, outputs=outputs), name)
    network.source.rows = done.rows
    facts = network.facts
    published = StatedInput(
        colour="RGB" if facts.mean else None,  # timm and torchvision publish mean and std of red first
        mean=facts.mean,
        std=facts.std,
        resize=facts.resize,
        crop_fraction=facts.crop_fraction,
    )
    return ImportedGraph(
        framework=PytorchImporter.name,
        graph=done.graph,
        stated=StatedInput(colour="GRAY" if done.picture.channels == 1 else None),
        source=network.source,
        files=files,
        precision=done.precision,
        published=published,
        notes=done.notes,
    )


def _show_examples(layers: Collection[str]) -> str:
    return f" ({', '.join(list(layers)[:2])} ... {list(layers)[-1]})" if layers else ""


def _list_own_code(architecture: str | None) -> list[Path]:
    """The user's own file, which belongs to the network as its weights do."""
    file = (architecture or "").rpartition(":")[0]
    return [Path(file)] if file.endswith(".py") else []
