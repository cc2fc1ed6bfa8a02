"""Foreign PyTorch files are opened without running what is in them, and weights fit to the last key or are refused."""

import io
import json
import pickle
import random
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sightline.core.errors import InvalidInput, NotFound, SightlineError, Unsupported
from sightline.models.foreign.architectures import fit_weights, read_weighted_module
from sightline.models.foreign.export import name_outputs
from sightline.models.foreign.opening import export_foreign, read_foreign
from sightline.models.foreign.programs import check_size_expression, find_kind, load_program, load_torchscript
from sightline.models.weights import strip_prefixes

GRAPH, WEIGHTS = "models/model.json", "data/weights/model_weights_config.json"


class Tiny(nn.Module):
    """A convolution with batch norm, a pool and a dense layer."""

    def __init__(self, classes: int = 4) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3, padding=1)
        self.norm = nn.BatchNorm2d(5)
        self.act = nn.ReLU(inplace=True)
        self.head = nn.Linear(5, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, classes)."""
        return self.head(self.act(self.norm(self.conv(x))).mean((2, 3)))


class TwoHeads(Tiny):
    """Returns a dict with a tuple inside."""

    def forward(self, x: Tensor) -> dict[str, Any]:  # type: ignore[override]
        """(N, 3, H, W) -> {"map": (N, 5, H, W), "more": (logits, probabilities)}."""
        mapped = self.conv(x)
        logits = self.head(mapped.mean((2, 3)))
        return {"map": mapped, "more": (logits, logits.softmax(1))}


@pytest.fixture(scope="module")
def tiny() -> Tiny:
    torch.manual_seed(3)
    return Tiny().eval()


@pytest.fixture(scope="module")
def program_file(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("program") / "tiny.pt2"
    batch = torch.export.Dim("batch", min=1, max=32)
    torch.export.save(torch.export.export(tiny, (torch.zeros(2, 3, 8, 8),), dynamic_shapes=({0: batch},)), path)
    return path


@pytest.fixture(scope="module")
def script_file(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("script") / "tiny.pt"
    save_script(tiny, path)
    return path


def save_script(module: nn.Module, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(module, torch.zeros(2, 3, 8, 8)).save(str(path))


def pictures(count: int = 3) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((count, 3, 8, 8), dtype=np.float32)


def test_kind_of_a_file_is_found_in_its_archive(program_file: Path, script_file: Path, tiny: Tiny, tmp_path: Path) -> None:
    torch.save(tiny.state_dict(), tmp_path / "weights.pt")
    (tmp_path / "text.pt").write_text("hello")
    assert find_kind(program_file) == "program"
    assert find_kind(script_file) == "torchscript"
    assert find_kind(tmp_path / "weights.pt") == "weights"
    assert find_kind(tmp_path / "text.pt") == "weights"


def test_program_computes_what_its_module_does(program_file: Path, tiny: Tiny) -> None:
    network = read_foreign(program_file, None, None, None, None)
    batch = pictures()
    with torch.inference_mode():
        expected = tiny(torch.from_numpy(batch)).numpy()
    np.testing.assert_allclose(network.source.run(batch)["output"], expected, atol=1e-6)
    convolved = network.source.run_layers(batch, [name for name, path in network.source.layers.items() if path == "act"])
    with torch.inference_mode():
        expected = tiny.act(tiny.norm(tiny.conv(torch.from_numpy(batch)))).numpy()
    np.testing.assert_allclose(next(iter(convolved.values())), expected, atol=1e-6)


def test_batch_beyond_a_programs_range_is_run_in_parts(program_file: Path, tiny: Tiny) -> None:
    batch = pictures(70)  # the program takes 1 to 32
    with torch.inference_mode():
        expected = tiny(torch.from_numpy(batch)).numpy()
    np.testing.assert_allclose(
        read_foreign(program_file, None, None, None, None).source.run(batch)["output"], expected, atol=1e-6
    )


def test_torchscript_computes_what_its_module_does(script_file: Path, tiny: Tiny) -> None:
    network = read_foreign(script_file, None, 8, 8, None)
    batch = pictures()
    with torch.inference_mode():
        expected = tiny(torch.from_numpy(batch)).numpy()
    np.testing.assert_allclose(network.source.run(batch)["output"], expected, atol=1e-6)
    assert network.source.run_layers(batch, ["anything"]) == {}


def tamper(path: Path, target: Path, edit: Callable[[dict[str, bytes]], None]) -> Path:
    """A copy of an archive with its records changed; names are without the archive's own folder."""
    with zipfile.ZipFile(path) as archive:
        records = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    edit(records)
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in records.items():
            archive.writestr(f"tiny/{name}", content)
    return target


