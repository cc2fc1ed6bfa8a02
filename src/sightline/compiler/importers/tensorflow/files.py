"""TensorFlow's files before any framework opens them: which kind they are, what inputs they name, which operations they hold.

A frozen graph is a GraphDef, a SavedModel a folder with `saved_model.pb` and variables beside it. Only the fields needed are
read; field numbers are those of TensorFlow's graph.proto, function.proto and meta_graph.proto. Operations that touch files or
run Python are refused here: neither OpenVINO nor TensorFlow gets to see such a file.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sightline.core.errors import InvalidInput, NotFound, Unsupported
from sightline.core.protobuf_wire import read_fields

SAVED_MODEL = "saved_model.pb"
SERVING = "serving_default"
LARGEST_FILE = 1 << 31  # protobuf's own limit
# These touch files or the world outside and have no part in a vision network. What a SavedModel's own checkpoint needs to be
# restored (RestoreV2 and its kin) stays allowed.
FORBIDDEN = re.compile(
    r"PyFunc|^ReadFile$|^WriteFile$|MatchingFiles|Dataset|Reader(V2)?$|Summary|^Print|^Debug|Rpc|Bigtable|Gcs"
    r"|^ImmutableConst$|FromTextFile|LoadAndRemap|UnigramCandidateSampler"
)


@dataclass
class Summary:
    """What a file says of itself.

    Attributes:
        inputs: shape of each input by name, -1 for an open size; None where not even the rank is known.
        signature: name of the SavedModel's signature used; "" for a frozen graph.
        operations: types of all operations, also of those in functions.
    """

    inputs: dict[str, tuple[int, ...] | None] = field(default_factory=dict)
    signature: str = ""
    operations: set[str] = field(default_factory=set)


def looks_frozen(path: Path) -> bool:
    """Whether a file starts as a GraphDef does: a node, whose first field is its name."""
    if path.suffix != ".pb" or path.name == SAVED_MODEL or not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(16)
    end = next((place for place, byte in enumerate(head[1:], 1) if byte < 0x80), None)
    return head[:1] == b"\x0a" and end is not None and head[end + 1 : end + 2] == b"\x0a"


def find_saved_model(path: Path) -> Path | None:
    """The folder of a SavedModel, given it or its saved_model.pb; None for anything else."""
    if path.name == SAVED_MODEL and path.is_file():
        return path.parent
    return path if path.is_dir() and (path / SAVED_MODEL).is_file() else None


def list_files(path: Path) -> tuple[Path, ...]:
    """The files a network is read from, the graph first. Raises: NotFound when a SavedModel lacks a file of its variables."""
    folder = find_saved_model(path)
    if folder is None:
        return (path,)
    variables = folder / "variables"
    shards = sorted(variables.glob("variables.data-*-of-*"))
    if shards and not (variables / "variables.index").is_file():
        raise NotFound(f"no file {variables / 'variables.index'}; copy the SavedModel as a whole folder")
    for count in {match[1] for shard in shards if (match := re.search(r"-of-(\d{5})$", shard.name))}:
        if len(shards) != int(count):
            raise NotFound(
                f"{len(shards)} of {int(count)} files variables.data-* in {variables}; copy the SavedModel as a whole"
            )
    return (folder / SAVED_MODEL, *sorted(variables.glob("variables.index")), *shards)


def summarise(path: Path) -> Summary:
    """Read the graph file. Raises: InvalidInput for a damaged one, Unsupported for operations that touch files."""
    folder = find_saved_model(path)
    file = path if folder is None else folder / SAVED_MODEL
    if file.stat().st_size >= LARGEST_FILE:
        raise InvalidInput(f"expected a graph of less than {LARGEST_FILE} bytes in {file}, got {file.stat().st_size}")
    content, summary = memoryview(file.read_bytes()), Summary()
    try:
        if folder is None:
            read_graph(content, summary)
        else:
            _read_saved_model(content, summary)
    except InvalidInput as error:
        raise InvalidInput(f"{file.name} cannot be read as a graph of TensorFlow: {error}") from error
    if not summary.operations:
        raise InvalidInput(
            f"expected a graph with operations in {file.name}, got none; the file is damaged or no TensorFlow graph"
        )
    if forbidden := sorted(name for name in summary.operations if FORBIDDEN.search(name)):
        raise Unsupported(
            f"the graph reads or writes files or runs Python: {', '.join(forbidden)}; export it for inference only"
        )
    return summary


def _read_saved_model(content: memoryview, summary: Summary) -> None:
    """SavedModel.meta_graphs = 2; the first one, which is the one for serving."""
    for graph in _bytes(content, 2):
        for definition in _bytes(graph, 2):
            read_graph(definition, summary, with_inputs=False)
        signatures = dict(_read_map(graph, 5))
        public = sorted(name for name in signatures if not name.startswith("__"))
        if not public:
            raise InvalidInput("it has no signature, which names inputs and outputs; export it with one")
        summary.signature = SERVING if SERVING in signatures else public[0]
        for name, tensor in _read_map(signatures[summary.signature], 1):
            summary.inputs[name] = next((_read_shape(shape) for shape in _bytes(tensor, 3)), None)
        return


def read_graph(content: memoryview, summary: Summary, with_inputs: bool = True) -> None:
    """Note what a GraphDef holds: node = 1, library = 2 with function = 1 and its node_def = 3.

    Raises: InvalidInput for a damaged one.
    """
    for node in _bytes(content, 1):
        name, operation = (_text(node, number) for number in (1, 2))
        summary.operations.add(operation)
        if with_inputs and operation == "Placeholder":
            shapes = [shape for key, value in _read_map(node, 5) if key == "shape" for shape in _bytes(value, 7)]
            summary.inputs[name] = _read_shape(shapes[0]) if shapes else None
    for library in _bytes(content, 2):
        for function in _bytes(library, 1):
            summary.operations.update(_text(node, 2) for node in _bytes(function, 3))


def _read_shape(content: memoryview) -> tuple[int, ...] | None:
    """TensorShapeProto: dim = 2 with size = 1, which is 0 where it is absent; unknown_rank = 3."""
    sizes, unknown = [], False
    for one in read_fields(content):
        if one.number == 2:
            sizes.append(next((part.as_integer() for part in read_fields(one.as_bytes()) if part.number == 1), 0))
        unknown = unknown or (one.number == 3 and one.as_integer() != 0)
    return None if unknown else tuple(sizes)


def _read_map(content: memoryview, number: int) -> Iterator[tuple[str, memoryview]]:
    """The entries of a map from text to a message: key = 1, value = 2."""
    for entry in _bytes(content, number):
        yield _text(entry, 1), next(_bytes(entry, 2), memoryview(b""))


def _bytes(content: memoryview, number: int) -> Iterator[memoryview]:
    return (one.as_bytes() for one in read_fields(content) if one.number == number)


def _text(content: memoryview, number: int) -> str:
    try:
        return bytes(next(_bytes(content, number), b"")).decode()
    except UnicodeDecodeError as error:
        raise InvalidInput("a name in it is no text; it is damaged") from error
