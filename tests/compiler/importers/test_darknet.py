import cv2
import msgspec
import numpy as np
import onnx
import pytest
from darknet_making import (
    DARKNET_19,
    DARKNET_53,
    SCALED_YOLO_4,
    TINY_YOLO_2,
    TINY_YOLO_3,
    TINY_YOLO_4,
    YOLO_2,
    YOLO_4,
    conv,
    maxpool,
    raw,
    route,
    write_network,
    yolo,
)
from import_checks import NETWORKS, assert_agrees, input_shape, need, read_pictures, run_graph

from sightline.compiler.importers.darknet.importer import DarknetImporter
from sightline.compiler.importers.importer import ImportedGraph, ImportOptions
from sightline.core.categories import Categories
from sightline.core.errors import NotFound
from sightline.core.manifests import InputSpec
from sightline.imaging.files.reading import read_image
from sightline.imaging.heads.decoding import decode_outputs
from sightline.imaging.preprocessing import prepare_batch

YOLO_FASTEST = NETWORKS / "yolo-fastest-darknet" / "yolo-fastest-1.1.cfg"
FAMILIES = {
    "tiny YOLOv2": TINY_YOLO_2,
    "YOLOv2": YOLO_2,
    "tiny YOLOv3": TINY_YOLO_3,
    "tiny YOLOv4": TINY_YOLO_4,
    "YOLOv4": YOLO_4,
    "scaled YOLOv4": SCALED_YOLO_4,
    "Darknet-19": DARKNET_19,
    "Darknet-53": DARKNET_53,
    "activations": "".join(conv(8, activation=one, normalise=one != "mish") for one in ("relu", "tanh", "logistic", "mish")),
    "groups": conv(8) + conv(16, 5, 2, more="groups=8"),
    "pools": conv(4) + maxpool(3, 2) + maxpool(2, 2, "padding=0") + maxpool(4, 3),
    "shortcut from more channels": conv(12) + conv(8) + "[shortcut]\nfrom=-2\nactivation=leaky\n",
    "shortcut from fewer channels": conv(8) + conv(12) + "[shortcut]\nfrom=-2\nactivation=relu\n",
    "spatial attention": conv(8) + conv(8, 1, activation="logistic") + "[sam]\nfrom=-2\n" + conv(4),
    "fully connected": conv(4, stride=8) + "[connected]\noutput=6\nactivation=leaky\ninputs=256\n[dropout]\n[connected]\n"
    "output=3\nactivation=linear\ninputs=6\n[softmax]\n",
}


def read(path, **options) -> ImportedGraph:
    return DarknetImporter().read(path, ImportOptions(**options))


def draw_batch(width: int = 64, height: int = 64, count: int = 3) -> np.ndarray:
    return np.random.default_rng(1).uniform(size=(count, 3, height, width)).astype(np.float32)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_agrees_with_opencv_layer_by_layer(family, tmp_path):
    imported = read(write_network(tmp_path, FAMILIES[family]))
    batch = draw_batch()
    assert_agrees(imported, batch, tmp_path, limit=1e-5)
    names = [name for node in imported.graph.graph.node for name in node.output]
    expected = imported.source.run_layers(batch, names)
    assert len(expected) >= 0.6 * len(names)  # the rest are parts of a layer
    graph = onnx.ModelProto()
    graph.CopyFrom(imported.graph)
    del graph.graph.output[:]
    graph.graph.output.extend(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in expected)
    for name, values in run_graph(graph, batch, tmp_path).items():
        assert values.shape == expected[name].shape, name
        assert np.abs(values - expected[name]).max() < 2e-5 * np.abs(expected[name]).max(), name


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("family", ["tiny YOLOv2", "YOLOv2", "tiny YOLOv3", "tiny YOLOv4", "YOLOv4"])
def test_the_fast_engines_run_what_was_written(family, engine, tmp_path):
    imported = read(write_network(tmp_path, FAMILIES[family], 96, 64))
    batch = draw_batch(96, 64)
    got = run_graph(imported.graph, batch, tmp_path, engine)
    for name, values in imported.source.run(batch).items():
        assert np.abs(got[name] - values).max() < 1e-4 * np.abs(values).max()


def test_pools_with_stride_1_keep_the_size_and_pad_nothing_that_could_win(tmp_path):
    cfg = write_network(tmp_path, maxpool(2, 1) + maxpool(3, 2))
    batch = -1 - draw_batch(5, 5, 1)  # below zero: a padding with zeros would win
    got = run_graph(read(cfg, width=5, height=5, outputs=("maxpool_0",)).graph, batch, tmp_path)["maxpool_0"]
    # Darknet's maxpool_layer.c: padding size - 1 = 1, of which 1 / 2 = 0 in front.
    expected = [[batch[0, :, r : r + 2, c : c + 2].max(axis=(1, 2)) for c in range(5)] for r in range(5)]
    np.testing.assert_array_equal(got[0], np.transpose(expected, (2, 0, 1)))


