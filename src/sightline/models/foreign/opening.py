"""PyTorch networks of strangers: opened, exported to ONNX, and kept runnable as the source to compare the graph with.

Four forms end in the same record: a module, an exported program (`.pt2`), TorchScript, and bare weights with a named
architecture. Nothing here unpickles or runs code from a file, except the user's own FILE.py:FUNCTION, and TorchScript in its
own interpreter.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from sightline.core.errors import InvalidInput, NotFound, Unsupported
from sightline.models.foreign.architectures import InputFacts, find_published_facts, read_weighted_module
from sightline.models.foreign.export import (
    ExportedGraph,
    export_module,
    export_program,
    export_script,
    name_outputs,
)
from sightline.models.foreign.layers import look_at_module, look_at_program, to_numpy
from sightline.models.foreign.programs import UNREADABLE, find_kind, first_line, load_program, load_torchscript

LONGEST_SIDE = 16384
Look = Callable[[Sequence[str], Tensor], dict[str, list[np.ndarray]]]  # (paths of layers, batch) -> what each use of them gave


class ForeignNetwork(NamedTuple):
    """A foreign network, exported.

    Attributes:
        graph: as the exporter wrote it; its batch may still be fixed to 1.
        source: runs the network in torch.
        facts: what is published of its input.
    """

    graph: onnx.ModelProto
    source: "TorchSource"
    facts: InputFacts


class TorchSource:
    """The network itself, in evaluation mode and float32, run by torch with the thread count torch has.

    Attributes:
        rows: shape of a row of each output that is asked for, by name; empty for all that the network returns.

    Args:
        run: batch -> what the network returns.
        layers: tensor of the exported graph -> layer that ends in it; empty where torch cannot look inside.
        look: (paths of layers, run) -> what each layer's uses gave while `run` ran.
        batches: smallest and largest batch it takes; a part that is too small is filled up with its last picture.
    """

    is_own_framework = True

    def __init__(
        self,
        run: Callable[[Tensor], Any],
        layers: Mapping[str, str] | None = None,
        look: Look | None = None,
        *,
        batches: tuple[int, int | None],
    ) -> None:
        self.engine = f"torch {torch.__version__}"
        self.layers = dict(layers or {})
        self._run = run
        self._look = look
        self._batches = batches
        self.rows: dict[str, tuple[int, ...]] = {}

    def run(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        """Outputs `(N, ...)` float32 by name, for a batch `(N, C, H, W)` float32."""
        found = self._collect(batch)
        wanted = self.rows or found
        inner = self.run_layers(batch, [name for name in wanted if name not in found])
        return {name: (found | inner)[name] for name in wanted}

    def run_layers(self, batch: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Tensors of the exported graph as the module's layers give them; those that end no layer are left out."""
        wanted = {self.layers[name]: name for name in names if name in self.layers}
        if self._look is None or not wanted:
            return {}
        parts = []
        with torch.inference_mode():
            for part, count in self._split(batch):
                seen = self._look(list(wanted), part)
                once = {path: values[0] for path, values in seen.items() if len(values) == 1}  # twice used: no one answer
                parts.append({path: values[:count] for path, values in once.items() if len(values) == len(part)})
        whole = [path for path in wanted if parts and all(path in part for part in parts)]
        return {wanted[path]: np.concatenate([part[path] for part in parts]) for path in whole}

    def close(self) -> None:
        """Free the network."""
        del self._run, self._look

    def _collect(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        parts = []
        with torch.inference_mode():
            for part, count in self._split(batch):
                try:
                    returned = self._run(part)
                except UNREADABLE as error:
                    raise InvalidInput(f"the network does not take this batch: {first_line(error)}") from error
                parts.append({name: to_numpy(values)[:count] for name, values in name_outputs(returned).items()})
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}

    def _split(self, batch: np.ndarray) -> Iterator[tuple[Tensor, int]]:
        """Parts the network takes, with the number of pictures in each that count."""
        smallest, largest = self._batches
        size = largest or max(len(batch), 1)
        for start in range(0, len(batch), size):
            part = batch[start : start + size]
            filled = np.concatenate([part, part[-1:].repeat(max(smallest - len(part), 0), axis=0)])
            yield torch.from_numpy(np.ascontiguousarray(filled, np.float32)), len(part)


