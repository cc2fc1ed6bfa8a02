"""The FPGA emulator: its numbers are those of whole-number arithmetic, bit by bit; its files are checked before they are used.

Whatever needs the C++ compiler is slow: one tiny network, compiled once for all of these tests.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from fixed_networks import SHAPE, compute_whole, write_fixed_network

from sightline.core.errors import (
    Conflict,
    CorruptFile,
    Exhausted,
    InvalidInput,
    MissingPackage,
    NotFound,
    SightlineError,
    Unsupported,
)
from sightline.core.folders import hash_files
from sightline.runtime.backend import SessionOptions
from sightline.runtime.backends.hls4ml import build
from sightline.runtime.backends.hls4ml.backend import EmulatedSession, Hls4mlBackend
from sightline.runtime.backends.hls4ml.build import make_key, make_private_folder, write_project
from sightline.runtime.backends.hls4ml.layers import make_plan
from sightline.runtime.backends.hls4ml.network import FixedPoint, read_network
from sightline.runtime.backends.table import load_backend
from sightline.runtime.graph_files import list_graph_files

pytest.importorskip("hls4ml")
Built = tuple[Path, Path]


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The network's file, and a cache that holds its library once one test has opened it."""
    return write_fixed_network(tmp_path_factory.mktemp("network")), tmp_path_factory.mktemp("cache")


@pytest.fixture
def session(built: Built) -> Iterator[EmulatedSession]:
    session = open_network(built)
    yield session
    session.close()


def open_network(built: Built, **options: object) -> EmulatedSession:
    return Hls4mlBackend(built[1]).open(built[0], SessionOptions("int8", **options))  # type: ignore[arg-type]


def draw_images(rng: np.random.Generator, count: int = 1) -> np.ndarray:
    """Values inside and outside of -8..8, many of them just between two steps of 1/16."""
    wide = rng.uniform(-12, 12, (count, *SHAPE))
    return np.where(rng.random(wide.shape) < 0.3, np.round(wide * 32) / 32, wide).astype(np.float32)


# A type


@pytest.mark.parametrize(
    ("kind", "text", "step", "largest"),
    [
        (FixedPoint(width=8, integer=3), "ap_fixed<8,3,AP_RND,AP_SAT>", 1 / 32, 127 / 32),
        (FixedPoint(width=8, integer=0, signed=False), "ap_ufixed<8,0,AP_RND,AP_SAT>", 1 / 256, 255 / 256),
        (FixedPoint(width=8, integer=-2), "ap_fixed<8,-2,AP_RND,AP_SAT>", 1 / 1024, 127 / 1024),
        (FixedPoint(width=8, integer=10, rounds=False), "ap_fixed<8,10>", 4.0, 508.0),
    ],
)
def test_a_type_knows_its_step_and_range(kind: FixedPoint, text: str, step: float, largest: float) -> None:
    assert (kind.text, kind.step, kind.largest) == (text, step, largest)


def test_quantising_rounds_ties_upwards_and_saturates() -> None:
    kind = FixedPoint(width=4, integer=2)  # quarters from -2 to 1.75
    values = np.array([0.1, 0.125, -0.125, -0.126, 5.0, -5.0, 1.7])
    np.testing.assert_array_equal(kind.quantise(values), [0.0, 0.25, 0.0, -0.25, 1.75, -2.0, 1.75])


# Files


def test_a_network_file_is_read_back(tmp_path: Path) -> None:
    path = write_fixed_network(tmp_path)
    network, content = read_network(path)
    assert [layer.name for layer in network.layers] == ["a_Conv", "r_Relu", "out_Conv"]
    assert content == (tmp_path / "tiny.fpga.onnx").read_bytes()
    assert [file.name for file in list_graph_files(path)] == ["tiny.fpga.json", "tiny.fpga.onnx"]


