"""The imported graph against the source network on pictures: an import that computes something else is refused.

The graph runs in `reference` (every node by its own kernel, no optimisation), the source in its own framework, or in a second,
independent engine where that is not installed. When outputs differ, the intermediate tensors that both sides know are compared
in the order of the graph, and the error names the first layer that differs.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import numpy as np
import onnx

from sightline.compiler.graphs import expose_tensors, save_graph
from sightline.compiler.importers.importer import ImportedGraph
from sightline.compiler.importing.output_heads import list_outputs
from sightline.compiler.importing.packed_outputs import Part, find_part_error, find_parts
from sightline.core.errors import InvalidInput, Unsupported
from sightline.core.percent import format_percent
from sightline.runtime.backend import SessionOptions, Tensors
from sightline.runtime.backends.table import load_backend
from sightline.runtime.output_error import find_index_error

MAX_FLOAT_ERROR = 1e-3  # of the largest magnitude of an output, all pictures together
# Integer kernels and dequantised arithmetic round differently in every layer: the root mean square of the difference over that
# of the output is what stays small when both compute the same network, and the best class what must not change.
MAX_INTEGER_ERROR = 0.1
MIN_INTEGER_AGREEMENT = 0.9
LAYERS_AT_ONCE = 24  # intermediate tensors held at once while the first that differs is looked for


class ImportFailed(Unsupported):
    """The imported graph does not compute what the source network computes."""


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """What the comparison found; kept in the Model's manifest as `export_check`.

    Attributes:
        engine: what ran the source network.
        is_own_framework: False when it was a second engine, not the framework itself.
        pictures, picture_source: how many, and which.
        max_relative_error: largest difference of an output, or of a part of one that packs several tensors, over its largest
            magnitude.
        rms_relative_error: root mean square of the difference over that of the output; the largest of all outputs.
        top1_agreement: share of the places (pictures, cells, pixels) whose largest class is the same, 0..1; None where no
            output has a class axis.
        limit: of the error that decides: the largest for float networks, the root mean square for quantised ones.
    """

    engine: str
    is_own_framework: bool
    pictures: int
    picture_source: str
    max_relative_error: float
    rms_relative_error: float
    top1_agreement: float | None
    limit: float


def verify_import(
    imported: ImportedGraph,
    batches: Sequence[np.ndarray],
    picture_source: str,
    on_part: Callable[[float], None],
    is_generated: bool = False,
) -> Verification:
    """Compare all outputs on all batches.

    Args:
        batches: prepared inputs `(1, ...)` float32.
        picture_source: which pictures they are, for the record.
        on_part: told the part done, 0..1.
        is_generated: the pictures show nothing that the network knows. Its best classes are then nearly ties that any rounding
            turns, so that of a quantised network only the numbers count.

    Raises: ImportFailed naming the limit that was broken and the first layer that differs; InvalidInput when the source's own
        answers are not finite.
    """
    with TemporaryDirectory(prefix="sightline-verify-") as folder:
        graph = Path(folder) / "imported.onnx"
        save_graph(imported.graph, graph)
        with closing(load_backend("reference").open(graph, SessionOptions())) as session:
            pairs, name = [], session.input_names[0]
            for place, batch in enumerate(batches, start=1):
                pairs.append((dict(imported.source.run(batch)), session.infer({name: batch})))
                on_part(place / len(batches))
    refuse_not_finite(imported, batches, [expected for expected, _ in pairs])
    is_integer = imported.precision == "int8"
    parts = [] if is_integer else find_parts(imported.graph, {name: batches[0]})  # a quantised file rounded its own
    found = summarise(imported, pairs, picture_source, parts)
    if broken := find_broken_limit(found, is_integer, counts_classes=not is_generated):
        where = find_first_difference(imported, batches[0])
        real = "compare on real pictures (`pictures`), or " if is_integer and is_generated else ""
        raise ImportFailed(f"the imported graph differs from {found.engine}: {broken}; {where}; {real}report it with the file")
    return found


def refuse_not_finite(imported: ImportedGraph, batches: Sequence[np.ndarray], answers: Sequence[Tensors]) -> None:
    """A source that answers NaN or infinity proves nothing of its import. Raises: InvalidInput naming the first such layer."""
    broken = [batch for batch, outputs in zip(batches, answers, strict=True) if not _are_finite(outputs.values())]
    if broken:
        layer = find_first_not_finite(imported.graph, broken[0])
        raise InvalidInput(
            f"the network itself answers NaN or infinity on {len(broken)} of {len(batches)} pictures{layer}; feed it otherwise "
            "(`preset`, `mean`, `std`), or export it with finite weights and outputs"
        )


def find_first_not_finite(graph: onnx.ModelProto, batch: np.ndarray) -> str:
    """In words: the first layer that makes NaN, else an infinity; "" when none does."""
    names = [name for node in graph.graph.node for name in node.output if name]
    infinite = ""
    for first in range(0, len(names), LAYERS_AT_ONCE):
        made = run_layers(graph, batch, names[first : first + LAYERS_AT_ONCE])
        for name, values in made.items():
            if np.isnan(values).any():
                return f", NaN from its layer {_describe_layer(graph, name)} on"
            if not infinite and not _are_finite([values]):
                infinite = f", infinity from its layer {_describe_layer(graph, name)} on"
    return infinite


def _are_finite(tensors: Iterable[np.ndarray]) -> bool:
    return all(np.isfinite(values).all() for values in tensors)


def summarise(
    imported: ImportedGraph, pairs: Sequence[tuple[Tensors, Tensors]], picture_source: str, parts: Sequence[Part] = ()
) -> Verification:
    """Errors over all pictures; of class indices, the share of the places that differ: 3 is no nearer to 4 than to 15.

    Args: pairs: (source's outputs, graph's outputs) of each batch; parts: of outputs that pack several tensors.
    """
    names = [value.name for value in imported.graph.graph.output]
    indices = {output.name for output in list_outputs(imported.graph) if output.operator == "ArgMax"}
    largest, mean_square, same = 0.0, 0.0, []
    for name in names:
        expected, got = (np.concatenate([pair[side][name] for pair in pairs]).astype(np.float64) for side in (0, 1))
        if expected.shape != got.shape or not np.isfinite(got).all():
            largest = mean_square = float("inf")
            continue
        if name in indices:
            error = find_index_error(expected, got)
            largest, mean_square = max(largest, error), max(mean_square, error)
            same.append(1 - error)
            continue
        largest = max(largest, measure_difference(expected, got, root_mean_square=False))
        mean_square = max(mean_square, measure_difference(expected, got, root_mean_square=True))
        of_output = [part for part in parts if part.output == name]
        if of_output and np.isfinite(largest):
            largest = max(largest, find_part_error(of_output, {name: expected}, {name: got})[0])
        if not of_output and (agreement := compare_classes(expected, got)) is not None:  # boxes beside scores are no classes
            same.append(agreement)
    integer = imported.precision == "int8"
    return Verification(
        engine=imported.source.engine,
        is_own_framework=imported.source.is_own_framework,
        pictures=sum(len(next(iter(expected.values()))) for expected, _ in pairs),
        picture_source=picture_source,
        max_relative_error=largest,
        rms_relative_error=mean_square,
        top1_agreement=min(same) if same else None,
        limit=MAX_INTEGER_ERROR if integer else MAX_FLOAT_ERROR,
    )


def find_broken_limit(found: Verification, is_integer: bool, counts_classes: bool) -> str | None:
    """The limit that the comparison broke, with what was found; None when it passed."""
    if not is_integer:
        within = found.max_relative_error < found.limit
        return None if within else f"largest relative error {found.max_relative_error:.3g}, limit {found.limit:g}"
    if not found.rms_relative_error < found.limit:
        return f"root mean square of the difference {found.rms_relative_error:.3g} of the output's, limit {found.limit:g}"
    if counts_classes and has_other_classes(found):
        least = format_percent(MIN_INTEGER_AGREEMENT, 0)
        return f"same class at {format_percent(found.top1_agreement or 0.0)} of all places, limit {least}"
    return None


def has_other_classes(found: Verification) -> bool:
    """Whether the largest class differs at more places than rounding explains on pictures that the network knows."""
    return found.top1_agreement is not None and found.top1_agreement < MIN_INTEGER_AGREEMENT


def compare_classes(expected: np.ndarray, got: np.ndarray) -> float | None:
    """Share of the places with the same largest class, 0..1; None where no axis is one of classes.

    Classes lie in `(N, C, ...)` behind the pictures, in `(N, P, C)` at the end. Where three dimensions end in a single value,
    `(N, C, 1)`, it is no axis of classes.
    """
    if expected.ndim < 2:
        return None
    axis = 2 if expected.ndim == 3 and expected.shape[2] > 1 else 1
    if expected.shape[axis] < 2:
        return None
    return float(np.mean(expected.argmax(axis=axis) == got.argmax(axis=axis)))


def find_first_difference(imported: ImportedGraph, batch: np.ndarray) -> str:
    """In words: the first layer, in the order of the graph, whose tensor differs between source and graph."""
    limit = MAX_INTEGER_ERROR if imported.precision == "int8" else MAX_FLOAT_ERROR
    names = [name for node in imported.graph.graph.node for name in node.output if name]
    compared = 0
    for first in range(0, len(names), LAYERS_AT_ONCE):
        part = names[first : first + LAYERS_AT_ONCE]
        expected = imported.source.run_layers(batch, part)
        got = run_layers(imported.graph, batch, list(expected))
        for name in part:
            if name not in expected or name not in got:
                continue
            compared += 1
            error = measure_difference(expected[name], got[name], imported.precision == "int8")
            if not error < limit:
                return f"the first layer that differs is {_describe_layer(imported.graph, name)}, relative error {error:.2g}"
    return f"the {compared} intermediate layers that both know agree, so the difference arises behind them"


def run_layers(graph: onnx.ModelProto, batch: np.ndarray, names: Sequence[str]) -> Tensors:
    """The named intermediate tensors of the graph, by the reference."""
    if not names:
        return {}
    with TemporaryDirectory(prefix="sightline-layers-") as folder:
        path = Path(folder) / "tapped.onnx"
        save_graph(expose_tensors(graph, names, keep_outputs=False), path)
        with closing(load_backend("reference").open(path, SessionOptions())) as session:
            return session.infer({session.input_names[0]: batch})


def describe_verification(found: Verification) -> str:
    """One line for people."""
    kind = "its own framework" if found.is_own_framework else "a second engine"
    agreement = "" if found.top1_agreement is None else f", same class at {format_percent(found.top1_agreement)}"
    return (
        f"agrees with {found.engine} ({kind}) on {found.pictures} {found.picture_source}: largest relative error "
        f"{found.max_relative_error:.1e}{agreement}"
    )


def measure_difference(expected: np.ndarray, got: np.ndarray, root_mean_square: bool) -> float:
    """Largest, or root mean square, of the difference over that of the expected values; infinities that are equal are equal.

    Infinite for other shapes, or where one side has a number and the other none.
    """
    if expected.shape != got.shape:
        return float("inf")
    same = expected == got  # also where both are infinite, as padding of a max-pool is
    first, second = (np.where(same, 0.0, values).astype(np.float64) for values in (expected, got))
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        return float("inf")
    difference = np.abs(first - second)
    magnitude = np.where(np.isfinite(expected), expected, 0.0).astype(np.float64)
    if root_mean_square:
        return float(np.sqrt(np.mean(difference**2)) / (np.sqrt(np.mean(magnitude**2)) or 1.0))
    return float(difference.max(initial=0.0) / (np.abs(magnitude).max(initial=0.0) or 1.0))


def _describe_layer(graph: onnx.ModelProto, tensor: str) -> str:
    maker: Any = next(node for node in graph.graph.node if tensor in node.output)
    return f"{maker.name or tensor!r} ({maker.op_type})"
