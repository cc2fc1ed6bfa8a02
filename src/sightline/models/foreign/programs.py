"""Open `.pt2` and TorchScript files of strangers without running what is in them.

torch's own reader of `.pt2` unpickles, evaluates symbolic sizes as Python (sympy), writes Python from the names it finds, loads
compiled libraries, and looks operators up by attribute: "torch.os.system" is one to it. So a file is first taken apart here.
The graph (JSON) must be made of names, numbers and operators of the lists below; weights must be plain tensors; and what torch
then reads is a new archive in memory with the graph, the weights and nothing else.
TorchScript holds a language of its own, run by torch's interpreter; only its two functions that touch files are refused.
"""

import io
import json
import math
import re
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch.export import ExportedProgram

from sightline.core.errors import InvalidInput, Unsupported

Kind = Literal["program", "torchscript", "weights"]
MAX_BYTES = 4_000_000_000
MAX_GRAPH_BYTES = 200_000_000
MAX_ELEMENTS = 1 << 29  # of one weight
LONGEST_TEXT = 400
MOST_CHARACTERS = 200  # of an exception's message
# What torch raises for archives and programs that are damaged or of another version.
UNREADABLE = (
    RuntimeError, ValueError, TypeError, LookupError, AttributeError, AssertionError, OSError, ArithmeticError,
    zlib.error, EOFError,  # of compressed records
)  # fmt: skip
FILE_OPERATORS = ("from_file", "save")
OPERATOR_NAMES = "add|sub|mul|floordiv|truediv|mod|neg|pow|pos|eq|ne|lt|le|gt|ge|and_|or_|not_|getitem"
OPERATORS = re.compile(
    r"torch\.ops\.(aten|torchvision|prims)\.\w+(\.\w+)?"
    r"|torch\.ops\.higher_order\.(wrap_with_set_grad_enabled|wrap_with_autocast)"
    rf"|_operator\.({OPERATOR_NAMES})"
    r"|torch\.(sym_int|sym_float|sym_max|sym_min|sym_not|sym_sum)"
    r"|math\.(trunc|ceil|floor|sqrt)"
)
NAME = re.compile(r"[A-Za-z_]\w*")
DOTTED_NAME = re.compile(r"[A-Za-z_0-9]\w*(\.\w+)*")
LAYER_STACK = re.compile(r"[\w.,;@]{1,4000}")
PLAIN_TEXT = re.compile(r"[\w ,.\->]*")  # the text arguments of operators: "nearest", "bchw,oc->bohw"
# A symbolic size: numbers, signs of arithmetic, sizes (s77) and the functions torch writes them with.
SIZE_WORDS = {
    *("Symbol", "Integer", "positive", "integer", "nonnegative", "True", "False", "Mod", "PythonMod", "FloorDiv", "CeilDiv"),
    *("CleanDiv", "IntTrueDiv", "FloatTrueDiv", "ModularIndexing", "Max", "Min", "Eq", "Ne", "Le", "Lt", "Ge", "Gt", "ToFloat"),
    *("RoundToInt", "TruncToInt", "FloorToInt", "CeilToInt"),
}
SIZE_TOKENS = re.compile(r"\s+|\d{1,10}|[A-Za-z_]\w*|'[sufz]\d{1,6}'|[-+(),=]|\*(?!\*)|//?")
SIZE_SYMBOL = re.compile(r"[sufz]\d{1,6}")
TREE_TYPES = {
    *("builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict", "collections.defaultdict"),
    *("torch.fx.immutable_collections.immutable_list", "torch.fx.immutable_collections.immutable_dict"),
}


def find_kind(path: Path) -> Kind:
    """What a PyTorch file is, by the names inside its archive; files that are no archives hold weights or nothing."""
    try:
        if not zipfile.is_zipfile(path):
            return "weights"
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        return "weights"
    inside = {name.partition("/")[2] for name in names}
    if (
        any(name.startswith("models/") and name.endswith(".json") for name in inside)
        or "serialized_exported_program.json" in names
    ):
        return "program"
    return "torchscript" if any(name.startswith("code/") for name in inside) else "weights"