def test_damaged_files_are_refused_in_one_line(tmp_path: Path) -> None:
    path = write_fixed_network(tmp_path)
    content = path.read_bytes()
    parts = [content[: len(content) * step // 12] for step in range(12)]
    parts += [content.replace(b'"width": 8', b'"width": 8000000000'), content.replace(b"tiny.fpga.onnx", b"../tiny.fpga.onnx")]
    parts += [content.replace(b'"kind"', b'"kinds"'), content.replace(b'"int8"', b'"fp32"'), b"\xff\xfe"]
    for part in parts:
        path.write_bytes(part)
        with pytest.raises(InvalidInput, match="cannot open") as caught:
            read_network(path)
        assert "\n" not in str(caught.value)


def test_flipped_bytes_give_a_network_or_one_line(tmp_path: Path, rng: np.random.Generator) -> None:
    path = write_fixed_network(tmp_path)
    content = path.read_bytes()
    model = onnx.load(tmp_path / "tiny.fpga.onnx")
    refused = 0
    for place in rng.integers(0, len(content), 300):
        flipped = bytearray(content)
        flipped[place] ^= 1 << int(rng.integers(0, 7))
        path.write_bytes(flipped)
        try:
            make_plan(read_network(path)[0], model)
        except SightlineError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 100


def test_another_graph_than_the_recorded_one_is_refused(tmp_path: Path) -> None:
    path = write_fixed_network(tmp_path)
    graph = tmp_path / "tiny.fpga.onnx"
    content = bytearray(graph.read_bytes())
    content[len(content) // 2] ^= 1
    graph.write_bytes(content)
    with pytest.raises(CorruptFile, match="does not match the hash"):
        read_network(path)
    graph.unlink()
    with pytest.raises(NotFound, match=r"lacks tiny\.fpga\.onnx"):
        read_network(path)


def test_stated_ends_must_be_those_of_the_graph(tmp_path: Path) -> None:
    """Native code writes as many numbers as the graph has: a file that states fewer must never get that far."""
    network, content = read_network(write_fixed_network(tmp_path))
    model = onnx.load_model_from_string(content)
    small = msgspec.structs.replace(network.outputs[0], shape=(1, 1, 1))
    for change in ({"outputs": (small,)}, {"inputs": ()}, {"outputs": network.inputs}):
        with pytest.raises(InvalidInput, match="own inputs and outputs"):
            make_plan(msgspec.structs.replace(network, **change), model)
    with pytest.raises(InvalidInput, match="expected fixed-point types of the layer 'out_Conv'"):
        make_plan(msgspec.structs.replace(network, layers=network.layers[:2]), model)


def test_a_graph_that_the_device_does_not_declare_is_refused(tmp_path: Path) -> None:
    network, content = read_network(write_fixed_network(tmp_path))
    model = onnx.load_model_from_string(content)
    model.graph.node[1].op_type = "Sigmoid"
    with pytest.raises(Unsupported, match=r"r_Relu \(Sigmoid\): fpga-emulator has no operator Sigmoid"):
        make_plan(network, model)


def test_names_of_the_graph_never_reach_the_cpp(tmp_path: Path) -> None:
    network, content = read_network(write_fixed_network(tmp_path))
    model = onnx.load_model_from_string(content)
    evil = 'x"); system("true'
    model.graph.node[0].name = evil
    layers = (msgspec.structs.replace(network.layers[0], name=evil), *network.layers[1:])
    write_project(network, make_plan(msgspec.structs.replace(network, layers=layers), model), tmp_path / "hls")
    texts = [path.read_text() for path in (tmp_path / "hls").rglob("*") if path.is_file()]
    assert not any(evil in text or str(tmp_path) in text for text in texts)


def test_the_project_holds_sources_weights_and_the_vendors_scripts(tmp_path: Path) -> None:
    network, content = read_network(write_fixed_network(tmp_path))
    write_project(network, make_plan(network, onnx.load_model_from_string(content)), tmp_path / "hls")
    for name in ("firmware/network.cpp", "firmware/parameters.h", "firmware/weights/w2.h", "build_prj.tcl", "build_lib.sh"):
        assert (tmp_path / "hls" / name).is_file()
    defines = (tmp_path / "hls" / "firmware" / "defines.h").read_text()
    assert "ap_ufixed<7,3,AP_RND,AP_SAT,0>" in defines.replace(" ", "")


def test_a_library_is_kept_under_all_that_shapes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, content = read_network(write_fixed_network(tmp_path))
    key = make_key(network, content)
    assert key == make_key(msgspec.structs.replace(network, graph_file="other.onnx"), content)
    assert key != make_key(msgspec.structs.replace(network, io_type="io_parallel"), content)
    assert key != make_key(network, content + b" ")
    monkeypatch.setattr(build, "RECIPE", build.RECIPE + 1)
    assert key != make_key(network, content)


def test_what_a_killed_build_left_goes_and_a_build_that_runs_stays(tmp_path: Path) -> None:
    left, running, whole = (tmp_path / name for name in (".0f3a.left", ".0f3a.running", "0f3a"))
    for folder in (left / "project", running, whole):
        folder.mkdir(parents=True)
    for folder in (left, whole):
        os.utime(folder, (0, 0))
    build.remove_leftovers(tmp_path)
    assert sorted(tmp_path.iterdir()) == [running, whole]


def test_a_new_library_makes_the_longest_unused_go_but_no_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, content = read_network(write_fixed_network(tmp_path))
    cache = tmp_path / "cache"

    def build_entry(network: object, plan: object, entry: Path) -> None:
        entry.mkdir()
        (entry / "network.so").write_bytes(bytes(100_000))
        (entry / build.HASHES).write_bytes(msgspec.json.encode(hash_files(entry)))

    monkeypatch.setattr(build, "_build_entry", build_entry)
    monkeypatch.setattr(build, "MOST_BYTES", 350_000)
    found = []
    for number in range(3):
        library = build.find_library(network, content + bytes(number), None, cache)
        os.utime(library.parent, (1000.0 + number,) * 2)
        found.append(library)
    (cache / ".running").mkdir()
    assert build.find_library(network, content, None, cache) == found[0]  # used again: now the second is the oldest
    found.append(build.find_library(network, content + bytes(3), None, cache))
    assert [library.is_file() for library in found] == [True, False, True, True]
    monkeypatch.setattr(build, "MOST_BYTES", 50_000)  # too little for the new one itself, which stays
    last = build.find_library(network, content + bytes(4), None, cache)
    assert sorted(path.name for path in cache.iterdir()) == sorted([".running", last.parent.name])


def test_a_cache_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    make_private_folder(tmp_path / "new")
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    (tmp_path / "new").chmod(0o777)
    with pytest.raises(Conflict, match="only you may write to"):
        make_private_folder(tmp_path / "new")


def test_a_missing_compiler_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "COMPILER", "no-such-compiler")
    build.describe_compiler.cache_clear()
    assert "no-such-compiler; install it" in (Hls4mlBackend().missing() or "")
    with pytest.raises(MissingPackage, match="no-such-compiler"):
        load_backend("hls4ml")
    monkeypatch.undo()
    assert Hls4mlBackend().missing() is None


def test_a_compiler_that_does_not_end_is_ended_with_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = tmp_path / "compiler"
    compiler.write_text("#!/bin/sh\nsleep 300 &\necho $! > started\nwait\n")  # as g++ starts cc1plus
    compiler.chmod(0o755)
    monkeypatch.setattr(build, "COMPILER", str(compiler))
    monkeypatch.setattr(build, "COMPILE_SECONDS", 1.5)
    monkeypatch.setattr(build, "describe_compiler", lambda: "a compiler")
    with pytest.raises(Exhausted, match=r"did not end within 1\.5 s"):
        build.compile_project(tmp_path, tmp_path / "network.so", tmp_path)
    started, end = int((tmp_path / "started").read_text()), time.monotonic() + 10
    while is_running(started) and time.monotonic() < end:
        pass
    assert not is_running(started)


def test_a_full_disk_is_no_fault_of_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = tmp_path / "compiler"
    compiler.write_text("#!/bin/sh\necho 'ld: final link failed: No space left on device' >&2\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setattr(build, "COMPILER", str(compiler))
    monkeypatch.setattr(build, "describe_compiler", lambda: "a compiler")
    with pytest.raises(Exhausted, match="no room left on the disk to compile the emulation"):
        build.compile_project(tmp_path, tmp_path / "network.so", tmp_path)


def is_running(process: int) -> bool:
    """Whether it lives; one that ended may stay in the table until its parent asks."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_precision_that_is_not_the_networks_is_refused(tmp_path: Path) -> None:
    path = write_fixed_network(tmp_path)
    with pytest.raises(InvalidInput, match="expected precision int8"):
        Hls4mlBackend(tmp_path / "cache").open(path, SessionOptions("int16"))
    with pytest.raises(Unsupported, match="hls4ml runs int8, int16, got fp32"):
        Hls4mlBackend(tmp_path / "cache").open(path, SessionOptions())


# The emulation


@pytest.mark.slow
def test_streamed_numbers_are_those_of_whole_numbers_bit_by_bit(session: EmulatedSession, rng: np.random.Generator) -> None:
    images = draw_images(rng, 40)
    expected = compute_whole(images)
    assert {expected.min(), expected.max()} == {-4.0, 31 / 8}  # some of them saturate on either side
    np.testing.assert_array_equal(session.infer({"images": images})["out"], expected)


@pytest.mark.slow
def test_parallel_numbers_are_those_of_whole_numbers_bit_by_bit(tmp_path: Path, rng: np.random.Generator) -> None:
    images = draw_images(rng, 40)
    session = open_network((write_fixed_network(tmp_path, "io_parallel"), tmp_path / "cache"))
    np.testing.assert_array_equal(session.infer({"images": images})["out"], compute_whole(images))
    session.close()


@pytest.mark.slow
def test_a_batch_of_none_is_empty_and_outputs_are_float32(session: EmulatedSession) -> None:
    out = session.infer({"images": np.zeros((0, *SHAPE), np.float32)})["out"]
    assert (out.shape, out.dtype) == ((0, 2, 4, 4), np.float32)
    assert (session.input_names, session.output_names) == (("images",), ("out",))


@pytest.mark.slow
@pytest.mark.parametrize("streams", [1, 3])
def test_streams_answer_in_order(built: Built, streams: int, rng: np.random.Generator) -> None:
    batches = [draw_images(rng, 1 + index % 3) for index in range(12)]
    session = open_network(built, streams=streams, threads=1)
    taken = []

    def give() -> Iterator[dict[str, np.ndarray]]:
        for batch in batches:
            taken.append(len(batch))
            yield {"images": batch}

    stream = session.stream(give())
    outputs = [next(stream)]
    assert len(taken) <= streams + 1
    outputs += list(stream)
    for batch, output in zip(batches, outputs, strict=True):
        np.testing.assert_array_equal(output["out"], compute_whole(batch))
    assert list(session.stream([])) == []
    session.close()


@pytest.mark.slow
def test_two_sessions_of_one_library_do_not_disturb_each_other(built: Built, rng: np.random.Generator) -> None:
    first, second = open_network(built, streams=2), open_network(built, streams=2)
    batches = [{"images": draw_images(rng)} for _ in range(20)]
    for one, other, batch in zip(first.stream(batches), second.stream(batches[::-1]), batches, strict=True):
        np.testing.assert_array_equal(one["out"], compute_whole(batch["images"]))
        assert other["out"].shape == one["out"].shape
    first.close()
    np.testing.assert_array_equal(second.infer(batches[0])["out"], compute_whole(batches[0]["images"]))
    second.close()


@pytest.mark.slow
def test_a_reader_that_stops_early_blocks_nobody(session: EmulatedSession, rng: np.random.Generator) -> None:
    batch = {"images": draw_images(rng)}
    paused = [session.stream([batch] * 20) for _ in range(3)]
    for stream in paused:
        next(stream)
    assert session.infer(batch)["out"].shape == (1, 2, 4, 4)
    for stream in paused:
        stream.close()


@pytest.mark.slow
def test_wrong_inputs_are_refused(session: EmulatedSession) -> None:
    with pytest.raises(InvalidInput, match="expected inputs"):
        session.infer({"pictures": np.zeros((1, *SHAPE), np.float32)})
    for shape in ((1, 3, 8, 7), (1, 4, 8, 8), (3, 8, 8), (1, 192)):
        with pytest.raises(InvalidInput, match="expected 'images' of shape"):
            session.infer({"images": np.zeros(shape, np.float32)})
    with pytest.raises(InvalidInput, match="inputs of numbers"):
        session.infer({"images": np.full((1, *SHAPE), "a")})


@pytest.mark.slow
def test_layers_have_types_and_no_time(built: Built, rng: np.random.Generator) -> None:
    session = open_network(built, profile=True)
    with pytest.raises(InvalidInput, match="profile=True"):
        session.layers()
    session.infer({"images": draw_images(rng)})
    rows = session.layers()
    assert [(row.name, row.kind, row.precision) for row in rows] == [
        ("a_Conv", "Conv", "int8"),
        ("r_Relu", "Relu", "int8"),
        ("out_Conv", "Conv", "int8"),
    ]
    assert rows[2].primitive == "ap_fixed<6,3,AP_RND,AP_SAT>, weights ap_fixed<5,0,AP_RND,AP_SAT>"
    assert {(row.time_us, row.share) for row in rows} == {(0.0, 0.0)}
    session.close()
    session.close()
    with pytest.raises(InvalidInput, match="closed; open the graph again"):
        session.infer({"images": np.zeros((1, *SHAPE), np.float32)})


@pytest.mark.slow
def test_the_library_is_kept_and_built_again_when_a_byte_of_it_changed(
    built: Built, session: EmulatedSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, cache = built
    calls: list[Path] = []
    compile_project = build.compile_project

    def count(project: Path, library: Path, weights: Path) -> None:
        calls.append(library)
        compile_project(project, library, weights)

    monkeypatch.setattr(build, "compile_project", count)
    open_network(built).close()
    assert calls == []
    (entry,) = [folder for folder in cache.iterdir() if not folder.name.startswith(".")]
    weights = next(entry.rglob("w2.txt"))
    weights.write_bytes(weights.read_bytes().replace(b"0", b"1", 1))
    network, content = read_network(path)
    build.find_library(network, content, make_plan(network, onnx.load_model_from_string(content)), cache)
    assert len(calls) == 1
    assert [folder for folder in cache.iterdir() if folder.name.startswith(".")] == []