def read_foreign(
    path: Path, architecture: str | None, width: int | None, height: int | None, channels: int | None
) -> ForeignNetwork:
    """Open a PyTorch file of any form and export it.

    Raises: NotFound, InvalidInput for damaged files and weights that do not fit, Unsupported for what cannot be exported.
    """
    if not path.is_file():
        raise NotFound(f"no PyTorch file {path}; check the path")
    kind = find_kind(path)
    if kind in ("program", "torchscript") and architecture is not None:
        raise InvalidInput(
            f"expected no `architecture` for {path.name}, which holds its own network, got {architecture}; leave it out"
        )
    if kind == "program":
        return _read_program(load_program(path), path.name, width, height)
    if kind == "torchscript":
        return _read_script(load_torchscript(path), path.name, width, height, channels)
    module, facts = read_weighted_module(path, architecture)
    return export_foreign(module, width=width, height=height, channels=channels, facts=facts, name=path.name)


def copy_module(module: object) -> nn.Module:
    """A caller's module for `export_foreign`, which changes it; the caller may be in the middle of training it.

    Raises: InvalidInput for what is no module; Unsupported for one that cannot be copied.
    """
    if not isinstance(module, nn.Module):
        raise InvalidInput(f"expected a path or a torch.nn.Module, got {type(module).__name__}; pass one of them")
    try:
        return copy.deepcopy(module)
    except (RuntimeError, TypeError) as error:  # it holds a tensor of its last run, or something that is no data
        raise Unsupported(
            f"{type(module).__name__} cannot be copied: {first_line(error)}; save it with torch.export.save, import the file"
        ) from error


def export_foreign(
    module: nn.Module,
    *,
    width: int | None,
    height: int | None,
    channels: int | None,
    facts: InputFacts | None = None,
    name: str = "the module",
) -> ForeignNetwork:
    """Export a module; sizes that are not given come from what is published of it, channels from its first convolution."""
    module = module.to("cpu", torch.float32).eval().requires_grad_(False)
    facts = facts or find_published_facts(module)
    example = _make_example(module, width or facts.width, height or facts.height, channels, name)
    example, outputs = _run_example(module, example, name)
    exported = export_module(module, example, list(outputs))
    look, largest = partial(look_at_module, module), None if len(example) > 1 else 1
    return ForeignNetwork(exported.model, TorchSource(module, _keep_real(exported, module), look, batches=(1, largest)), facts)


def _read_program(program: ExportedProgram, name: str, width: int | None, height: int | None) -> ForeignNetwork:
    inputs = program.graph_signature.user_inputs
    values = [node.meta["val"] for node in program.graph.nodes if node.op == "placeholder" and node.name in inputs]
    if len(values) != 1 or not isinstance(values[0], Tensor) or values[0].ndim != 4:
        shapes = ", ".join(str(tuple(getattr(value, "shape", ()))) for value in values)
        raise Unsupported(
            f"{name} is no vision network: it takes {len(values)} inputs ({shapes}), expected one picture (N, C, H, W)"
        )
    batches = _read_batches(program, values[0].shape[0])
    module = program.module()
    asked = (None, height, width)
    sizes = [size if isinstance(size, int) else wanted for size, wanted in zip(values[0].shape[1:], asked, strict=True)]
    if None in sizes:
        raise InvalidInput(f"{name} takes pictures of any size; say `width` and `height` of its input")
    example = torch.zeros([batches[0], *(size or 0 for size in sizes)])
    kind = values[0].dtype

    def run(batch: Tensor) -> Any:
        return module(batch.to(kind))

    outputs = name_outputs(_try(run, example, name))
    exported = export_program(program, example, list(outputs))
    look = partial(look_at_program, module, kind)
    return ForeignNetwork(exported.model, TorchSource(run, exported.layers, look, batches=batches), InputFacts())