@pytest.mark.parametrize("stride", [2, 3])
def test_reorg_follows_darknets_own_loop(stride, tmp_path, rng):
    channels, height, width = 2 * stride**2, 2 * stride, 3 * stride
    layers = conv(channels, 1, activation="linear", normalise=False) + f"[reorg]\nstride={stride}\n"
    imported = read(write_network(tmp_path, layers, width, height), outputs=("conv_0", "reorg_1"))
    got = run_graph(imported.graph, draw_batch(width, height, 2), tmp_path)
    expected = np.empty(got["conv_0"].shape, np.float32).reshape(2, -1)
    for picture, flat in enumerate(got["conv_0"].reshape(2, -1)):
        few = channels // stride**2  # reorg_cpu of blas.c, read as mathematics
        for k, j, i in np.ndindex(channels, height, width):
            offset = k // few
            x, y = i * stride + offset % stride, j * stride + offset // stride
            source = x + width * stride * (y + height * stride * (k % few))
            expected[picture, i + width * (j + height * k)] = flat[source]
    np.testing.assert_array_equal(got["reorg_1"], expected.reshape(got["reorg_1"].shape))
    assert got["reorg_1"].shape == (2, channels * stride**2, 2, 3)


def test_yolo_fastest_agrees_with_opencv_on_real_pictures(tmp_path):
    imported = read(need(YOLO_FASTEST))
    batch = read_pictures(4, 320, 320).transpose(0, 3, 1, 2).astype(np.float32) / 255
    assert_agrees(imported, batch, tmp_path, limit=1e-4)
    assert imported.source.engine.startswith("opencv 4") and not imported.source.is_own_framework
    assert DarknetImporter().detect(YOLO_FASTEST) and DarknetImporter().detect(YOLO_FASTEST.with_suffix(".weights"))


def test_yolo_fastest_finds_what_is_on_the_pictures(tmp_path):
    imported = read(need(YOLO_FASTEST.with_suffix(".weights")))
    stated = imported.stated
    assert (input_shape(imported.graph), stated.colour) == ((3, 320, 320), "RGB")
    assert (stated.mean, stated.std, stated.resize) == ((0, 0, 0), (255, 255, 255), "stretch")
    assert len(imported.categories) == 80 and imported.categories[:2] == ("person", "bicycle")
    assert imported.files == (YOLO_FASTEST.with_suffix(".weights"), YOLO_FASTEST)
    spec = InputSpec(name="data", width=320, height=320, resize="stretch")
    found = []
    for picture in sorted(need(NETWORKS / "fastestdet-coco").glob("*.jpg")):
        batch, placements = prepare_batch([read_image(picture)], spec)
        outputs = run_graph(imported.graph, batch, tmp_path)
        (answers,) = decode_outputs(imported.decode, outputs, placements, Categories(imported.categories), 0.4)
        found.append([one.category for one in answers])
    # Looked at: a baseball batter with others around him, a bus with a passer-by, three people in front of a fourth.
    assert found == [[*["person"] * 3, "baseball bat", "person"], ["bus", "person"], ["person"] * 3]


def test_a_cfg_says_how_to_decode(tmp_path):
    decode = read(write_network(tmp_path, TINY_YOLO_3)).decode
    assert (decode.head, decode.outputs) == ("yolo", ("conv_7", "conv_14"))
    assert decode.parameters == {
        "anchors": [[[37, 58], [81, 82]], [[10, 14], [23, 27]]],
        "scale_x_y": [1, 1],
        "class_rule": "sigmoid",
        "new_coords": False,
    }
    decode = read(write_network(tmp_path, SCALED_YOLO_4)).decode
    assert (decode.outputs, decode.parameters["scale_x_y"], decode.parameters["new_coords"]) == (("logistic_2",), [2], True)
    decode = read(write_network(tmp_path, TINY_YOLO_2, 64, 96)).decode
    assert decode.parameters["class_rule"] == "softmax"
    assert decode.parameters["anchors"] == [[[6, 8], [12, 18]]]  # 1.5, 2 and 3, 4.5 cells of 4 pixels
    imported = read(write_network(tmp_path, DARKNET_19))
    assert (imported.decode.head, imported.decode.outputs) == ("probabilities", ("softmax_4",))
    assert (imported.stated.resize, imported.stated.crop_fraction) == ("centre_crop", 1.0)
    assert read(write_network(tmp_path, conv(4))).decode is None