def load_torchscript(path: Path) -> torch.jit.ScriptModule:
    """A TorchScript network in evaluation mode. Raises: InvalidInput, Unsupported for code that reads or writes files."""
    try:
        with zipfile.ZipFile(path) as archive:
            _check_volume(archive, path)
            for name in archive.namelist():
                if name.endswith(".py"):
                    _check_script(archive.read(name).decode("utf-8", "replace"), path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that TorchScript is an old form is no news to who brings such a file
            module = torch.jit.load(str(path), map_location="cpu")
    except (*UNREADABLE, zipfile.BadZipFile) as error:
        raise InvalidInput(
            f"{path.name} is no TorchScript file or a damaged one: {first_line(error)}; save it again"
        ) from error
    module.eval()
    return module


def load_program(path: Path) -> ExportedProgram:
    """An exported program. Raises: InvalidInput, Unsupported for what a network of plain tensors and operators has not."""
    try:
        with zipfile.ZipFile(path) as archive:
            _check_volume(archive, path)
            content = _take_apart(archive, path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.export.load(_write_archive(content))
    except (*UNREADABLE, zipfile.BadZipFile) as error:
        raise InvalidInput(
            f"{path.name} is no exported program or a damaged one: {first_line(error)}; save it again"
        ) from error


def first_line(error: BaseException) -> str:
    """The first line an exception says, of bounded length."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:MOST_CHARACTERS]


def check_size_expression(text: str) -> None:
    """Raises: Unsupported unless it is arithmetic of sizes; torch hands it to sympy, which evaluates Python."""
    place = 0
    while place < len(text):
        token = SIZE_TOKENS.match(text, place)
        word = token[0] if token else ""
        known = word in SIZE_WORDS or SIZE_SYMBOL.fullmatch(word) or not word[:1].isalpha()
        if not word or not known or len(text) > LONGEST_TEXT:
            raise Unsupported(f"expected a size made of numbers and symbols, got {text[:60]!r}; export the program again")
        place += len(word)


def _check_volume(archive: zipfile.ZipFile, path: Path) -> None:
    if sum(entry.file_size for entry in archive.infolist()) > MAX_BYTES:
        raise Unsupported(f"expected at most {MAX_BYTES / 1e9:.0f} GB in {path.name}, its archive says more")


def _check_script(code: str, path: Path) -> None:
    found = re.search(rf"\b({'|'.join(FILE_OPERATORS)})\s*\(", code)
    if found:
        raise Unsupported(f"{path.name} holds a function that reads or writes files ({found[1]}), which no network needs")


def _take_apart(archive: zipfile.ZipFile, path: Path) -> dict[str, bytes]:
    """Records of a new archive: the checked graph, and weights and constants as raw tensors."""
    entries = {entry.filename.partition("/")[2]: entry for entry in archive.infolist()}
    graphs = [name for name in entries if name.startswith("models/")]
    if any(name.startswith("data/aotinductor/") for name in entries):
        raise Unsupported(f"{path.name} holds compiled libraries, not a graph; save it with torch.export.save")
    if graphs != ["models/model.json"]:
        raise Unsupported(f"expected one program saved by torch 2.8 or later in {path.name}, got {len(graphs)}; save it again")
    if entries[graphs[0]].file_size > MAX_GRAPH_BYTES:
        raise Unsupported(f"the graph in {path.name} is larger than {MAX_GRAPH_BYTES // 1_000_000} MB")
    records = {"archive_format": b"pt2", "archive_version": b"0", "data/sample_inputs/model.pt": b""}
    records[graphs[0]] = json.dumps(_check_graph(json.loads(archive.read(entries[graphs[0]])))).encode()
    for folder, name in (("data/weights/", "model_weights_config.json"), ("data/constants/", "model_constants_config.json")):
        if folder + name not in entries:
            raise Unsupported(f"{path.name} keeps its tensors as older versions of torch did; save it with torch 2.8 or later")
        config = json.loads(archive.read(entries[folder + name]))
        records[folder + name] = json.dumps(config).encode()
        for tensor, meta in config["config"].items():
            file = folder + _check_tensor(tensor, meta, path)
            if file not in records:
                records[file] = archive.read(entries[file])
    return records


def _check_tensor(name: str, meta: Mapping[str, Any], path: Path) -> str:
    """Name of the file of a plain tensor of bounded size."""
    file = meta["path_name"]
    plain = not meta["use_pickle"] and NAME.fullmatch(file) and not file.startswith(("custom_obj", "opaque_obj"))
    if not plain or meta["tensor_meta"] is None:
        raise Unsupported(f"{path.name} stores {name[:80]!r} as a pickled object, which may run code; save plain tensors")
    sizes = [size["as_int"] for size in meta["tensor_meta"]["sizes"]]
    if any(size < 0 for size in sizes) or math.prod(sizes) > MAX_ELEMENTS or meta["tensor_meta"]["device"]["type"] != "cpu":
        raise Unsupported(f"expected tensors on the CPU of at most {MAX_ELEMENTS} elements in {path.name}, got {name[:80]!r}")
    _check_values(meta, "")
    return str(file)


def _check_graph(program: dict[str, Any]) -> dict[str, Any]:
    """The program's JSON with every text in it checked, without notes and without guards, which are Python."""
    program["guards_code"] = []
    _drop_notes(program["graph_module"]["graph"])
    _check_values(program, "")
    return program


def _drop_notes(value: Any) -> None:
    """Leave the path of its layer in a node's notes; the rest is source lines and Python names, which torch looks up."""
    if isinstance(value, dict):
        if "metadata" in value and "target" in value:
            stack = value["metadata"].get("nn_module_stack", "")
            value["metadata"] = {"nn_module_stack": stack} if stack and LAYER_STACK.fullmatch(stack) else {}
        for inner in value.values():
            _drop_notes(inner)
    elif isinstance(value, list):
        for inner in value:
            _drop_notes(inner)


def _check_values(value: Any, key: str) -> None:
    if isinstance(value, dict):
        if value and "custom_obj" in key:
            raise Unsupported("the program uses objects of its own classes; export a network of tensors only")
        for name, inner in value.items():
            if name and not DOTTED_NAME.fullmatch(name):
                raise Unsupported(f"expected a name in the program, got {name[:60]!r}; export it again")
            _check_values(inner, name)
    elif isinstance(value, list):
        for inner in value:
            _check_values(inner, key)
    elif isinstance(value, str):
        _check_text(value, key)


def _check_text(text: str, key: str) -> None:
    if key == "expr_str":
        return check_size_expression(text)
    if key in ("target", "as_operator"):
        name = text.split(".")[3] if text.startswith("torch.ops.") and text.count(".") >= 3 else ""
        if not OPERATORS.fullmatch(text) or "__" in text or name in FILE_OPERATORS:
            raise Unsupported(f"the program calls {text[:80]!r}, which is no operator of a network; export it again")
        return None
    if key in ("in_spec", "out_spec"):
        return _check_tree(json.loads(text)[1])
    if key in ("as_string", "as_strings"):
        rule = PLAIN_TEXT
    elif key == "nn_module_stack":
        return None  # checked as it was kept
    elif key == "torch_version":
        rule = re.compile(r"[\w.+\-]*")
    elif key in ("name", "forward_arg_names", "as_name", "user_input_name"):
        rule = NAME  # these become Python names
    else:
        rule = DOTTED_NAME
    if text and (not rule.fullmatch(text) or len(text) > LONGEST_TEXT):
        raise Unsupported(f"expected a plain {key or 'name'} in the program, got {text[:60]!r}; export it again")
    return None


def _check_tree(tree: Mapping[str, Any]) -> None:
    """The nesting of inputs or outputs: plain containers with names as keys."""
    kind, context = tree["type"], tree["context"]
    keys = json.loads(context) if isinstance(context, str) else context
    plain = keys is None or (
        isinstance(keys, list) and all(isinstance(key, int) or (isinstance(key, str) and NAME.fullmatch(key)) for key in keys)
    )
    if (kind is not None and kind not in TREE_TYPES) or not plain:
        raise Unsupported(
            f"expected tensors in tuples, lists or dicts with plain names, got {str(kind)[:60]!r}; export it again"
        )
    for child in tree["children_spec"]:
        _check_tree(child)


def _write_archive(records: Mapping[str, bytes]) -> io.BytesIO:
    buffer = io.BytesIO()
    writer = torch._C.PyTorchFileWriter(buffer)
    for name, content in records.items():
        writer.write_record(name, content, len(content))
    writer.write_end_of_file()
    buffer.seek(0)
    return buffer
