"""SSD heads: what stays in the graph, and the prior boxes against OpenCV's and against a slow loop by the paper's rule."""

import math
from itertools import pairwise

import cv2
import numpy as np
import pytest
from caffe_files import SeededNet
from import_checks import assert_agrees, run_graph

from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput, Unsupported
from sightline.imaging.heads.decoding import decode_outputs
from sightline.imaging.resizing import stretch_image

PRIOR_PARAMS = [
    "min_size: 30",
    "min_size: 30 max_size: 60 aspect_ratio: 2 clip: false",
    "min_size: 30 max_size: 60 aspect_ratio: 2 aspect_ratio: 3 flip: false clip: true",
    "min_size: 10 min_size: 20 max_size: 15 max_size: 40 aspect_ratio: 1 aspect_ratio: 2 aspect_ratio: 2",
    "min_size: 12 aspect_ratio: 3 step: 16 offset: 0.25",
    "min_size: 12 step_h: 12 step_w: 20",
]


def make_ssd(prior_params, detection="", channels=4, classes=3, per_cell=1):
    """A feature map of 5x6 from an 80x96 picture, normalised, with box and class heads as VGG-SSD has them."""
    net = SeededNet(3, 80, 96)
    net.relu(net.conv("conv4_3", "data", channels, 3, "pad: 1 stride: 16"))
    net.weights["norm"] = [np.full(channels, 20, np.float32)]
    net.add("Normalize", "norm", "conv4_3", params="norm_param { across_spatial: false channel_shared: false }")
    for head, size in (("loc", 4), ("conf", classes)):
        net.conv(head, "norm", per_cell * size, 3, "pad: 1")
        net.add("Permute", f"{head}_perm", head, params="permute_param { order: 0 order: 2 order: 3 order: 1 }")
        net.add("Flatten", f"{head}_flat", f"{head}_perm", params="flatten_param { axis: 1 }")
        net.add("Concat", f"mbox_{head}", f"{head}_flat", params="concat_param { axis: 1 }")
    net.add("PriorBox", "priorbox", "norm data", params=f"prior_box_param {{ {prior_params} }}")
    net.add("Concat", "mbox_priorbox", "priorbox", params="concat_param { axis: 2 }")
    net.add("Reshape", "conf_rows", "mbox_conf", params=f"reshape_param {{ shape {{ dim: 0 dim: -1 dim: {classes} }} }}")
    net.add("Softmax", "conf_softmax", "conf_rows", params="softmax_param { axis: 2 }")
    net.add("Flatten", "mbox_conf_flatten", "conf_softmax", params="flatten_param { axis: 1 }")
    given = detection or f"num_classes: {classes} code_type: CENTER_SIZE share_location: true background_label_id: 0"
    net.add(
        "DetectionOutput",
        "detection_out",
        "mbox_loc mbox_conf_flatten mbox_priorbox",
        params=f"detection_output_param {{ {given} }}",
    )
    return net


def count_per_cell(params):
    ratios = {1.0}
    for ratio in read_numbers(params, "aspect_ratio"):
        ratios |= {ratio, 1 / ratio} if "flip: false" not in params else {ratio}
    return len(read_numbers(params, "min_size")) * len(ratios) + len(read_numbers(params, "max_size"))


def read_numbers(params, name):
    words = params.split()
    return [float(value) for key, value in pairwise(words) if key == f"{name}:"]


def ask_opencv(params):
    """OpenCV's own PriorBox layer over the same sizes: `(P, 4)` and the variances `(P, 4)`."""
    text = (
        'input: "data" input_dim: 1 input_dim: 3 input_dim: 80 input_dim: 96 '
        'layer { name: "p" type: "Pooling" bottom: "data" top: "p" pooling_param { pool: MAX kernel_size: 16 stride: 16 } } '
        f'layer {{ name: "b" type: "PriorBox" bottom: "p" bottom: "data" top: "b" prior_box_param {{ {params} }} }}'
    )
    net = cv2.dnn.readNetFromCaffe(np.frombuffer(text.encode(), np.uint8))
    net.setInput(np.zeros((1, 3, 80, 96), np.float32))
    return net.forward().reshape(2, -1, 4)


