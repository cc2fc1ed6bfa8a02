"""What a graph takes and gives, in the words of the Open Inference Protocol, and whether a call's tensors fit it."""

import math
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from sightline.core.errors import InvalidInput, Unsupported
from sightline.runtime.backend import Session, TensorType
from sightline.serving.datatypes import DATATYPES, DTYPES
from sightline.serving.inference.calls import Call, ServedFacts, TensorFacts
from sightline.serving.inference.source import ModelSource

# What OpenVINO computes 64 bits with: the type's name, its least and its largest value.
_INT32, _FLOAT32 = np.iinfo(np.int32), np.finfo(np.float32)
NARROWED: dict[str, tuple[str, float, float]] = {
    "int64": ("int32", _INT32.min, _INT32.max),
    "uint64": ("int32", 0, _INT32.max),
    "float64": ("float32", float(_FLOAT32.min), float(_FLOAT32.max)),
}
WORDS = {dtype.name: datatype for dtype, datatype in DATATYPES.items()} | {"bfloat16": "BF16"}  # by numpy's name


def describe_source(source: ModelSource, session: Session) -> ServedFacts:
    """Facts of an opened version. Raises: InvalidInput when the graph has not the tensors that the source names."""
    inputs, outputs = session.describe_tensors()
    check_names(source, [tensor.name for tensor in inputs], [tensor.name for tensor in outputs])
    described = tuple(describe_tensor(tensor) for tensor in inputs)
    given = tuple(describe_tensor(tensor) for tensor in outputs)
    is_batched = source.input is not None or (source.is_batched and have_batch_axis(described, given))
    most = find_fixed_batch(described) or max(source.largest_request, source.queue.max_batch)
    return ServedFacts(
        name=source.name,
        version=source.version,
        task=source.task,
        categories=source.categories,
        input=source.input,
        decode=source.decode,
        inputs=described,
        outputs=given,
        max_batch=most if is_batched else 1,
        device=source.device,
        engine=source.engine,
        precision=source.precision,
        streams=source.streams,
        threads=source.threads,
        model_id=source.model_id,
        artifact_id=source.artifact_id,
        is_batched=is_batched,
        labels=source.labels,
    )


def list_odd_labels(facts: ServedFacts) -> list[str]:
    """What is odd about the labels of outputs, as far as the graph tells: a sentence each.

    Outputs of several axes are not judged: in boxes and maps the labels name one axis, and no graph says which.
    """
    counts = {
        tensor.name: math.prod(tensor.shape[1:])
        for tensor in facts.outputs
        if -1 not in tensor.shape[1:] and sum(size > 1 for size in tensor.shape[1:]) <= 1
    }
    return [
        f"output {name!r} has {counts[name]} classes and {len(labels)} labels: those without one are answered by number"
        for name, labels in facts.labels.items()
        if counts.get(name, len(labels)) != len(labels)
    ]


def have_batch_axis(inputs: Sequence[TensorFacts], outputs: Sequence[TensorFacts]) -> bool:
    """Whether the first axis of all tensors can be the batch: it is free in all inputs, or has one size, and outputs follow.

    Outputs without a shape are not judged: an engine may not know it.
    """
    sizes = {tensor.shape[0] if tensor.shape else None for tensor in inputs}
    return len(sizes) == 1 and None not in sizes and {tensor.shape[0] for tensor in outputs if tensor.shape} <= {-1, *sizes}


def find_fixed_batch(inputs: Sequence[TensorFacts]) -> int | None:
    """Rows that every execution of a graph has; None where the graph leaves them free."""
    return min((tensor.shape[0] for tensor in inputs if tensor.shape and tensor.shape[0] > 0), default=None)


def fit_source(source: ModelSource, facts: ServedFacts) -> ModelSource:
    """A source as its graph lets it run: where the batch is fixed, requests gather to that and to nothing else.

    Raises: InvalidInput when requests are to gather that cannot.
    """
    if not facts.is_batched:
        return _fit_unbatched(source, facts)
    fixed = find_fixed_batch(facts.inputs)
    if fixed is None:
        queue = msgspec.structs.replace(source.queue, planned_batches=source.planned_batches)
        return msgspec.structs.replace(source, largest_request=max(source.largest_request, queue.max_batch), queue=queue)
    preferred = tuple(rows for rows in source.queue.preferred_batches if rows <= fixed)
    queue = msgspec.structs.replace(source.queue, max_batch=fixed, preferred_batches=preferred)
    return msgspec.structs.replace(source, batch=fixed, largest_request=fixed, queue=queue)


