"""Network -> ONNX: one file, FP32, opset 18, IR version at most 10, dynamic batch, named input and outputs."""

import copy
import logging
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path

import onnx
import torch
from onnx import ModelProto
from torch import Tensor, nn
from torch.export import ExportedProgram

from sightline.models.network import Network

OPSET = 18
IR_VERSION = 10
# torch's exporters change state of the whole process meanwhile: of two at once in two threads, each fails or spoils the other.
EXPORTING = threading.Lock()


def export_onnx(network: Network, path: Path) -> None:
    """Write the network's graph to `path`; the network itself is not changed.

    The input is `input_spec.name`, `(batch, 3, height, width)` float32 and already normalised; the outputs are named by
    `decode_spec.outputs`.
    """
    clean = copy.deepcopy(network).to("cpu", torch.float32).to(memory_format=torch.contiguous_format)
    clean.eval().requires_grad_(False)
    spec = network.input_spec
    example = torch.zeros(2, 3, spec.height, spec.width)  # a batch of 1 would be taken for a constant
    model = trace_onnx(clean, example, spec.name, network.decode_spec.outputs)
    clean_onnx(model, f"{type(network).__name__}, exported by torch {torch.__version__}")
    onnx.checker.check_model(model, full_check=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save_model(model, str(path))


def trace_onnx(
    module: nn.Module | ExportedProgram, example: Tensor, input_name: str, output_names: Sequence[str], free_batch: bool = True
) -> ModelProto:
    """The graph of a module in evaluation mode, or of a program exported before, as torch's exporter writes it.

    Args:
        example: input `(N, C, H, W)`; of a program its own shapes count.
        free_batch: leave the batch symbolic, named "batch"; else it is that of the example.
    """
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    shapes = ({0: torch.export.Dim("batch", min=1)},) if free_batch and isinstance(module, nn.Module) else None
    with EXPORTING, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's own internals; the exported graph is verified against the network
        program = torch.onnx.export(
            module,
            (example,) if isinstance(module, nn.Module) else (),
            dynamo=True,
            opset_version=OPSET,
            input_names=[input_name],
            output_names=list(output_names),
            dynamic_shapes=shapes,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch.onnx.export returned no program")
    return program.model_proto


def clean_onnx(model: ModelProto, doc: str) -> None:
    """Set the IR version, name the producer, drop what the exporter notes about this machine's source files."""
    model.ir_version = min(model.ir_version, IR_VERSION)
    model.producer_name = "sightline"
    model.doc_string = doc
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        del value.metadata_props[:]