def edit_json(name: str, change: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, bytes]], None]:
    def edit(records: dict[str, bytes]) -> None:
        content = json.loads(records[name])
        change(content)
        records[name] = json.dumps(content).encode()

    return edit


def first_node(program: dict[str, Any]) -> dict[str, Any]:
    return program["graph_module"]["graph"]["nodes"][0]


@pytest.mark.parametrize(
    "target",
    [
        "torch.os.system",
        "torch.ops.load_library",
        "torch.ops.aten.from_file.default",
        "torch.ops.aten.__class__.__init__",
        "torch.serialization.load",
        "_operator.methodcaller",
        "math.__loader__",
        "#namespace:operator",
        "os.system",
    ],
)
def test_program_that_calls_anything_but_operators_is_refused(target: str, program_file: Path, tmp_path: Path) -> None:
    edit = edit_json(GRAPH, lambda program: first_node(program).update(target=target))
    with pytest.raises(Unsupported, match="which is no operator of a network"):
        load_program(tamper(program_file, tmp_path / "bad.pt2", edit))


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "().__class__",
        "Symbol('s0', positive=True).free_symbols",
        "9**9**9",
        "open('/etc/hostname')",
        "lambda: 0",
        "[1]",
        "s0 if s0 else 1",
        "1" * 1000,
    ],
)
def test_sizes_that_are_more_than_arithmetic_are_refused(text: str, program_file: Path, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="expected a size made of numbers and symbols"):
        check_size_expression(text)

    def change(program: dict[str, Any]) -> None:
        values = program["graph_module"]["graph"]["tensor_values"]
        next(iter(values.values()))["sizes"][0] = {"as_expr": {"expr_str": text, "hint": None}}

    with pytest.raises(Unsupported, match="expected a size made of numbers and symbols"):
        load_program(tamper(program_file, tmp_path / "bad.pt2", edit_json(GRAPH, change)))


@pytest.mark.parametrize(
    "text", ["Symbol('s77', positive=True, integer=True)", "4*s0 - 3", "FloorDiv(s0 + 1, 2)", "Max(1, s1)"]
)
def test_sizes_that_torch_writes_are_taken(text: str) -> None:
    check_size_expression(text)


