from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from toy_quantisers import prefer_engine

from sightline.compiler.compile import compile_model
from sightline.compiler.importers.graph_writer import GraphWriter
from sightline.compiler.importers.importer import ImportedGraph, StatedInput, Tensors
from sightline.compiler.importing.verification import ImportFailed, compare_classes, run_layers, verify_import
from sightline.core.errors import InvalidInput
from sightline.core.folders import hash_files, write_manifest
from sightline.core.manifests import DecodeSpec, InputSpec, ModelManifest
from sightline.runtime.backend import SessionOptions
from sightline.runtime.backends.table import load_backend
from sightline.runtime.predictor import open_predictor

SIDE = 8


def write_graph(pool_pad: float = -np.inf, second_weight: float = 1.0) -> onnx.ModelProto:
    """conv -> leaky -> pad -> pool -> logits; `pool_pad` is what tiny-YOLOv2's stride-1 pool is padded with."""
    rng = np.random.default_rng(0)
    writer = GraphWriter("net")
    x = writer.add_input("images", (3, SIDE, SIDE))
    weight = writer.add_weight("conv1.weight", rng.normal(size=(4, 3, 3, 3)).astype(np.float32))
    x = writer.add("Conv", [x, weight], name="conv1", pads=[1] * 4)
    x = writer.add("LeakyRelu", [x], name="leaky1", alpha=0.1)
    pads = writer.add_weight("pads", np.array([0, 0, 0, 0, 0, 0, 1, 1], np.int64))
    x = writer.add("Pad", [x, pads, writer.add_weight("fill", np.array(pool_pad, np.float32))], name="pad1")
    x = writer.add("MaxPool", [x], name="pool1", kernel_shape=[2, 2], strides=[1, 1])
    x = writer.add("Mul", [x, writer.add_weight("scale", np.array(second_weight, np.float32))], name="scale1")
    x = writer.add("GlobalAveragePool", [x], name="mean1")
    x = writer.add("Flatten", [x], name="logits", axis=1)
    return writer.finish({x: ("batch", 4)})


class GraphSource:
    """A source network that is itself an ONNX graph, run by the reference."""

    engine = "source 1.0"
    is_own_framework = True

    def __init__(self, graph: onnx.ModelProto, folder: Path, known: Sequence[str] | None = None) -> None:
        self._graph, self._path, self._known = graph, folder / "source.onnx", known
        onnx.save(graph, self._path)

    def run(self, batch: np.ndarray) -> Tensors:
        session = load_backend("reference").open(self._path, SessionOptions())
        outputs = session.infer({"images": batch})
        session.close()
        return outputs

    def run_layers(self, batch: np.ndarray, names: Sequence[str]) -> Tensors:
        return run_layers(self._graph, batch, [name for name in names if self._known is None or name in self._known])

    def close(self) -> None:
        pass


def make_import(graph: onnx.ModelProto, source: GraphSource, precision: str = "fp32") -> ImportedGraph:
    return ImportedGraph("test", graph, StatedInput(), source, (), precision=precision)  # type: ignore[arg-type]


def draw_batches(count: int = 3) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.normal(size=(1, 3, SIDE, SIDE)).astype(np.float32) for _ in range(count)]


def test_the_same_network_agrees_and_the_record_says_how(tmp_path: Path) -> None:
    parts: list[float] = []
    imported = make_import(write_graph(), GraphSource(write_graph(), tmp_path))
    found = verify_import(imported, draw_batches(), "drawn pictures", parts.append)
    assert (found.pictures, found.engine, found.is_own_framework) == (3, "source 1.0", True)
    assert (found.max_relative_error, found.top1_agreement) == (0, 1)
    assert parts == pytest.approx([1 / 3, 2 / 3, 1])


def test_a_pool_padded_with_zero_instead_of_nothing_is_caught_and_named(tmp_path: Path) -> None:
    imported = make_import(write_graph(pool_pad=0.0), GraphSource(write_graph(), tmp_path))
    with pytest.raises(ImportFailed, match=r"differs from source 1\.0.*the first layer that differs is 'pad1' \(Pad\)"):
        verify_import(imported, draw_batches(), "drawn pictures", lambda part: None)


