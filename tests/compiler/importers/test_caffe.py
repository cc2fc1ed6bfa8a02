"""The Caffe importer on published networks, on the files around them, and on damage."""

import shutil

import cv2
import numpy as np
import onnx
import pytest
from caffe_files import SeededNet, count_nodes
from import_checks import NETWORKS, SHARED, assert_agrees, input_shape, need, read_pictures, run_graph

from sightline.compiler.importers.caffe.importer import CaffeImporter
from sightline.compiler.importers.importer import ImportOptions
from sightline.core.errors import InvalidInput, NotFound, SightlineError
from sightline.imaging.files.reading import read_image

SAMPLENET = NETWORKS / "samplenet-omz" / "test_models" / "SampLeNet.prototxt"
MTCNN = NETWORKS / "mtcnn-caffe"
ULTRAFACE = NETWORKS / "ultraface-slim-320" / "slim-320.prototxt"
PUBLISHED = [
    (SAMPLENET, {"fc3": (10,)}, None),
    (MTCNN / "det1.prototxt", {"conv4-2": (4, 1, 1), "prob1": (2, 1, 1)}, None),
    (MTCNN / "det1.prototxt", {"conv4-2": (4, 115, 155), "prob1": (2, 115, 155)}, (320, 240)),
    (MTCNN / "det1.prototxt", {"conv4-2": (4, 27, 44), "prob1": (2, 27, 44)}, (97, 64)),
    (MTCNN / "det2.prototxt", {"conv5-2": (4,), "prob1": (2,)}, None),
    (ULTRAFACE, {"boxes": (4420, 4), "scores": (4420, 2)}, None),
]


def read(path, **options):
    return CaffeImporter().read(need(path), ImportOptions(**options))


def make_batch(count, width, height):
    """Real pictures as a network takes them, about -1..1."""
    pictures = read_pictures(count, width, height).astype(np.float32)
    return np.ascontiguousarray((pictures - 127.5).transpose(0, 3, 1, 2) / 128)  # (N, H, W, C) -> (N, C, H, W)


@pytest.mark.parametrize(("path", "outputs", "size"), PUBLISHED)
def test_published_networks_agree_with_opencv_on_real_pictures(path, outputs, size, tmp_path):
    imported = read(path, **({} if size is None else {"width": size[0], "height": size[1]}))
    batch = make_batch(16, *input_shape(imported.graph)[:0:-1])
    assert_agrees(imported, batch, tmp_path, 1e-4)
    got = run_graph(imported.graph, batch[:2], tmp_path)
    assert {name: values.shape[1:] for name, values in got.items()} == outputs