def _read_batches(program: ExportedProgram, size: Any) -> tuple[int, int | None]:
    """Smallest and largest batch a program takes."""
    if isinstance(size, int):
        return size, size
    allowed = program.range_constraints.get(size.node.expr)
    if allowed is None:
        return 1, None
    largest = int(allowed.upper) if allowed.upper.is_Integer else None  # else one of torch's infinities
    return max(1, int(allowed.lower)), largest


def _read_script(
    module: torch.jit.ScriptModule, name: str, width: int | None, height: int | None, channels: int | None
) -> ForeignNetwork:
    example = _make_example(module, width, height, channels, name)
    kind = next((value.dtype for value in module.parameters() if value.is_floating_point()), torch.float32)
    module = module.float() if kind != torch.float32 else module
    example, outputs = _run_example(module, example, name)
    exported = export_script(module, example, list(outputs))
    return ForeignNetwork(exported.model, TorchSource(module, batches=(1, None if len(example) > 1 else 1)), InputFacts())


def _make_example(module: nn.Module, width: int | None, height: int | None, channels: int | None, name: str) -> Tensor:
    """Two black pictures; a batch of one would be taken for a constant."""
    first = next((layer for layer in module.modules() if isinstance(layer, nn.Conv2d)), None)
    shape = _find_kernel_shape(module)
    found: int | None = first.in_channels if first is not None else shape[1] if shape is not None else None
    if channels is not None and found is not None and channels != found:
        raise InvalidInput(f"expected {found} channels, as the first convolution of {name} takes, got {channels}")
    channels = channels or found
    if channels not in (1, 3):
        raise Unsupported(f"{name} is no vision network: its first convolution takes {channels} channels, pictures have 1 or 3")
    if width is None or height is None:
        raise InvalidInput(f"{name} takes pictures of any size; say `width` and `height` of its input")
    if not (0 < width <= LONGEST_SIDE and 0 < height <= LONGEST_SIDE):
        raise InvalidInput(f"expected a width and height of 1 to {LONGEST_SIDE}, got {width} x {height}")
    return torch.zeros(2, channels, height, width)


def _find_kernel_shape(module: nn.Module) -> torch.Size | None:
    """Shape (out, in, height, width) of the first kernel in TorchScript, whose layers have lost their classes."""
    return next((value.shape for value in module.parameters() if value.ndim == 4), None)


def _run_example(module: nn.Module, example: Tensor, name: str) -> tuple[Tensor, dict[str, Tensor]]:
    """Outputs for two pictures, or for one where the network takes no more at a time; with the pictures it took."""
    try:
        outputs = name_outputs(_try(module, example, name))
        if all(values.shape[:1] == example.shape[:1] for values in outputs.values()):
            return example, outputs
    except InvalidInput:
        pass  # its code may hold a batch of one; any other fault shows again below
    return example[:1], name_outputs(_try(module, example[:1], name))


def _try(run: Callable[[Tensor], Any], example: Tensor, name: str) -> Any:
    try:
        with torch.inference_mode():
            return run(example)
    except UNREADABLE as error:
        size = " x ".join(str(side) for side in (example.shape[3], example.shape[2]))
        raise InvalidInput(f"{name} does not run on a picture of {size}: {first_line(error)}; say another size") from error


def _keep_real(exported: ExportedGraph, module: nn.Module) -> dict[str, str]:
    """The layers that are modules of this network."""
    own = {path for path, _ in module.named_modules()}
    return {tensor: path for tensor, path in exported.layers.items() if path in own}