def test_layers_the_source_does_not_know_are_passed_over(tmp_path: Path) -> None:
    source = GraphSource(write_graph(), tmp_path, known=["conv1", "mean1"])
    imported = make_import(write_graph(second_weight=1.5), source)
    with pytest.raises(
        ImportFailed, match=r"the first layer that differs is 'mean1' \(GlobalAveragePool\), relative error 0\.5"
    ):
        verify_import(imported, draw_batches(), "drawn pictures", lambda part: None)


@pytest.mark.parametrize(
    ("graph", "said"),
    [
        (write_graph(0.0, second_weight=np.nan), r"NaN from its layer 'scale1' \(Mul\) on"),
        (write_graph(pool_pad=np.inf), r"infinity from its layer 'pad1' \(Pad\) on"),
    ],
)
def test_a_network_that_answers_no_numbers_itself_is_not_said_to_differ(
    graph: onnx.ModelProto, said: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match=f"itself answers NaN or infinity on 3 of 3 pictures, {said}"):
        verify_import(make_import(graph, GraphSource(graph, tmp_path)), draw_batches(), "drawn", lambda part: None)


def test_when_no_known_layer_differs_that_is_said(tmp_path: Path) -> None:
    imported = make_import(write_graph(second_weight=1.5), GraphSource(write_graph(), tmp_path, known=["conv1"]))
    with pytest.raises(ImportFailed, match="the 1 intermediate layers that both know agree"):
        verify_import(imported, draw_batches(), "drawn pictures", lambda part: None)


def test_a_network_that_gives_no_numbers_is_refused(tmp_path: Path) -> None:
    imported = make_import(write_graph(second_weight=np.nan), GraphSource(write_graph(), tmp_path))
    with pytest.raises(ImportFailed):
        verify_import(imported, draw_batches(), "drawn pictures", lambda part: None)


@pytest.mark.parametrize(("factor", "agrees"), [(1.05, True), (1.2, False), (-1.0, False)])
def test_a_quantised_network_may_differ_by_rounding_only(factor: float, agrees: bool, tmp_path: Path) -> None:
    imported = make_import(write_graph(second_weight=factor), GraphSource(write_graph(), tmp_path), "int8")
    if agrees:
        found = verify_import(imported, draw_batches(), "drawn pictures", lambda part: None)
        assert found.rms_relative_error == pytest.approx(0.05, rel=1e-3)
    else:
        with pytest.raises(ImportFailed):
            verify_import(imported, draw_batches(), "drawn pictures", lambda part: None)


def write_near_tie(first: float) -> onnx.ModelProto:
    """Logits around `first`, 100.5, 0 and 0: of `first` 100 and 101 the best class differs, the numbers hardly."""
    writer = GraphWriter("tie")
    x = writer.add("GlobalAveragePool", [writer.add_input("images", (3, SIDE, SIDE))], name="mean1")
    mix = writer.add_weight("mix", np.full((4, 3, 1, 1), 0.01, np.float32))
    x = writer.add("Conv", [x, mix, writer.add_weight("bias", np.array([first, 100.5, 0, 0], np.float32))], name="conv1")
    x = writer.add("Flatten", [x], name="logits", axis=1)
    return writer.finish({x: ("batch", 4)})


def test_near_ties_on_generated_pictures_do_not_fail_a_quantised_network(tmp_path: Path) -> None:
    imported = make_import(write_near_tie(101), GraphSource(write_near_tie(100), tmp_path), "int8")
    with pytest.raises(ImportFailed, match=r"same class at 0\.00 % of all places, limit 90 %"):
        verify_import(imported, draw_batches(), "real pictures", lambda part: None)
    found = verify_import(imported, draw_batches(), "generated pictures", lambda part: None, is_generated=True)
    assert found.top1_agreement == 0


