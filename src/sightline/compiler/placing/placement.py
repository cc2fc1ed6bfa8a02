"""Place the layers of a network on several devices, and cut it into the parts that run there.

Each layer goes to the first device that declares it. Neighbours on one device are joined as far as the parts stay convex: no
path leaves a part and comes back, so the parts can run one after the other. A part on an accelerator that holds no convolution
or matrix product is not worth the way there and goes to the last device, the CPU.
"""

from collections.abc import Sequence

import msgspec
import onnx
from onnx import helper

from sightline.core.errors import InvalidInput, Unsupported
from sightline.runtime.devices import (
    HEAVY_OPERATORS,
    Device,
    GraphFacts,
    count_node_multiplications,
    count_node_weights,
    find_reason,
    name_node,
)


class LayerPlace(msgspec.Struct, frozen=True, kw_only=True):
    """Where a layer runs, for the report.

    Attributes:
        layer, operator: the node.
        device: where it runs.
        reason: why it does not run on the first device; empty when it does.
    """

    layer: str
    operator: str
    device: str
    reason: str


class LayerPlacement(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the network on one device; parts are in the order they run.

    Attributes:
        device: where.
        nodes: places of its nodes in the graph, rising.
        rows: of its layers.
    """

    device: str
    nodes: tuple[int, ...]
    rows: tuple[LayerPlace, ...]


def place_layers(model: onnx.ModelProto, devices: Sequence[Device]) -> list[LayerPlacement]:
    """Place every layer of a graph.

    Args:
        model: graph in topological order, prepared for the devices.
        devices: first choice first; the last is where everything may go.

    Raises: InvalidInput without devices, Unsupported with every layer that no device declares.
    """
    if not devices:
        raise InvalidInput("expected at least one device, got none; name one, as in hetero:fpga-emulator,cpu")
    facts = GraphFacts(model)
    chosen, reasons = _choose_devices(facts, devices)
    sources = _find_sources(facts)
    while True:
        parts = _join_parts(chosen, sources)
        too_small = [part for part in parts if chosen[part[0]] != devices[-1].name and not _is_heavy(part, facts)]
        if not too_small:
            break
        _move_to_last(too_small, facts, devices, chosen, reasons)
    return [_describe_part(part, facts, chosen, reasons) for part in parts]


def list_places(placements: Sequence[LayerPlacement]) -> list[LayerPlace]:
    """The rows of all parts, for the report."""
    return [row for part in placements for row in part.rows]


def _choose_devices(facts: GraphFacts, devices: Sequence[Device]) -> tuple[list[str], list[str]]:
    """First device for each node that declares it and has room left, and why the first choice did not take it."""
    used = {device.name: (0, 0) for device in devices}
    chosen, reasons, refused = [], [], []
    for node in facts.nodes:
        tried = []
        for device in devices:
            reason = find_reason(node, facts, device) or _find_no_room(node, facts, device, used[device.name])
            if reason is None:
                break
            tried.append(reason)
        else:
            refused.append(f"{name_node(node)} ({node.op_type}): {'; '.join(tried)}")
            continue
        weights, multiplications = used[device.name]
        used[device.name] = (
            weights + count_node_weights(node, facts),
            multiplications + count_node_multiplications(node, facts),
        )
        chosen.append(device.name)
        reasons.append(tried[0] if tried else "")
    if refused:
        raise Unsupported(f"{len(refused)} layers run on none of {', '.join(used)}: {' | '.join(refused)}")
    return chosen, reasons


def _find_no_room(node: onnx.NodeProto, facts: GraphFacts, device: Device, used: tuple[int, int]) -> str | None:
    """Why a device cannot take one more layer after those before it; layers come in the order they run."""
    more = count_node_weights(node, facts), count_node_multiplications(node, facts)
    limits = device.max_weights, device.max_multiplications
    for count, extra, limit, what in zip(used, more, limits, ("weights", "multiplications"), strict=True):
        if extra and limit is not None and count + extra > limit:
            return f"{device.name} is full: {count:,} of {limit:,} {what} taken, {extra:,} more wanted"
    return None


def _find_sources(facts: GraphFacts) -> list[set[int]]:
    """For each node the nodes whose results it reads. Raises: InvalidInput unless the graph is in topological order."""
    makers: dict[str, int] = {}
    sources = []
    for place, node in enumerate(facts.nodes):
        sources.append({makers[name] for name in node.input if name in makers})
        makers |= {name: place for name in node.output if name}
    late = {name for place, node in enumerate(facts.nodes) for name in node.input if makers.get(name, -1) >= place}
    if late:
        raise InvalidInput(f"expected nodes in the order they run, got {sorted(late)} read before it is made; export it again")
    return sources


def _join_parts(chosen: Sequence[str], sources: Sequence[set[int]]) -> list[list[int]]:
    """Convex parts, as large as they can be, in the order they run.

    Nodes first join by level: the number of changes of device on the longest path to them. Nodes of one level and device make
    a convex part, since a path that leaves it only rises. Then parts of one device join wherever no path runs between them
    through a third part.
    """
    levels = [0] * len(chosen)
    for node, inputs in enumerate(sources):
        levels[node] = max((levels[one] + (chosen[one] != chosen[node]) for one in inputs), default=0)
    groups: dict[tuple[int, str], list[int]] = {}
    for node, level in enumerate(levels):
        groups.setdefault((level, chosen[node]), []).append(node)
    parts = [groups[key] for key in sorted(groups)]
    while (pair := _find_joinable(parts, chosen, sources)) is not None:
        first, second = pair
        parts[first] = sorted(parts[first] + parts[second])
        del parts[second]
        parts = _sort_parts(parts, sources)
    return parts


def _find_joinable(
    parts: Sequence[Sequence[int]], chosen: Sequence[str], sources: Sequence[set[int]]
) -> tuple[int, int] | None:
    """Two parts of one device with no third part on a path between them, or None. Args: parts: in the order they run."""
    before = _find_parts_before(parts, sources)
    ancestors: list[int] = []  # of each part the parts before it, a bit each
    for inputs in before:
        ancestors.append(0)
        for one in inputs:
            ancestors[-1] |= ancestors[one] | 1 << one
    for second, inputs in enumerate(before):
        for first in range(second):
            if chosen[parts[first][0]] == chosen[parts[second][0]] and not any(ancestors[one] >> first & 1 for one in inputs):
                return first, second
    return None


def _find_parts_before(parts: Sequence[Sequence[int]], sources: Sequence[set[int]]) -> list[set[int]]:
    """For each part the parts whose results it reads."""
    part_of = {node: place for place, part in enumerate(parts) for node in part}
    return [{part_of[one] for node in part for one in sources[node]} - {place} for place, part in enumerate(parts)]


def _sort_parts(parts: list[list[int]], sources: Sequence[set[int]]) -> list[list[int]]:
    """Parts so that each comes behind those it reads from."""
    before = _find_parts_before(parts, sources)
    done: list[int] = []
    while len(done) < len(parts):
        done.append(next(place for place in range(len(parts)) if place not in done and before[place] <= set(done)))
    return [parts[place] for place in done]


def _is_heavy(part: Sequence[int], facts: GraphFacts) -> bool:
    return any(facts.nodes[node].op_type in HEAVY_OPERATORS for node in part)


def _move_to_last(
    parts: Sequence[Sequence[int]], facts: GraphFacts, devices: Sequence[Device], chosen: list[str], reasons: list[str]
) -> None:
    """Give small parts to the last device. Raises: Unsupported when it does not declare one of their layers."""
    last = devices[-1]
    for node in (node for part in parts for node in part):
        if (reason := find_reason(facts.nodes[node], facts, last)) is not None:
            raise Unsupported(f"{name_node(facts.nodes[node])} cannot go to {last.name}: {reason}")
        reasons[node] = reasons[node] or f"no convolution or matrix product beside it on {chosen[node]}"
        chosen[node] = last.name


def _describe_part(part: Sequence[int], facts: GraphFacts, chosen: Sequence[str], reasons: Sequence[str]) -> LayerPlacement:
    rows = tuple(
        LayerPlace(
            layer=name_node(facts.nodes[node]),
            operator=facts.nodes[node].op_type,
            device=chosen[node],
            reason=reasons[node],
        )
        for node in part
    )
    return LayerPlacement(device=chosen[part[0]], nodes=tuple(part), rows=rows)


def split_graph(model: onnx.ModelProto, placements: Sequence[LayerPlacement]) -> list[onnx.ModelProto]:
    """The graph of each part, in the order they run. Tensors keep their names, so parts fit together by name.

    Raises: Unsupported when a tensor between two parts has no known element type.
    """
    facts = GraphFacts(model)
    values = _describe_tensors(model)
    return [_cut_part(model, facts, values, placement) for placement in placements]


def _describe_tensors(model: onnx.ModelProto) -> dict[str, onnx.ValueInfoProto]:
    """Type and shape of every tensor that inference finds."""
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    return {value.name: value for value in (*graph.value_info, *graph.output, *graph.input)}


def _cut_part(
    model: onnx.ModelProto, facts: GraphFacts, values: dict[str, onnx.ValueInfoProto], placement: LayerPlacement
) -> onnx.ModelProto:
    inside = set(placement.nodes)
    nodes = [facts.nodes[node] for node in placement.nodes]
    made = {name for node in nodes for name in node.output if name}
    read = dict.fromkeys(name for node in nodes for name in node.input if name)
    outside = {name for place, node in enumerate(facts.nodes) if place not in inside for name in node.input}
    inputs = [name for name in read if name not in made and name not in facts.constants]
    outputs = [name for node in nodes for name in node.output if name in outside or name in facts.outputs]
    for name in (*inputs, *outputs):
        if name not in values or not values[name].type.tensor_type.elem_type:
            raise Unsupported(f"the tensor {name!r} between two parts has no known type; compile for one device")
    graph = helper.make_graph(
        nodes,
        f"{model.graph.name or 'graph'} on {placement.device}",
        [values[name] for name in inputs],
        [values[name] for name in outputs],
        [tensor for tensor in model.graph.initializer if tensor.name in read],
    )
    part = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    part.producer_name = model.producer_name
    return part