@pytest.mark.parametrize("family", ["tiny YOLOv2", "tiny YOLOv3", "YOLOv4", "scaled YOLOv4"])
def test_decoded_boxes_are_those_of_opencv(family, tmp_path):
    cfg = write_network(tmp_path, FAMILIES[family].replace("thresh=.6", "thresh=.001"))
    imported, batch = read(cfg), draw_batch(count=1)
    threshold = 0.3 if family == "scaled YOLOv4" else 0.5
    decode = msgspec.structs.replace(
        imported.decode,
        iou_threshold=0.4 if family == "tiny YOLOv2" else 1.0,  # OpenCV suppresses behind [region], not behind [yolo]
        max_detections=10_000,
        parameters=imported.decode.parameters | {"candidates": 10_000},
    )
    placement = prepare_batch([np.zeros((64, 64, 3), np.uint8)], InputSpec(width=64, height=64, resize="stretch"))[1]
    (found,) = decode_outputs(decode, run_graph(imported.graph, batch, tmp_path), placement, Categories(["a", "b"]), threshold)
    expected = []
    network = cv2.dnn.readNetFromDarknet(str(cfg), str(cfg.with_suffix(".weights")))
    network.setInput(batch)
    for part in network.forward(network.getUnconnectedOutLayersNames()):
        for x, y, w, h, _, *classes in part.reshape(-1, 7).tolist():  # shares of the picture; classes times objectness
            box = np.clip(np.array([x - w / 2, y - h / 2, x + w / 2, y + h / 2]) * 64, 0, 64)
            inside = box[2] > box[0] and box[3] > box[1]
            expected += [(value, "ab"[label], box) for label, value in enumerate(classes) if value >= threshold and inside]
    assert len(found) == len(expected) > 3
    for confidence, category, box in expected:
        fits = (
            one
            for one in found
            if one.category == category
            and one.confidence == pytest.approx(confidence, abs=1e-4)
            and one.box_xyxy == pytest.approx(tuple(box), abs=1e-2)
        )
        found.remove(next(fits))


def test_the_resize_rule_is_the_one_of_the_darknet_the_cfg_was_written_for(tmp_path):
    assert read(write_network(tmp_path, TINY_YOLO_3)).stated.resize == "letterbox"
    assert read(write_network(tmp_path, TINY_YOLO_4)).stated.resize == "stretch"
    assert read(write_network(tmp_path, TINY_YOLO_4, net="letter_box=1")).stated.resize == "letterbox"


def test_another_input_size_and_other_outputs_can_be_asked_for(tmp_path):
    cfg = write_network(tmp_path, TINY_YOLO_3)
    imported = read(cfg, width=128, height=96)
    assert input_shape(imported.graph)[1:] == (96, 128)
    assert_agrees(imported, draw_batch(128, 96), tmp_path, limit=1e-5)
    imported = read(cfg, outputs=("leaky_2", "upsample_11"))
    assert imported.decode is None
    assert_agrees(imported, draw_batch(), tmp_path, limit=1e-5)
    with pytest.raises(NotFound, match="conv_99"):
        read(cfg, outputs=("conv_99",))


def test_names_beside_the_cfg_become_categories_when_they_fit(tmp_path):
    cfg = write_network(tmp_path, TINY_YOLO_3)
    assert read(cfg).categories is None
    (tmp_path / "some.names").write_text("cat\n big dog \n\n")
    assert read(cfg).categories == ("cat", "big dog")
    for text in ("cat\n", "cat\ncat\n"):
        (tmp_path / "some.names").write_text(text)
        imported = read(cfg)
        assert imported.categories is None and any("some.names was not used" in note for note in imported.notes)
    (tmp_path / "other.names").write_text("a\nb\n")
    assert any("2 files of names" in note for note in read(cfg).notes)


def test_the_graph_holds_a_convolution_and_nothing_more_for_normalisation(tmp_path):
    graph = read(write_network(tmp_path, YOLO_2)).graph
    kinds = [node.op_type for node in graph.graph.node]
    assert set(kinds) == {"Conv", "LeakyRelu", "MaxPool", "Reshape", "SpaceToDepth", "Concat"}
    assert graph.ir_version <= 10 and graph.opset_import[0].version <= 18
    assert "conv_8" not in kinds and {"conv_0", "maxpool_1", "reorg_8"} <= {node.name for node in graph.graph.node}


def test_a_detection_layer_alone_reads_the_layer_before_it(tmp_path):
    layers = conv(8, stride=2) + raw(14) + yolo("0,1") + route("0") + conv(8, stride=2) + raw(14) + yolo("2,3")
    imported = read(write_network(tmp_path, layers))
    assert imported.decode.outputs == ("conv_1", "conv_5")
    assert_agrees(imported, draw_batch(), tmp_path, limit=1e-5)
