"""A foreign module -> ONNX, with the names its author knows: outputs after what the module returns, nodes after its layers.

`torch.onnx.export` notes in each node the layers it comes from. The note gives the node its name and tells which tensor a layer
ends in, so that the graph can be compared with the module layer by layer; then it is dropped.
"""

import ast
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import onnx
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.utils import _pytree as pytree

from sightline.core.errors import Unsupported
from sightline.models.export import EXPORTING, OPSET, clean_onnx, trace_onnx
from sightline.models.foreign.programs import UNREADABLE, first_line

INPUT_NAME = "images"
SCOPES = "pkg.torch.onnx.name_scopes"
SCRIPT_OPSET = 17  # the newest that the exporter for TorchScript writes well


class ExportedGraph(NamedTuple):
    """An exported module.

    Attributes:
        model: one file, opset 17 or 18; the batch is free or, where the exporter could not, fixed to 1.
        layers: tensor of the graph -> layer of the module that ends in it.
    """

    model: onnx.ModelProto
    layers: dict[str, str]


def name_outputs(returned: Any) -> dict[str, Tensor]:
    """Tensors of what a module returns, by name: "output", or keys and places joined by "_".

    Raises: Unsupported for what is no nest of tensors.
    """
    leaves, _ = pytree.tree_flatten_with_path(returned)
    if not leaves or not all(isinstance(leaf, Tensor) for _, leaf in leaves):
        kinds = sorted({type(leaf).__name__ for _, leaf in leaves}) or ["nothing"]
        raise Unsupported(f"expected a network that returns tensors, or tuples and dicts of them, got {', '.join(kinds)}")
    return {_spell(path): leaf for path, leaf in leaves}


def export_module(module: nn.Module, example: Tensor, outputs: Sequence[str]) -> ExportedGraph:
    """Export with a free batch; where the example is one picture or torch finds the batch fixed, with that of one picture.

    Raises: Unsupported with torch's reason.
    """
    reason: Exception | None = None
    for free_batch in (True, False) if len(example) > 1 else (False,):
        try:
            pictures = example if free_batch else example[:1]
            return _finish(trace_onnx(module, pictures, INPUT_NAME, outputs, free_batch))
        except UNREADABLE as error:
            reason = reason or error
    raise Unsupported(f"torch cannot export this network: {first_line(reason or RuntimeError())}") from reason


def export_program(program: ExportedProgram, example: Tensor, outputs: Sequence[str]) -> ExportedGraph:
    """Export a program with the shapes it was made for. Raises: Unsupported with torch's reason."""
    try:
        return _finish(trace_onnx(program, example, INPUT_NAME, outputs))
    except UNREADABLE as error:
        raise Unsupported(f"torch cannot turn this program into ONNX: {first_line(error)}") from error


def export_script(module: torch.jit.ScriptModule, example: Tensor, outputs: Sequence[str]) -> ExportedGraph:
    """Export TorchScript through torch's older exporter, the only one that reads it. Raises: Unsupported with its reason."""
    axes = {name: {0: "batch"} for name in (INPUT_NAME, *outputs)}
    try:
        with EXPORTING, warnings.catch_warnings(), tempfile.TemporaryDirectory(prefix="sightline-export-") as folder:
            warnings.simplefilter("ignore")
            file = Path(folder) / "graph.onnx"
            torch.onnx.export(
                module,
                (example,),
                file,
                dynamo=False,
                opset_version=SCRIPT_OPSET,
                input_names=[INPUT_NAME],
                output_names=list(outputs),
                dynamic_axes=axes,
            )
            return _finish(onnx.load(file))
    except UNREADABLE as error:
        raise Unsupported(f"torch cannot turn this TorchScript network into ONNX: {first_line(error)}") from error


def _finish(model: onnx.ModelProto) -> ExportedGraph:
    layers: dict[str, str] = {}
    for node in model.graph.node:
        for path in _read_scopes(node):
            layers[path] = node.output[0]  # the last node of a layer makes its answer
    _name_nodes(model)
    clean_onnx(model, f"exported by torch {torch.__version__}, opset {OPSET}")
    return ExportedGraph(model, {tensor: path for path, tensor in layers.items()})


def _read_scopes(node: onnx.NodeProto) -> list[str]:
    """Paths of the layers a node lies in, outermost first, without the network itself."""
    text = next((entry.value for entry in node.metadata_props if entry.key == SCOPES), "[]")
    return [path for path in ast.literal_eval(text)[:-1] if path]


def _name_nodes(model: onnx.ModelProto) -> None:
    """Name a node after the innermost layer it lies in; the second of a layer gets "_2"."""
    taken: set[str] = set()
    for node in model.graph.node:
        path = next(reversed(_read_scopes(node)), None) or node.name or node.output[0]
        node.name, number = path, 2
        while node.name in taken:
            node.name, number = f"{path}_{number}", number + 1
        taken.add(node.name)


def _spell(path: Sequence[Any]) -> str:
    words = [str(getattr(key, "key", getattr(key, "idx", getattr(key, "name", key)))) for key in path]
    if not words:
        return "output"
    return words[0] if len(words) == 1 and not words[0].isdigit() else "_".join(["output", *words])