def test_other_numbers_on_generated_pictures_fail_a_quantised_network_with_the_remedy(tmp_path: Path) -> None:
    imported = make_import(write_near_tie(140), GraphSource(write_near_tie(100), tmp_path), "int8")
    with pytest.raises(
        ImportFailed, match=r"root mean square of the difference 0\.28.* limit 0\.1; .*compare on real pictures"
    ):
        verify_import(imported, draw_batches(), "generated pictures", lambda part: None, is_generated=True)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize(("different", "agrees"), [(0, True), (1, None), (16, False)])
def test_a_map_of_class_indices_is_compared_by_the_places_that_differ(
    precision: str, different: int, agrees: bool | None, tmp_path: Path
) -> None:
    """One place of 64 that is class 1 instead of 0 is a rounding for a quantised network, whatever the numbers' size."""

    def write_map(places: int) -> onnx.ModelProto:
        writer = GraphWriter("map")
        x = writer.add_input("images", (3, SIDE, SIDE))
        shift = np.zeros((1, 3, SIDE, SIDE), np.float32)
        shift[0, 0] = 100
        shift.reshape(3, -1)[1, :places] = 200
        x = writer.add("Add", [x, writer.add_weight("shift", shift)], name="add1")
        x = writer.add("ArgMax", [x], name="labels", axis=1, keepdims=0)
        x = writer.add("Cast", [x], name="map", to=onnx.TensorProto.FLOAT)
        return writer.finish({x: ("batch", SIDE, SIDE)})

    imported = make_import(write_map(different), GraphSource(write_map(0), tmp_path), precision)
    if agrees or (agrees is None and precision == "int8"):
        found = verify_import(imported, draw_batches(), "drawn pictures", lambda part: None)
        assert found.top1_agreement == pytest.approx(1 - different / SIDE**2)
    else:
        with pytest.raises(ImportFailed, match="add1"):
            verify_import(imported, draw_batches(), "drawn pictures", lambda part: None)


def test_classes_are_compared_along_their_axis() -> None:
    one = np.array([[1.0, 2.0], [2.0, 1.0]])
    assert compare_classes(one, one[:, ::-1]) == 0
    assert compare_classes(one, np.array([[0.0, 5.0], [1.0, 3.0]])) == 0.5
    assert compare_classes(np.zeros((2, 1)), np.zeros((2, 1))) is None
    assert compare_classes(np.zeros(3), np.zeros(3)) is None
    places = np.zeros((1, 10, 2))  # two classes at ten places
    places[:, :, 0] = 1.0
    changed = places.copy()
    changed[:, 3:] = changed[:, 3:, ::-1]
    assert compare_classes(places, changed) == 0.3
    assert compare_classes(places[:, :1], changed[:, -1:]) == 0  # one place
    assert compare_classes(one[:, :, None], one[:, ::-1, None]) == 0  # (N, C, 1)
    assert compare_classes(np.zeros((2, 1, 1)), np.zeros((2, 1, 1))) is None


def test_boxes_beside_scores_are_no_classes(tmp_path: Path) -> None:
    def write_joined() -> onnx.ModelProto:
        writer = GraphWriter("joined")
        x = writer.add_input("images", (3, SIDE, SIDE))
        boxes = writer.add("Conv", [x, writer.add_weight("of_boxes", np.full((4, 3, 1, 1), 50.0, np.float32))], name="boxes")
        logits = writer.add("Conv", [x, writer.add_weight("of_scores", np.ones((3, 3, 1, 1), np.float32))], name="logits")
        joined = writer.add("Concat", [boxes, writer.add("Sigmoid", [logits], name="scores")], name="joined", axis=1)
        shape = writer.add_weight("shape", np.array([0, 7, -1], np.int64))
        return writer.finish({writer.add("Reshape", [joined, shape], name="flat"): ("batch", 7, SIDE * SIDE)})

    imported = make_import(write_joined(), GraphSource(write_joined(), tmp_path), "fp32")
    found = verify_import(imported, draw_batches(), "drawn pictures", lambda part: None)
    assert (found.max_relative_error, found.top1_agreement) == (0, None)


