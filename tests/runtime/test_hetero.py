"""Segments in order: what one gives on the next reads, and a list that does not fit together is refused on opening."""

from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from graphs import node, weight, write_graph

from sightline.core.errors import InvalidInput, NotFound
from sightline.runtime.backend import SessionOptions
from sightline.runtime.backends.hetero import HeteroBackend, HeteroNetwork, HeteroSession, Segment, read_hetero, write_hetero
from sightline.runtime.backends.table import load_backend
from sightline.runtime.graph_files import list_graph_files


def write_parts(folder: Path) -> HeteroNetwork:
    """images -> a (ONNX Runtime) -> b (OpenVINO), out = a + b (ONNX Runtime)."""
    write_graph(
        folder / "first.onnx", [node("Conv", ["images", "w"], "a", kernel_shape=[1, 1])], {"w": weight(3, 3, 1, 1)}, {"a": 4}
    )
    relu = write_graph(folder / "second.onnx", [node("Relu", ["images"], "b")], {}, {"b": 4})
    rename_input(relu, "a")
    add = write_graph(folder / "third.onnx", [node("Add", ["images", "b"], "out")], {"b": weight(1, 3, 16, 16)}, {"out": 4})
    model = onnx.load(add)
    del model.graph.initializer[:]
    model.graph.input.add().CopyFrom(onnx.helper.make_tensor_value_info("b", onnx.TensorProto.FLOAT, ["N", 3, 16, 16]))
    onnx.save(model, add)
    rename_input(add, "a")
    return HeteroNetwork(
        inputs=("images",),
        outputs=("b", "out"),
        segments=(
            make_segment("first.onnx", "onnxruntime", ("images",), ("a",)),
            make_segment("second.onnx", "openvino", ("a",), ("b",)),
            make_segment("third.onnx", "onnxruntime", ("a", "b"), ("out",)),
        ),
    )


def rename_input(path: Path, name: str) -> None:
    model = onnx.load(path)
    for one in model.graph.node:
        one.input[:] = [name if old == "images" else old for old in one.input]
    model.graph.input[0].name = name
    onnx.save(model, path)


def make_segment(file: str, engine: str, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> Segment:
    return Segment(file=file, device="cpu", engine=engine, precision="fp32", inputs=inputs, outputs=outputs)


def open_parts(folder: Path, **options: object) -> HeteroSession:
    write_hetero(write_parts(folder), folder / "model.hetero.json")
    return HeteroBackend().open(folder / "model.hetero.json", SessionOptions(**options))  # type: ignore[arg-type]


def test_a_tensor_reaches_every_later_segment_that_reads_it(tmp_path: Path, rng: np.random.Generator) -> None:
    images = rng.normal(size=(2, 3, 16, 16)).astype(np.float32)
    session = open_parts(tmp_path)
    outputs = session.infer({"images": images})
    assert list(outputs) == ["b", "out"]
    a = load_backend("reference").open(tmp_path / "first.onnx", SessionOptions()).infer({"images": images})["a"]
    np.testing.assert_allclose(outputs["b"], np.maximum(a, 0), atol=1e-6)
    np.testing.assert_allclose(outputs["out"], a + np.maximum(a, 0), atol=1e-6)
    session.close()


def test_layers_come_from_all_segments_and_shares_are_of_the_whole(tmp_path: Path) -> None:
    session = open_parts(tmp_path, profile=True, threads=1)
    with pytest.raises(InvalidInput, match="profile=True"):
        session.layers()
    for _ in range(3):
        session.infer({"images": np.ones((1, 3, 16, 16), np.float32)})
    rows = session.layers()
    assert any("Conv" in row.kind for row in rows)  # of the first segment
    assert any("out_Add" in row.source_layers for row in rows)  # of the last
    assert sum(row.share for row in rows) == pytest.approx(1)
    assert {row.precision for row in rows} == {"fp32"}
    assert {row.device for row in rows} == {"cpu"}
    session.close()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"file": "../first.onnx"}, "a file beside it"),
        ({"file": "/etc/passwd"}, "a file beside it"),
        ({"engine": "hetero"}, "one engine"),
        ({"inputs": ("b",)}, "which nothing makes before it"),
        ({"outputs": ("c",)}, "which nothing makes before it"),  # the second segment reads a
    ],
)
def test_a_list_that_does_not_fit_together_is_refused(change: dict[str, object], message: str, tmp_path: Path) -> None:
    network = write_parts(tmp_path)
    broken = msgspec.structs.replace(network.segments[0], **change)  # type: ignore[arg-type]
    path = tmp_path / "model.hetero.json"
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(network, segments=(broken, *network.segments[1:]))))
    with pytest.raises(InvalidInput, match=message):
        HeteroBackend().open(path, SessionOptions())


def test_a_list_without_segments_or_with_an_output_nobody_makes_is_refused(tmp_path: Path) -> None:
    network = write_parts(tmp_path)
    for change in ({"segments": ()}, {"outputs": ("missing",)}):
        with pytest.raises(InvalidInput, match="no segment makes"):
            write_hetero(msgspec.structs.replace(network, **change), tmp_path / "model.hetero.json")  # type: ignore[arg-type]


def test_a_segment_with_other_ends_than_the_list_says_is_refused(tmp_path: Path) -> None:
    network = write_parts(tmp_path)
    (tmp_path / "second.onnx").write_bytes((tmp_path / "first.onnx").read_bytes())
    write_hetero(network, tmp_path / "model.hetero.json")
    with pytest.raises(InvalidInput, match=r"expected second\.onnx from \('a',\)"):
        HeteroBackend().open(tmp_path / "model.hetero.json", SessionOptions())
    (tmp_path / "second.onnx").unlink()
    with pytest.raises(NotFound, match=r"second\.onnx"):
        HeteroBackend().open(tmp_path / "model.hetero.json", SessionOptions())


def test_damaged_lists_are_refused_in_one_line(tmp_path: Path) -> None:
    write_hetero(write_parts(tmp_path), tmp_path / "model.hetero.json")
    content = (tmp_path / "model.hetero.json").read_bytes()
    damaged = tmp_path / "damaged.hetero.json"
    parts = [content[: len(content) * step // 12] for step in range(12)]
    parts += [content.replace(b'"hetero"', b'"fixed_point_network"'), b"\xff" + content, content.replace(b"engine", b"motor")]
    for part in parts:
        damaged.write_bytes(part)
        with pytest.raises(InvalidInput, match="cannot open") as caught:
            read_hetero(damaged)
        assert "\n" not in str(caught.value)


def test_the_files_of_a_list_are_those_of_its_segments(tmp_path: Path) -> None:
    write_hetero(write_parts(tmp_path), tmp_path / "model.hetero.json")
    names = [path.name for path in list_graph_files(tmp_path / "model.hetero.json")]
    assert names == ["model.hetero.json", "first.onnx", "second.onnx", "third.onnx"]
    assert list_graph_files(tmp_path / "model.xml") == [tmp_path / "model.xml", tmp_path / "model.bin"]
    assert list_graph_files(tmp_path / "first.onnx") == [tmp_path / "first.onnx"]
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(InvalidInput, match="cannot read"):
        list_graph_files(tmp_path / "other.json")