class Trap:
    """Unpickling it makes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.marker,))


def test_pickles_in_a_program_are_never_read(program_file: Path, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    trap = pickle.dumps(Trap(marker))
    buffer = io.BytesIO()
    torch.save(Trap(marker), buffer)

    def add_samples(records: dict[str, bytes]) -> None:
        records["data/sample_inputs/model.pt"] = buffer.getvalue()
        records["data/constants/model.pt"] = buffer.getvalue()
        records["extra/note"] = trap

    program = load_program(tamper(program_file, tmp_path / "samples.pt2", add_samples))
    assert program.module()(torch.zeros(1, 3, 8, 8)).shape == (1, 4)

    def pickle_weight(records: dict[str, bytes]) -> None:
        config = json.loads(records[WEIGHTS])
        entry = next(iter(config["config"].values()))
        entry["use_pickle"] = True
        records[WEIGHTS] = json.dumps(config).encode()
        records[f"data/weights/{entry['path_name']}"] = buffer.getvalue()

    with pytest.raises(Unsupported, match="as a pickled object"):
        load_program(tamper(program_file, tmp_path / "weights.pt2", pickle_weight))
    assert not marker.exists()


def test_python_in_names_and_guards_of_a_program_is_never_run(program_file: Path, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    code = f"__import__('pathlib').Path({str(marker)!r}).touch()"
    edit = edit_json(GRAPH, lambda program: program.update(guards_code=[code, f"_ = {code}"]))
    load_program(tamper(program_file, tmp_path / "guards.pt2", edit)).module()(torch.zeros(1, 3, 8, 8))

    def rename(program: dict[str, Any]) -> None:
        text = json.dumps(program["graph_module"]["graph"]).replace('"name": "x"', json.dumps({"name": f"x={code}"})[1:-1])
        program["graph_module"]["graph"] = json.loads(text)

    with pytest.raises(Unsupported, match="expected a plain name in the program"):
        load_program(tamper(program_file, tmp_path / "names.pt2", edit_json(GRAPH, rename)))
    assert not marker.exists()


def test_unusual_containers_compiled_libraries_and_huge_weights_are_refused(program_file: Path, tmp_path: Path) -> None:
    def nest(program: dict[str, Any]) -> None:
        signature = program["graph_module"]["module_call_graph"][0]["signature"]
        signature["out_spec"] = '[1, {"type": "os.PathLike", "context": "null", "children_spec": []}]'

    def enlarge(config: dict[str, Any]) -> None:
        next(iter(config["config"].values()))["tensor_meta"]["sizes"] = [{"as_int": 1 << 20}, {"as_int": 1 << 20}]

    for edit, reason in (
        (edit_json(GRAPH, nest), "expected tensors in tuples, lists or dicts"),
        (edit_json(WEIGHTS, enlarge), "expected tensors on the CPU of at most"),
        (lambda records: records.update({"data/aotinductor/model/x.so": b"\x7fELF"}), "holds compiled libraries"),
    ):
        with pytest.raises(Unsupported, match=reason):
            load_program(tamper(program_file, tmp_path / "bad.pt2", edit))


def test_damaged_files_are_refused_in_one_line(program_file: Path, script_file: Path, tmp_path: Path) -> None:
    rng = random.Random(20261121)
    for source, load in ((program_file, load_program), (script_file, load_torchscript)):
        content = source.read_bytes()
        for size in (0, 10, len(content) // 2, len(content) - 5):
            (tmp_path / "cut").with_suffix(source.suffix).write_bytes(content[:size])
            with pytest.raises(InvalidInput) as caught:
                load((tmp_path / "cut").with_suffix(source.suffix))
            assert "\n" not in str(caught.value)
        for _ in range(40):
            damaged = bytearray(content)
            damaged[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
            path = (tmp_path / "flipped").with_suffix(source.suffix)
            path.write_bytes(damaged)
            try:
                load(path)
            except SightlineError as error:
                assert "\n" not in str(error)


def test_damage_inside_a_compressed_record_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "squeezed.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("tiny/code/tiny.py", "def forward(self, x):\n  return x\n" * 9)
    content = bytearray(path.read_bytes())
    content[content.index(b"tiny.py") + len("tiny.py")] = 0xFF  # the first byte of the record: no kind of block has this number
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=r"no TorchScript file or a damaged one.*invalid block type"):
        load_torchscript(path)


def test_torchscript_that_touches_files_is_refused(tmp_path: Path) -> None:
    class Saver(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            torch.save(x, "somewhere")
            return x

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(Saver()).save(str(tmp_path / "saver.pt"))
    with pytest.raises(Unsupported, match=r"reads or writes files \(save\)"):
        load_torchscript(tmp_path / "saver.pt")


def test_an_architecture_for_a_file_that_holds_its_own_network_is_refused(program_file: Path, script_file: Path) -> None:
    for path in (program_file, script_file):
        with pytest.raises(InvalidInput, match=rf"no `architecture` for {path.name}, which holds its own network, got timm/x"):
            read_foreign(path, "timm/x", 8, 8, None)


def test_pickled_module_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    torch.save(tiny, tmp_path / "whole.pth")
    with pytest.raises(InvalidInput, match="without executing code"):
        read_foreign(tmp_path / "whole.pth", "timm/resnet18", None, None, None)


def test_outputs_are_named_after_what_the_module_returns() -> None:
    one = torch.zeros(1)
    assert list(name_outputs(one)) == ["output"]
    assert list(name_outputs((one, one))) == ["output_0", "output_1"]
    assert list(name_outputs({"boxes": one, "more": [one, one]})) == ["boxes", "output_more_0", "output_more_1"]
    with pytest.raises(Unsupported, match="expected a network that returns tensors"):
        name_outputs({"boxes": "text"})


def test_module_with_nested_outputs_is_exported_with_their_names() -> None:
    torch.manual_seed(1)
    module = TwoHeads().eval()
    threads = torch.get_num_threads()
    network = export_foreign(module, width=8, height=8, channels=None)
    assert torch.get_num_threads() == threads
    assert [value.name for value in network.graph.graph.output] == ["map", "output_more_0", "output_more_1"]
    assert network.source.run(pictures())["map"].shape == (3, 5, 8, 8)
    assert network.graph.graph.node[0].name == "conv"
    assert not any(node.metadata_props for node in network.graph.graph.node)


def test_layers_before_an_in_place_one_keep_their_values(tiny: Tiny) -> None:
    network = export_foreign(tiny, width=8, height=8, channels=None)
    batch = pictures()
    norm = next(name for name, path in network.source.layers.items() if path == "norm")
    with torch.inference_mode():
        expected = tiny.norm(tiny.conv(torch.from_numpy(batch))).numpy()
    assert (expected < 0).any()
    np.testing.assert_allclose(network.source.run_layers(batch, [norm])[norm], expected, atol=1e-6)


def test_sizes_and_channels_must_be_known_and_fit(tiny: Tiny) -> None:
    with pytest.raises(InvalidInput, match="say `width` and `height`"):
        export_foreign(tiny, width=None, height=None, channels=None)
    with pytest.raises(InvalidInput, match="expected 3 channels"):
        export_foreign(tiny, width=8, height=8, channels=1)
    with pytest.raises(Unsupported, match="is no vision network"):
        export_foreign(nn.Conv2d(4, 2, 1), width=8, height=8, channels=None)
    with pytest.raises(InvalidInput, match="does not run on a picture of 8 x 8"):
        export_foreign(nn.Sequential(nn.Conv2d(3, 2, 1), nn.Flatten(), nn.Linear(7, 2)), width=8, height=8, channels=None)


def test_weights_fit_to_the_last_key_or_are_refused(tiny: Tiny) -> None:
    given = {f"module.{key}": value for key, value in tiny.state_dict().items() if "tracked" not in key}
    other = Tiny()
    fit_weights(other, strip_prefixes(given), "here")
    torch.testing.assert_close(other.head.weight, tiny.head.weight)
    changed = strip_prefixes(given)
    del changed["conv.bias"]
    changed["extra"] = torch.zeros(1)
    changed["head.weight"] = torch.zeros(9, 5)
    with pytest.raises(InvalidInput) as caught:
        fit_weights(other, changed, "a.pth and b")
    assert "1 missing (conv.bias); 1 left over (extra); 1 of another shape (head.weight (9, 5) for (4, 5))" in str(caught.value)


def test_weights_without_an_architecture_are_refused_with_the_remedy(tiny: Tiny, tmp_path: Path) -> None:
    torch.save({"state_dict": tiny.state_dict()}, tmp_path / "bare.pth")
    with pytest.raises(InvalidInput, match="is weights without a network: say `architecture` timm/NAME"):
        read_weighted_module(tmp_path / "bare.pth", None)


OWN_CODE = """
from torch import nn