def _fit_unbatched(source: ModelSource, facts: ServedFacts) -> ModelSource:
    if source.queue.max_batch > 1 and not source.artifact_id:  # an Artifact gathers without being told
        shapes = ", ".join(f"{tensor.name} {list(tensor.shape)}" for tensor in (*facts.inputs, *facts.outputs))
        raise InvalidInput(
            f"requests cannot gather: max_batch_size is 0, or the tensors have no batch axis in common ({shapes[:300]}); leave "
            "out dynamic_batching and sightline.batch, or say max_batch_size 0 beside dynamic_batching"
        )
    queue = msgspec.structs.replace(source.queue, max_batch=1, preferred_batches=(), planned_batches=())
    return msgspec.structs.replace(source, batch=1, largest_request=1, is_batched=False, queue=queue)


def describe_tensor(tensor: TensorType) -> TensorFacts:
    """A tensor in the protocol's words. Raises: Unsupported for an element type that the protocol has no word for."""
    if tensor.dtype not in WORDS:
        raise Unsupported(f"expected tensors of {', '.join(WORDS)}, got {tensor.name!r} of {tensor.dtype}; export it again")
    return TensorFacts(name=tensor.name, datatype=WORDS[tensor.dtype], shape=tensor.shape)


def name_held(datatype: str) -> str:
    """The datatype of the arrays that hold a tensor's elements: of BF16, which numpy lacks, FP32."""
    return "FP32" if datatype == "BF16" else datatype