@pytest.mark.parametrize("params", PRIOR_PARAMS)
def test_priors_are_those_of_opencv(params, tmp_path):
    params += " variance: 0.1" + (" clip: false" if "clip" not in params else "")  # OpenCV's defaults are others
    decode = make_ssd(params, per_cell=count_per_cell(params)).read(tmp_path).decode
    expected, variances = ask_opencv(params)
    np.testing.assert_allclose(decode.parameters["priors"], expected, atol=2e-6)
    np.testing.assert_allclose(decode.parameters["variances"], variances[0], rtol=1e-6)


def test_priors_by_a_slow_loop(tmp_path):
    """Liu et al. 2016, section 2.2: centre ((column + 0.5) / W, (row + 0.5) / H), w = s sqrt(a), h = s / sqrt(a)."""
    params = "min_size: 30 max_size: 60 aspect_ratio: 2 variance: 0.1 variance: 0.1 variance: 0.2 variance: 0.2"
    decode = make_ssd(params, per_cell=4).read(tmp_path).decode
    expected = []
    for row in range(5):
        for column in range(6):
            x, y = (column + 0.5) / 6, (row + 0.5) / 5
            for size, ratio in ((30, 1), (math.sqrt(30 * 60), 1), (30, 2), (30, 0.5)):
                half_width, half_height = size * math.sqrt(ratio) / 2 / 96, size / math.sqrt(ratio) / 2 / 80
                expected.append((x - half_width, y - half_height, x + half_width, y + half_height))
    np.testing.assert_allclose(decode.parameters["priors"], expected, atol=1e-6)
    assert decode.parameters["variances"] == [0.1, 0.1, 0.2, 0.2]


@pytest.mark.parametrize(("params", "width", "height"), [("img_h: 80 img_w: 120", 120, 80), ("img_size: 90", 90, 90)])
def test_a_stated_picture_size_replaces_that_of_the_input(params, width, height, tmp_path):
    priors = np.array(make_ssd(f"min_size: 12 {params}").read(tmp_path).decode.parameters["priors"])
    np.testing.assert_allclose(priors[:, 2:] - priors[:, :2], [[12 / width, 12 / height]] * 30, atol=1e-6)
    np.testing.assert_allclose((priors[0, :2] + priors[0, 2:]) / 2, (0.5 / 6, 0.5 / 5), atol=1e-6)  # half a cell in


def test_sizes_are_whole_pixels_as_in_caffe(tmp_path):
    fractions = make_ssd("min_size: 35.84 max_size: 76.8", per_cell=2).read(tmp_path).decode
    whole = make_ssd("min_size: 35 max_size: 76", per_cell=2).read(tmp_path).decode
    assert fractions.parameters["priors"] == whole.parameters["priors"]


def test_detection_output_becomes_the_decode_head(tmp_path, rng):
    detection = (
        "num_classes: 3 code_type: CENTER_SIZE background_label_id: 0 keep_top_k: 200 confidence_threshold: 0.25 "
        "nms_param { nms_threshold: 0.45 top_k: 400 }"
    )
    imported = make_ssd("min_size: 30", detection).read(tmp_path)
    decode = imported.decode
    assert (decode.head, decode.outputs) == ("prior_boxes", ("mbox_loc", "mbox_conf_flatten"))
    assert (decode.confidence_threshold, decode.iou_threshold, decode.max_detections) == (0.25, 0.45, 200)
    assert (decode.parameters["background"], decode.parameters["candidates"]) == (0, 400)
    assert [output.name for output in imported.graph.graph.output] == ["mbox_loc", "mbox_conf_flatten"]
    assert any("detection_out" in note for note in imported.notes)
    assert_agrees(imported, rng.normal(size=(2, 3, 80, 96)).astype(np.float32), tmp_path, 1e-4)


def test_several_maps_are_joined_in_the_order_of_the_concat(tmp_path):
    net = make_ssd("min_size: 30")
    net.text = net.text.replace(
        'bottom: "priorbox" top: "mbox_priorbox"', 'bottom: "far" bottom: "priorbox" top: "mbox_priorbox"'
    )
    far = (
        'layer { name: "far" type: "PriorBox" bottom: "conv4_3" bottom: "data" top: "far" prior_box_param { min_size: 50 } }\n'
    )
    net.text = net.text.replace('layer { name: "mbox_priorbox"', far + 'layer { name: "mbox_priorbox"')
    priors = np.array(net.read(tmp_path).decode.parameters["priors"])
    widths = (priors[:, 2] - priors[:, 0]) * 96
    np.testing.assert_allclose(widths, [50] * 30 + [30] * 30, atol=1e-4)