def build():
    return nn.Sequential(nn.Conv2d(3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())

def number():
    return 7

def broken():
    raise ValueError("no luck")
"""


def test_architecture_of_ones_own_file_is_built_and_its_faults_are_told(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN_CODE)
    weights = {"0.weight": torch.ones(2, 3, 1, 1), "0.bias": torch.zeros(2)}
    torch.save(weights, tmp_path / "own.pth")
    module, _ = read_weighted_module(tmp_path / "own.pth", f"{tmp_path}/own.py:build")
    assert module(torch.ones(1, 3, 4, 4)).tolist() == [[3.0, 3.0]]
    for name, error, reason in (
        ("absent", NotFound, "defines no absent"),
        ("number", InvalidInput, "expected an nn.Module"),
        ("broken", InvalidInput, "fails with ValueError: no luck"),
    ):
        with pytest.raises(error, match=reason):
            read_weighted_module(tmp_path / "own.pth", f"{tmp_path}/own.py:{name}")
    for architecture, error in (("nonsense", InvalidInput), (f"{tmp_path}/absent.py:build", NotFound)):
        with pytest.raises(error):
            read_weighted_module(tmp_path / "own.pth", architecture)


@pytest.mark.parametrize(
    ("architecture", "error", "reason"),
    [
        ("timm/no_such_network", NotFound, "timm has no network"),
        ("torchvision/no_such_network", NotFound, "torchvision has no network"),
        ("torchvision/fasterrcnn_resnet50_fpn", Unsupported, "differs from picture to picture"),
    ],
)
def test_unknown_and_unfit_architectures_are_refused(
    architecture: str, error: type[SightlineError], reason: str, tiny: Tiny, tmp_path: Path
) -> None:
    torch.save(tiny.state_dict(), tmp_path / "bare.pth")
    with pytest.raises(error, match=reason):
        read_weighted_module(tmp_path / "bare.pth", architecture)


def test_classes_and_channels_are_read_off_the_weights(tmp_path: Path) -> None:
    import timm

    torch.manual_seed(2)
    torch.save(timm.create_model("resnet10t", num_classes=7, in_chans=1).state_dict(), tmp_path / "gray.pth")
    module, facts = read_weighted_module(tmp_path / "gray.pth", "timm/resnet10t")
    assert module.eval()(torch.zeros(1, 1, 32, 32)).shape == (1, 7)
    assert facts.mean == pytest.approx((0.485 * 255, 0.456 * 255, 0.406 * 255))
    assert (facts.width, facts.resize) == (176, "centre_crop")