def test_onnx_runtimes_wrong_pool_fusion_is_caught_against_the_reference(tmp_path: Path) -> None:
    """ONNX Runtime folds Pad(0) into a MaxPool that then pads with -inf (issue 24737): 3.4 % error on tiny-YOLOv2."""
    import onnxruntime

    graph = write_graph(pool_pad=0.0)
    path = tmp_path / "net.onnx"
    onnx.save(graph, path)

    class WronglyOptimised(GraphSource):
        engine = "onnxruntime, default optimisation"

        def run(self, batch: np.ndarray) -> Tensors:
            session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
            return {"logits": session.run(None, {"images": batch})[0]}

    with pytest.raises(ImportFailed, match="differs from onnxruntime, default optimisation"):
        verify_import(make_import(graph, WronglyOptimised(graph, tmp_path)), draw_batches(), "pictures", lambda part: None)


def test_the_compiled_engines_compute_that_pool_right(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    onnx.save(write_graph(pool_pad=0.0), path)
    (batch,) = draw_batches(1)
    expected = load_backend("reference").open(path, SessionOptions()).infer({"images": batch})["logits"]
    for engine in ("onnxruntime", "openvino"):
        got = load_backend(engine).open(path, SessionOptions()).infer({"images": batch})["logits"]
        assert np.abs(got - expected).max() < 1e-5 * np.abs(expected).max()


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_an_artifact_computes_that_pool_right(engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through all passes and into the engine's own file."""
    prefer_engine(monkeypatch, engine)
    model = tmp_path / "model"
    model.mkdir()
    onnx.save(write_graph(pool_pad=0.0), model / "model.onnx")
    manifest = ModelManifest(
        name="pool",
        task="classification",
        network="test",
        categories=("a", "b", "c", "d"),
        input=InputSpec(width=SIDE, height=SIDE),
        decode=DecodeSpec(head="softmax", outputs=("logits",)),
        parameter_count=1,
        created_at="2026-11-21T00:00:00+00:00",
        files=hash_files(model),
    )
    write_manifest(model, manifest)
    result = compile_model(model, tmp_path / "out", precision="fp32")
    assert result.manifest.engine == engine
    (batch,) = draw_batches(1)
    expected = load_backend("reference").open(model / "model.onnx", SessionOptions()).infer({"images": batch})["logits"]
    with open_predictor(result.folder) as predictor:
        got = predictor.predict_raw(batch)["logits"]
    assert np.abs(got - expected).max() < 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("shift", [0.0, 0.01])
def test_scores_beside_boxes_in_pixels_are_compared_for_themselves(shift: float, precision: str, tmp_path: Path) -> None:
    """0.01 of a score is 2e-5 of the boxes beside it; a file that came quantised rounded its scores itself."""

    def write_packed(shift: float) -> onnx.ModelProto:
        writer = GraphWriter("packed")
        x = writer.add_input("images", (3, SIDE, SIDE))
        scale, offset = (
            writer.add_weight(name, np.array(value, np.float32)) for name, value in (("scale", 600), ("off", shift))
        )
        boxes = writer.add("Mul", [x, scale], name="boxes")
        scores = writer.add("Add", [writer.add("Sigmoid", [x], name="sure"), offset], name="scores")
        out = writer.add("Concat", [boxes, scores], name="out", axis=1)
        return writer.finish({out: ("batch", 6, SIDE, SIDE)})

    imported = make_import(write_packed(shift), GraphSource(write_packed(0.0), tmp_path), precision)
    if shift and precision == "fp32":
        with pytest.raises(ImportFailed, match=r"the first layer that differs is 'scores' \(Add\)"):
            verify_import(imported, draw_batches(), "drawn pictures", lambda part: None)
    else:
        assert verify_import(imported, draw_batches(), "drawn pictures", lambda part: None).max_relative_error < 1e-4
