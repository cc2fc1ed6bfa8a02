"""Graph passes before quantisation: what can be computed once is, what does nothing leaves, and each pass has to prove itself.

The rewriting is onnxslim's (MIT). The one idea here is distrust: after every pass the graph is checked and run beside the one
before, unoptimised, on a batch of seeded noise; a pass that breaks the graph, renames its ends or changes its answers is
dropped, and its row says so. No pass may fold a Pad into a MaxPool, which pads with -inf (onnxruntime issue 24737): onnxslim
has none, and a test holds it to that. Quantised graphs keep every quantise pair: only what no output needs leaves them.
"""

from collections.abc import Callable
from copy import deepcopy
from functools import partial

import msgspec
import numpy as np
import onnx
from onnx import numpy_helper

from sightline.compiler.graphs import LATEST_IR, LATEST_OPSET, find_opset
from sightline.compiler.importers.onnx.forms import drop_dead_nodes, find_captured, open_unoptimised
from sightline.compiler.importers.onnx.quantised import is_quantised
from sightline.compiler.importers.onnx.reading import one_line
from sightline.core.errors import InvalidInput
from sightline.runtime.backends.onnxruntime import find_engine_errors
from sightline.runtime.output_error import find_largest_error

# Our name of a pass -> the one setting of onnxslim that stays on for it.
SLIM_PASSES = {
    "constant folding": "constant_folding",
    "dead branches and layers that do nothing": "dead_node_elimination",
    "batch-norm and pattern fusion": "graph_fusion",
    "common subexpressions": "subexpression_elimination",
}
UNUSED_SLIM_PASS = "weight_tying"  # it also shares biases, see _share_constants
WEIGHTED_KINDS = {"Conv", "ConvTranspose", "Gemm", "MatMul", "BatchNormalization", "InstanceNormalization", "PRelu"}
PROBE_PICTURES = 3  # more than one, so that a batch that got fixed shows
MAX_ERROR = 1e-4  # relative to the largest magnitude of an output
Outputs = dict[str, np.ndarray]
Rewrite = Callable[[onnx.ModelProto], onnx.ModelProto]
# What onnxslim, the checker and the engine raise for a graph they cannot handle, and our own verdicts.
PASS_FAILURES = (
    InvalidInput,
    onnx.checker.ValidationError,
    onnx.shape_inference.InferenceError,
    ValueError,
    RuntimeError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
)


class PassRow(msgspec.Struct, frozen=True, kw_only=True):
    """What one pass did.

    Attributes:
        name: of the pass.
        nodes_before, nodes_after: operators in the graph.
        weights_before, weights_after: stored tensors.
        max_error: largest difference of an output from the graph as it came, relative to the output's largest magnitude; None
            when nothing changed.
        dropped: why its result was not taken; None when it was.
    """

    name: str
    nodes_before: int
    nodes_after: int
    weights_before: int = 0
    weights_after: int = 0
    max_error: float | None = None
    dropped: str | None = None


def simplify_graph(model: onnx.ModelProto) -> tuple[onnx.ModelProto, list[PassRow]]:
    """Run all passes; the model given is not changed.

    Returns: the graph with the same inputs, outputs, dynamic batch and opset, its surviving nodes under their names; and a row
        for each pass. `graphs.count_operators` of both graphs is the table of operators before and after.

    Raises: InvalidInput when the graph itself does not run.
    """
    current = deepcopy(model)
    passes = dict.fromkeys(["unused branches"], _drop_unused) if is_quantised(model) else _list_slim_passes()
    outputs, rows = _run(current), []
    for name, rewrite in passes.items():
        current, row = _apply(current, name, rewrite, outputs)
        rows.append(row)
    return current, rows


def _list_slim_passes() -> dict[str, Rewrite]:
    passes: dict[str, Rewrite] = {name: partial(_slim, setting=setting) for name, setting in SLIM_PASSES.items()}
    return {**passes, "duplicate constants": _share_constants}


def _apply(model: onnx.ModelProto, name: str, rewrite: Rewrite, expected: Outputs) -> tuple[onnx.ModelProto, PassRow]:
    """Run one pass on a copy and take it only when nothing but its cost changed."""
    before = len(model.graph.node), len(model.graph.initializer)
    kept = PassRow(name=name, nodes_before=before[0], nodes_after=before[0], weights_before=before[1], weights_after=before[1])
    try:
        changed = rewrite(model)
        _restore_names(model, changed)
        if _fingerprint(changed) == _fingerprint(model):
            return model, kept
        error = _check(model, changed, expected)
    except PASS_FAILURES as failure:
        return model, msgspec.structs.replace(kept, dropped=one_line(failure))
    row = msgspec.structs.replace(
        kept, nodes_after=len(changed.graph.node), weights_after=len(changed.graph.initializer), max_error=error
    )
    return changed, row