@pytest.mark.parametrize(("path", "outputs", "size"), [case for case in PUBLISHED if case[2] is None])
def test_the_source_is_what_opencv_makes_of_the_original_files(path, outputs, size):
    """OpenCV reads the published files itself here: neither our reader of prototxt nor anything behind it takes part."""
    imported = read(path)
    batch = make_batch(1, *input_shape(imported.graph)[:0:-1])
    original = cv2.dnn.readNetFromCaffe(str(path), str(path.with_suffix(".caffemodel")))
    original.setInput(batch)
    for name, values in imported.source.run(batch).items():
        np.testing.assert_allclose(original.forward(name), values, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_both_engines_run_the_face_detector(engine, tmp_path):
    imported = read(ULTRAFACE)
    batch = make_batch(2, 320, 240)
    expected, got = imported.source.run(batch), run_graph(imported.graph, batch, tmp_path, engine)
    for name, values in expected.items():
        assert np.abs(got[name] - values).max() < 1e-4 * np.abs(values).max(), name


def test_face_detector_is_the_one_published_as_onnx(tmp_path):
    """The authors' ONNX export holds the same weights: scores and decoded boxes belong to the same 4,420 places."""
    other = need(ULTRAFACE.parent / "version-slim-320.onnx")
    batch = make_batch(1, 320, 240)
    scores = run_graph(read(ULTRAFACE).graph, batch, tmp_path)["scores"]
    np.testing.assert_allclose(scores, run_graph(onnx.load(other), batch, tmp_path)["scores"], atol=1e-4)


def test_graphs_are_lean():
    assert count_nodes(read(MTCNN / "det2.prototxt")) == {
        "Conv": 3, "Flatten": 1, "Gemm": 3, "MaxPool": 2, "PRelu": 4, "Softmax": 1,
    }  # fmt: skip
    assert count_nodes(read(ULTRAFACE)) == {
        "Concat": 2, "Conv": 42, "Relu": 34, "Reshape": 8, "Softmax": 1, "Transpose": 8,
    }  # fmt: skip


def test_every_layer_can_be_compared(tmp_path):
    imported = read(MTCNN / "det2.prototxt")
    batch = make_batch(2, 24, 24)
    names = [output for node in imported.graph.graph.node for output in node.output]
    found = imported.source.run_layers(batch, names)
    assert set(names) - set(found) == {"conv4/flatten"}
    whole = CaffeImporter().read(MTCNN / "det2.prototxt", ImportOptions(outputs=("conv1", "pool2", "conv5-1")))
    got = run_graph(whole.graph, batch, tmp_path)
    for name in ("conv1", "pool2", "conv5-1"):
        np.testing.assert_allclose(got[name], found[name], rtol=1e-3, atol=1e-4)


def test_graph_is_what_the_seam_promises():
    graph = read(ULTRAFACE).graph
    assert graph.ir_version <= 10
    assert [opset.version for opset in graph.opset_import] == [17]
    assert [dim.dim_param or dim.dim_value for dim in graph.graph.input[0].type.tensor_type.shape.dim] == ["batch", 3, 240, 320]
    assert {node.name for node in graph.graph.node} >= {"185", "scores", "boxes"}


@pytest.mark.slow
def test_samplenet_keeps_its_accuracy_on_cifar(tmp_path):
    """70.2 % top-1 on all 2,000 pictures with RGB input; a sample of 500 has a standard error of 2 points."""
    root = need(SHARED / "classification" / "cifar10-jpg" / "test")
    paths = sorted(root.rglob("*.jpg"))[::4]
    mean, std = (125.307, 122.961, 113.8575), (51.5865, 50.847, 51.255)
    batch = np.stack([(read_image(path) - np.array(mean)) / np.array(std) for path in paths]).astype(np.float32)
    logits = run_graph(read(SAMPLENET).graph, batch.transpose(0, 3, 1, 2).copy(), tmp_path)["fc3"]
    names = sorted({path.parent.name for path in paths})
    right = [names[label] == path.parent.name for label, path in zip(logits.argmax(1), paths, strict=True)]
    assert np.mean(right) == pytest.approx(0.702, abs=0.05)


def make_small(folder, stem="net"):
    net = SeededNet(3, 8, 8)
    net.conv("conv", "data", 2, 3)
    return net.save(folder, stem)


def test_either_file_finds_the_other(tmp_path):
    prototxt = make_small(tmp_path)
    weights = tmp_path / "net.caffemodel"
    assert CaffeImporter().read(prototxt, ImportOptions()).files == (prototxt, weights)
    assert CaffeImporter().read(weights, ImportOptions()).files == (weights, prototxt)


def test_the_only_other_file_is_taken_whatever_its_name(tmp_path):
    prototxt = make_small(tmp_path)
    only = (tmp_path / "net.caffemodel").rename(tmp_path / "snapshot_iter_100.caffemodel")
    (tmp_path / "solver.prototxt").write_text('net: "net.prototxt"\nbase_lr: 0.01\n')  # no net: not counted
    assert CaffeImporter().read(prototxt, ImportOptions()).files == (prototxt, only)
    assert CaffeImporter().read(only, ImportOptions()).files == (only, prototxt)


def test_several_or_no_other_files_are_named(tmp_path):
    prototxt = make_small(tmp_path, "deploy")
    (tmp_path / "deploy.caffemodel").rename(tmp_path / "a.caffemodel")
    shutil.copy(tmp_path / "a.caffemodel", tmp_path / "b.caffemodel")
    with pytest.raises(NotFound, match=r"found a\.caffemodel, b\.caffemodel"):
        CaffeImporter().read(prototxt, ImportOptions())
    chosen = CaffeImporter().read(prototxt, ImportOptions(weights=str(tmp_path / "b.caffemodel")))
    assert chosen.files[1].name == "b.caffemodel"
    with pytest.raises(NotFound, match="check the path"):
        CaffeImporter().read(prototxt, ImportOptions(weights=tmp_path / "c.caffemodel"))
    prototxt.unlink()
    with pytest.raises(NotFound, match="found none"):
        CaffeImporter().read(tmp_path / "a.caffemodel", ImportOptions())


def test_a_prototxt_saved_as_text_is_recognised(tmp_path):
    path = make_small(tmp_path).rename(tmp_path / "net.prototxt.txt")
    assert CaffeImporter().read(path, ImportOptions()).files[1].name == "net.caffemodel"


def test_files_are_detected_by_name_and_first_bytes(tmp_path):
    prototxt = make_small(tmp_path)
    importer = CaffeImporter()
    assert importer.detect(prototxt)
    assert importer.detect(tmp_path / "net.caffemodel")
    (tmp_path / "solver.prototxt").write_text('net: "net.prototxt"\nbase_lr: 0.01\n')
    (tmp_path / "other.caffemodel").write_bytes(b"PK\x03\x04")
    (tmp_path / "renamed.txt").write_bytes(prototxt.read_bytes())
    for name in ("solver.prototxt", "other.caffemodel", "renamed.txt", "absent.prototxt", "."):
        assert not importer.detect(tmp_path / name), name


def test_files_that_do_not_belong_together_are_refused(tmp_path):
    with pytest.raises(InvalidInput, match="PReLU1"):
        CaffeImporter().read(need(MTCNN / "det1.prototxt"), ImportOptions(weights=MTCNN / "det2.caffemodel"))


def test_an_input_too_small_for_the_network_is_refused():
    with pytest.raises(InvalidInput, match="conv"):
        read(MTCNN / "det1.prototxt", width=5, height=5)
    with pytest.raises(InvalidInput, match="conv4"):  # its fully connected layer fits one size only
        read(MTCNN / "det2.prototxt", width=48, height=48)


def test_the_source_is_opencv_a_second_engine(tmp_path):
    source = CaffeImporter().read(make_small(tmp_path), ImportOptions()).source
    assert (source.is_own_framework, source.engine) == (False, f"opencv {cv2.__version__}")


def try_damaged(path):
    """Whether a damaged file still reads; any error must be one of ours, in one line."""
    try:
        CaffeImporter().read(path, ImportOptions())
    except SightlineError as error:
        assert "\n" not in str(error)
        return False
    return True


@pytest.mark.parametrize("suffix", [".caffemodel", ".prototxt"])
def test_cut_files_are_refused(suffix, tmp_path):
    for other in (".caffemodel", ".prototxt"):
        shutil.copyfile(need(MTCNN / f"det1{other}"), tmp_path / f"det1{other}")
    content = (MTCNN / f"det1{suffix}").read_bytes()
    for size in np.linspace(0, len(content) - 8, 40).astype(int):
        (tmp_path / f"det1{suffix}").write_bytes(content[:size])
        if suffix == ".caffemodel":
            assert not try_damaged(tmp_path / "det1.prototxt"), size
        else:
            try_damaged(tmp_path / "det1.prototxt")  # a prototxt cut between two layers is a shorter network


@pytest.mark.parametrize("suffix", [".caffemodel", ".prototxt"])
def test_flipped_bytes_never_give_a_traceback(suffix, tmp_path, rng):
    for other in (".caffemodel", ".prototxt"):
        shutil.copyfile(need(MTCNN / f"det1{other}"), tmp_path / f"det1{other}")
    content = (MTCNN / f"det1{suffix}").read_bytes()
    outcomes = []
    for _ in range(150):
        damaged = bytearray(content)
        for place in rng.integers(0, len(content), 4):
            damaged[place] = rng.integers(0, 256)
        damaged[rng.integers(0, 200)] ^= 1 << rng.integers(0, 8)
        (tmp_path / f"det1{suffix}").write_bytes(damaged)
        outcomes.append(try_damaged(tmp_path / "det1.prototxt"))
    assert not all(outcomes)