def check_names(source: ModelSource, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Raises: InvalidInput when the input or decode spec names a tensor that the graph has not."""
    if source.input is not None and list(inputs) != [source.input.name]:
        raise InvalidInput(
            f"the input spec names {source.input.name!r}, the graph takes {list(inputs)}; correct the configuration"
        )
    wanted = source.decode.outputs if source.decode is not None else ()
    if missing := [name for name in wanted if name not in outputs]:
        raise InvalidInput(f"the decode spec names outputs {missing}, the graph has {list(outputs)}; correct the configuration")


def check_tensors(tensors: Mapping[str, np.ndarray], facts: ServedFacts) -> int:
    """Rows of a call with tensors. Raises: InvalidInput for other names, element types or shapes than the graph takes."""
    wanted = {tensor.name: tensor for tensor in facts.inputs}
    if set(tensors) != set(wanted):
        raise InvalidInput(
            f"expected inputs {sorted(wanted)} for {facts.name}, got {sorted(tensors)}; name them as the graph does"
        )
    for name, array in tensors.items():
        tensor = wanted[name]
        if WORDS.get(array.dtype.name) != name_held(tensor.datatype):
            raise InvalidInput(f"expected input {name!r} as {tensor.datatype}, got {array.dtype.name}; convert it")
        if array.ndim != len(tensor.shape) or not all(
            size in (-1, given) for size, given in zip(tensor.shape, array.shape, strict=True)
        ):
            raise InvalidInput(f"expected input {name!r} of shape {list(tensor.shape)}, got {list(array.shape)}; -1 is free")
    if not facts.is_batched:
        return 1
    rows = {len(array) for array in tensors.values()}
    if len(rows) != 1:
        raise InvalidInput(f"expected inputs with one number of rows, got {sorted(rows)}; the first axis is the batch")
    return rows.pop()


def check_call(call: Call, facts: ServedFacts) -> int:
    """Rows of a call. Raises: InvalidInput for tensors that do not fit the graph, and for no rows or too many."""
    rows = len(call.pictures) + len(call.images) if call.tensors is None else check_tensors(call.tensors, facts)
    if not 1 <= rows <= facts.max_batch:
        raise InvalidInput(f"expected 1 to {facts.max_batch} rows for {facts.name}, got {rows}; send several requests")
    return rows


def check_range(tensors: Mapping[str, np.ndarray], facts: ServedFacts) -> None:
    """Raises: InvalidInput for values that OpenVINO would change without a word: it computes 64 bits with 32."""
    for name, array in tensors.items() if facts.engine == "openvino" else ():
        if array.dtype.name not in NARROWED:
            continue
        narrow, least, largest = NARROWED[array.dtype.name]
        numbers = array[~np.isnan(array)] if array.dtype.kind == "f" else array
        if numbers.size and (numbers.min() < least or numbers.max() > largest):  # infinities, too, become its largest
            raise InvalidInput(
                f"expected {array.dtype.name} input {name!r} within {least} to {largest}, got {numbers.min()} to "
                f"{numbers.max()}: the engine openvino computes it as {narrow}; serve the graph with onnxruntime"
            )


class NotByRows(InvalidInput):
    """An inference of several rows whose outputs do not have one for each."""


def check_rows(outputs: Mapping[str, np.ndarray], rows: int, facts: ServedFacts) -> None:
    """Raises: NotByRows unless the outputs looked at have a row for each of several; detectors may have one a finding."""
    looked_at = outputs if facts.decode is None else facts.decode.outputs
    for name in looked_at:
        shape = outputs[name].shape
        if not shape or shape[0] != rows:
            raise NotByRows(
                f"output {name!r} of {facts.name} has the shape {list(shape)} for {rows} rows, so that nobody can tell whose "
                "is what; send one row at a time, export the graph for one row, or say max_batch_size 0 if there is no batch"
            )


def cut_rows(outputs: Mapping[str, np.ndarray], first: int, end: int) -> dict[str, np.ndarray]:
    """The rows of one call out of a batch's outputs."""
    return {name: array[first:end] for name, array in outputs.items()}


def tell_row_shapes(outputs: Mapping[str, np.ndarray], rows: int) -> dict[str, tuple[int, ...]]:
    """Shapes of one row of each output; as they are where there are not so many rows."""
    return {
        name: (1, *array.shape[1:]) if array.ndim and len(array) == rows else array.shape for name, array in outputs.items()
    }


def count_rows(inputs: Mapping[str, np.ndarray]) -> int:
    """Rows of inputs that go together; a scalar stands for one."""
    return max((len(array) for array in inputs.values() if array.ndim), default=1)


def pad_rows(inputs: Mapping[str, np.ndarray], rows: int) -> Mapping[str, np.ndarray]:
    """The inputs with rows of zeros behind them, up to so many."""
    lacking = rows - count_rows(inputs)
    return {name: np.pad(array, [(0, lacking)] + [(0, 0)] * (array.ndim - 1)) for name, array in inputs.items()}


def join_rows(parts: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Inputs or outputs of several batches as those of one; of a single batch they are not copied."""
    if len(parts) == 1:
        return dict(parts[0])
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def has_free_sizes(facts: ServedFacts) -> bool:
    """Whether requests choose more than the number of rows: networks of pictures of any size, graphs with free axes."""
    if facts.input is not None and facts.input.resize != "pad":
        return False
    first = 1 if facts.is_batched else 0
    return any(-1 in tensor.shape[first:] for tensor in facts.inputs)


def make_blank_inputs(facts: ServedFacts, rows: int) -> dict[str, np.ndarray]:
    """Inputs of zeros to warm a session with, pictures as uint8; of the least size where the graph leaves it free."""
    spec = facts.input
    if spec is not None:
        channels = 1 if spec.colour == "GRAY" else 3
        return {spec.name: np.zeros((rows, spec.height, spec.width, channels), np.uint8)}
    return {tensor.name: np.zeros(_choose_shape(tensor, rows), DTYPES[name_held(tensor.datatype)]) for tensor in facts.inputs}


def make_noise_inputs(facts: ServedFacts, rows: int) -> dict[str, np.ndarray]:
    """As `make_blank_inputs` with noise of a fixed seed: numbers of findings, which zeros may hide, seldom equal the rows.

    Whole numbers other than pixels stay zero: they may be indices.
    """
    rng = np.random.default_rng(0)
    noise = make_blank_inputs(facts, rows)
    for name, zeros in noise.items():
        if zeros.dtype == np.uint8:
            noise[name] = rng.integers(0, 256, zeros.shape, np.uint8)
        elif np.issubdtype(zeros.dtype, np.floating):
            noise[name] = rng.standard_normal(zeros.shape).astype(zeros.dtype)
    return noise


def _choose_shape(tensor: TensorFacts, rows: int) -> tuple[int, ...]:
    least = (rows, *(1 for _ in tensor.shape[1:]))  # where it is free, and nothing for a scalar
    return tuple(one if size == -1 else size for one, size in zip(least, tensor.shape, strict=False))