def test_variance_in_the_target_needs_none_in_decoding(tmp_path):
    detection = "num_classes: 3 code_type: CENTER_SIZE variance_encoded_in_target: true background_label_id: -1"
    parameters = make_ssd("min_size: 30 variance: 0.1", detection).read(tmp_path).decode.parameters
    assert parameters["variances"] == [1.0] * 4
    assert parameters["background"] is None


@pytest.mark.parametrize("detection", ["num_classes: 3", "num_classes: 3 code_type: CENTER_SIZE share_location: false"])
def test_decoding_no_head_does_leaves_raw_outputs_and_a_note(detection, tmp_path):
    imported = make_ssd("min_size: 30", detection).read(tmp_path)
    assert imported.decode is None
    assert any("no decode head" in note for note in imported.notes)


@pytest.mark.parametrize(
    "params",
    [
        "max_size: 3",
        "min_size: 0",
        "min_size: 3 max_size: 4 max_size: 5",
        "min_size: 3 variance: -1",
        "min_size: 3 aspect_ratio: 0",
        "min_size: 3 aspect_ratio: 1e-30",
        "min_size: 3 max_size: -4",
        "min_size: 3e38",
        "min_size: 3 " + "aspect_ratio: 2 " * 101,
    ],
)
def test_priors_without_size_are_refused(params, tmp_path):
    with pytest.raises(InvalidInput):
        make_ssd(params).read(tmp_path)


def test_a_second_detection_output_asks_for_the_outputs_by_name(tmp_path):
    net = make_ssd("min_size: 30")
    net.text += net.text[net.text.index('layer { name: "detection_out"') :].replace("detection_out", "other_out")
    with pytest.raises(Unsupported, match=r"detection_out .*other_out"):
        net.read(tmp_path)
    assert net.read(tmp_path, outputs=("mbox_conf_flatten", "mbox_loc")).decode.outputs == ("mbox_loc", "mbox_conf_flatten")
    assert net.read(tmp_path, outputs=("mbox_conf",)).decode is None


def test_priors_from_elsewhere_are_refused(tmp_path):
    net = make_ssd("min_size: 3")
    net.text = net.text.replace('bottom: "mbox_priorbox"', 'bottom: "mbox_loc"')
    with pytest.raises(Unsupported, match="something else than PriorBox"):
        net.read(tmp_path)


def test_decoded_boxes_are_those_of_opencvs_detection_output(tmp_path, rng):
    detection = (
        "num_classes: 3 share_location: true code_type: CENTER_SIZE background_label_id: 0 keep_top_k: 200 "
        "confidence_threshold: 0.4 nms_param { nms_threshold: 0.45 top_k: 400 }"
    )
    params = "min_size: 20 max_size: 40 aspect_ratio: 2 clip: false variance: 0.1 variance: 0.1 variance: 0.2 variance: 0.2"
    net = make_ssd(params, detection, per_cell=4)
    net.weights["norm"] = [np.ones(4, np.float32)]  # offsets that stay near the priors
    imported = net.read(tmp_path)
    batch = rng.normal(size=(1, 3, 80, 96)).astype(np.float32)
    original = cv2.dnn.readNetFromCaffe(str(tmp_path / "net.prototxt"), str(tmp_path / "net.caffemodel"))
    original.setInput(batch)
    rows = original.forward()[0, 0]  # (K, 7): picture, class, confidence, x_min, y_min, x_max, y_max in shares
    rows = rows[rows[:, 2] > 0]  # OpenCV fills up to keep_top_k with zeros
    _, placement = stretch_image(np.zeros((80, 96, 3), np.uint8), 96, 80)
    outputs = run_graph(imported.graph, batch, tmp_path)
    found = decode_outputs(imported.decode, outputs, [placement], Categories(["first", "second"]))[0]
    assert len(found) == len(rows) > 5
    for annotation, row in zip(found, rows[np.argsort(-rows[:, 2], kind="stable")], strict=True):
        assert annotation.category == ("first", "second")[int(row[1]) - 1]
        assert annotation.confidence == pytest.approx(row[2], abs=1e-5)
        expected = np.clip(row[3:] * (96, 80, 96, 80), 0, (96, 80, 96, 80))
        np.testing.assert_allclose(annotation.box_xyxy, expected, atol=1e-2)