def _slim(model: onnx.ModelProto, setting: str) -> onnx.ModelProto:
    import onnxslim

    others = [other for other in (*SLIM_PASSES.values(), UNUSED_SLIM_PASS) if other != setting]
    changed: onnx.ModelProto | None = onnxslim.slim(deepcopy(model), skip_optimizations=others)
    if changed is None:
        raise InvalidInput("onnxslim gave no graph back")
    changed.ir_version = min(model.ir_version, LATEST_IR)
    return changed


def _share_constants(model: onnx.ModelProto) -> onnx.ModelProto:
    """Store equal constants once, but give each layer with weights its own: quantisers keep one scale for a tensor's name."""
    copy = deepcopy(model)
    weights = {name for node in copy.graph.node if node.op_type in WEIGHTED_KINDS for name in node.input[1:]}
    captured = find_captured(copy.graph)
    first: dict[tuple[int, tuple[int, ...], bytes], str] = {}
    same = {}
    for tensor in copy.graph.initializer:
        if tensor.name not in weights | captured:
            values = numpy_helper.to_array(tensor)
            same[tensor.name] = first.setdefault((tensor.data_type, values.shape, values.tobytes()), tensor.name)
    for node in copy.graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = same.get(name, name)
    drop_dead_nodes(copy)
    return copy


def _drop_unused(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = deepcopy(model)
    drop_dead_nodes(copy)
    return copy


def _restore_names(model: onnx.ModelProto, changed: onnx.ModelProto) -> None:
    """onnxslim names a fused node after a tensor: give it the name of the node that made this tensor, which it stands for."""
    makers = {name: node for node in model.graph.node for name in node.output}
    own = {node.name for node in model.graph.node}
    taken: set[str] = set()
    for node in changed.graph.node:
        maker = makers.get(node.name)
        if maker is None or maker.op_type != node.op_type:
            maker = makers.get(node.output[0])
        if node.name not in own and maker is not None and maker.name not in taken:
            node.name = maker.name
        taken.add(node.name)


def _fingerprint(model: onnx.ModelProto) -> tuple[list[bytes], list[str]]:
    return [node.SerializeToString() for node in model.graph.node], [tensor.name for tensor in model.graph.initializer]


def _check(model: onnx.ModelProto, changed: onnx.ModelProto, expected: Outputs) -> float:
    """Largest relative error of an output. Raises: InvalidInput when the graph cannot take the other's place."""
    if find_opset(changed) > LATEST_OPSET:
        raise InvalidInput(f"it raised the opset to {find_opset(changed)}")
    for field in ("input", "output"):
        if [_sign(value) for value in getattr(changed.graph, field)] != [_sign(value) for value in getattr(model.graph, field)]:
            raise InvalidInput(f"it changed the graph's {field}s")
    onnx.checker.check_model(changed, full_check=True)
    got, worst = _run(changed), 0.0
    for name, values in expected.items():
        if got[name].shape != values.shape:
            raise InvalidInput(f"it changed the shape of {name} from {values.shape} to {got[name].shape}")
        worst = max(worst, find_largest_error(values, got[name]))
    if not worst < MAX_ERROR:
        raise InvalidInput(f"it changed the outputs by {worst:.1e}, at most {MAX_ERROR:.0e} is allowed")
    return worst


def _sign(value: onnx.ValueInfoProto) -> tuple[str, int, list[str | int]]:
    """Name, element type and axes; the name of a symbolic axis counts, for the batch must stay free."""
    tensor_type = value.type.tensor_type
    return value.name, tensor_type.elem_type, [axis.dim_param or axis.dim_value for axis in tensor_type.shape.dim]


def _run(model: onnx.ModelProto) -> Outputs:
    """Outputs for a batch of seeded noise, each node by its own kernel. Raises: InvalidInput."""
    rng = np.random.default_rng(0)
    feed = {}
    for value in model.graph.input:
        axes = value.type.tensor_type.shape.dim
        shape = [axis.dim_value or PROBE_PICTURES for axis in axes]
        feed[value.name] = rng.standard_normal(shape, dtype=np.float32)
    names = [value.name for value in model.graph.output]
    try:
        return dict(zip(names, open_unoptimised(model).run(names, feed), strict=True))
    except find_engine_errors() as error:
        raise InvalidInput(
            f"the graph does not run on a batch of noise: {one_line(error)}; import or export it again"
        ) from error
