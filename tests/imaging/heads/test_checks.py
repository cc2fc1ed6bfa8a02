"""Decode specs are judged without a picture: each head that can be passes on zeros, and what does not fit is refused."""

from typing import Any

import numpy as np
import pytest

from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput
from sightline.core.manifests import DecodeSpec
from sightline.imaging.heads.checks import PARAMETERS_OF_HEAD, check_decode_spec, check_decoding
from sightline.imaging.heads.decoding import TASK_OF_HEAD

CATEGORIES = Categories(["a", "b", "c"])
VOTES = {"voters": 5, "share": 0.3, "spread": 0.02, "faintest": 0.05}
ANCHORS = [[[10, 14], [23, 27]], [[37, 58]]]
PRIORS = [[0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0]]
# Head, shapes of its outputs for one picture, parameters: as our networks, the importers and hand-written specs have them.
FITTING: list[tuple[str, list[tuple[int, ...]], dict[str, Any]]] = [
    ("softmax", [(1, 3)], {}),
    ("softmax", [(1, 3, 1, 1)], {"top": 2}),
    ("probabilities", [(1, 3)], {"top": 1}),
    ("sigmoid", [(1, 3)], {"activated": True}),
    ("semantic", [(1, 3, 8, 8)], {"background": "a"}),
    ("label_map", [(1, 8, 8)], {}),
    ("label_map", [(1, 1, 8, 8)], {"background": "a"}),
    ("anchor_free", [(1, 3, 4, 4), (1, 4, 4, 4), (1, 3, 2, 2), (1, 4, 2, 2)], {"strides": [16, 32], "side_scale": 2.0}),
    ("anchor_free", [(1, 3, 4, 4), (1, 4, 4, 4)], {"strides": [16], "candidates": 5, "votes": VOTES}),
    (
        "anchor_free_masks",
        [(1, 3, 4, 4), (1, 4, 4, 4), (1, 5, 4, 4), (1, 5, 16, 16)],
        {"strides": [16], "side_scale": 2.0, "candidates": 5},
    ),
    ("region_boxes", [(1, 7, 4), (1, 7, 4), (1, 7, 16)], {"weights": [10.0, 10.0, 5.0, 5.0]}),
    ("region_boxes", [(1, 0, 4), (1, 0, 4), (1, 0, 16)], {"candidates": 10}),
    ("yolo", [(1, 16, 2, 2), (1, 8, 4, 4)], {"anchors": ANCHORS}),
    ("yolo", [(1, 16, 2, 2), (1, 8, 4, 4)], {"anchors": ANCHORS, "scale_x_y": [1.05, 1.1], "class_rule": "softmax"}),
    ("yolo", [(1, 16, 2, 2)], {"anchors": ANCHORS[:1], "new_coords": True, "candidates": 10}),
    ("grid_objects", [(1, 8, 4, 4)], {"objectness_power": 0.5, "class_power": 0.5, "candidates": 10}),
    ("scored_boxes", [(1, 7, 3), (1, 7, 4)], {"normalised": False, "order": "yxyx", "candidates": 10}),
    ("scored_boxes", [(1, 7, 4), (1, 7, 4)], {"background": 0}),
    ("scored_boxes", [(1, 0, 3), (1, 0, 4)], {}),
    ("prior_boxes", [(1, 2, 4), (1, 2, 3)], {"priors": PRIORS, "activation": "sigmoid"}),
    ("prior_boxes", [(1, 8), (1, 8)], {"priors": PRIORS, "activation": "softmax", "background": 0, "variances": [1.0] * 4}),
    ("joined_boxes", [(1, 7, 5)], {"axis": 1}),
    ("joined_boxes", [(1, 5, 8)], {"axis": 2, "objectness": True}),
    ("joined_boxes", [(1, 5, 7)], {"axis": 2, "normalised": True, "order": "cxcywh", "candidates": 10}),
    ("final_boxes", [(1, 5, 6)], {"order": "xyxy", "normalised": True}),
    ("final_boxes", [(1, 0, 6)], {}),
    ("picture", [(1, 3, 16, 16)], {"range": [0, 1]}),
    ("picture", [(1, 16, 16, 1)], {"range": [-1, 1], "colour": "GRAY", "layout": "NHWC"}),
    ("raw", [(1,), ()], {}),
]


class Recorded(dict[str, Any]):
    """Parameters that tell which of them are looked for."""

    def __init__(self, values: dict[str, Any]) -> None:
        super().__init__(values)
        self.asked: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        self.asked.add(key)
        return super().get(key, default)

    def __getitem__(self, key: str) -> Any:
        self.asked.add(key)
        return super().__getitem__(key)


def make_spec(head: str, shapes: list[tuple[int, ...]], parameters: dict[str, Any], **fields: Any) -> DecodeSpec:
    return DecodeSpec(head=head, outputs=tuple(f"o{place}" for place in range(len(shapes))), parameters=parameters, **fields)


def check(spec: DecodeSpec, shapes: list[tuple[int, ...]]) -> None:
    check_decode_spec(spec, "decode")
    check_decoding(spec, dict(zip(spec.outputs, shapes, strict=True)), CATEGORIES)


@pytest.mark.parametrize(("head", "shapes", "parameters"), FITTING)
@pytest.mark.parametrize("threshold", [0.0, 0.25, 1.0])
def test_every_head_that_can_be_passes_on_zeros(head, shapes, parameters, threshold):
    check(make_spec(head, shapes, parameters, confidence_threshold=threshold, iou_threshold=threshold), shapes)


def test_every_head_has_its_parameters_and_an_example():
    assert set(PARAMETERS_OF_HEAD) == set(TASK_OF_HEAD) == {head for head, _, _ in FITTING}


@pytest.mark.parametrize("head", [head for head in TASK_OF_HEAD if head not in ("picture", "raw")])
def test_the_parameters_known_of_a_head_are_those_that_it_reads(head):
    asked: set[str] = set()
    for _, shapes, parameters in (one for one in FITTING if one[0] == head):
        recorded = Recorded(parameters)
        check(make_spec(head, shapes, recorded, confidence_threshold=0.0), shapes)
        asked |= recorded.asked
    assert asked == set(PARAMETERS_OF_HEAD[head])


MISFITS: list[tuple[str, list[tuple[int, ...]], dict[str, Any], str]] = [
    ("softmax", [(1, 2)], {}, r"the head softmax does not fit the graph: .*C = 3 categories, got \[\(1, 2\)\]"),
    ("softmax", [(3,)], {}, "does not fit the graph: expected output o0 for 1 pictures"),
    ("softmax", [(1, 3)], {"top": "all"}, r'cannot decode with the parameters {"top":"all"}: ValueError'),
    ("yolo", [(1, 3)], {}, "expected anchors"),
    ("yolo", [(1, 21, 2, 2)], {"anchors": ANCHORS[:1]}, "does not fit the graph: expected maps"),
    ("anchor_free", [(1, 3, 4, 4), (1, 4, 4, 4)], {}, "cannot decode with the parameters {}: KeyError: 'strides'"),
    ("anchor_free", [(1, 3, 4, 4), (1, 4, 4, 4)], {"strides": 16}, "TypeError"),
    ("anchor_free_masks", [(1, 3, 4, 4), (1, 4, 4, 4)], {"strides": [16]}, "does not fit the graph: expected class logits"),
    ("semantic", [(1, 3)], {}, "does not fit the graph"),
    ("label_map", [(1, 3, 8, 8)], {}, "does not fit the graph"),
    ("prior_boxes", [(1, 2, 4), (1, 2, 3)], {"priors": PRIORS[:1]}, "for P = 1 priors"),
    ("joined_boxes", [(1, 7, 5)], {"axis": 2}, "does not fit the graph"),
    ("final_boxes", [(1, 5, 7)], {}, "does not fit the graph"),
    ("picture", [(1, 1, 8, 8)], {"range": [0, 1]}, "does not fit the graph: expected a RGB picture"),
]


@pytest.mark.parametrize(("head", "shapes", "parameters", "words"), MISFITS)
def test_what_does_not_fit_the_graph_is_refused_in_one_line(head, shapes, parameters, words):
    with pytest.raises(InvalidInput, match=words) as refusal:
        check(make_spec(head, shapes, parameters), shapes)
    assert "\n" not in str(refusal.value)


def test_an_output_that_the_graph_lacks_is_told():
    with pytest.raises(InvalidInput, match=r"expected the outputs \['o0'\], got \[\]"):
        check_decoding(make_spec("softmax", [(1, 3)], {}), {"other": (1, 3)}, CATEGORIES)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"head": "sotfmax"}, r"decode\.head: expected one of anchor_free, .*, got 'sotfmax'"),
        ({"parameters": {"bogus": 1}}, r"decode\.parameters: expected only top for the head softmax, got 'bogus'"),
        ({"head": "raw", "parameters": {"top": 1}}, r"decode\.parameters: expected none for the head raw, got 'top'"),
        ({"confidence_threshold": 7}, r"decode\.confidence_threshold: expected 0 to 1, got 7"),
        ({"confidence_threshold": np.nan}, r"decode\.confidence_threshold: expected 0 to 1, got nan"),
        ({"iou_threshold": -0.1}, r"decode\.iou_threshold: expected 0 to 1, got -0\.1"),
        ({"max_detections": 0}, r"decode\.max_detections: expected at least 1, got 0"),
        ({"head": "picture"}, 'needs parameters such as {"range"'),
    ],
)
def test_a_spec_that_cannot_be_is_refused_without_a_graph(spec, words):
    with pytest.raises(InvalidInput, match=words):
        check_decode_spec(DecodeSpec(**{"head": "softmax", "outputs": ("o",), **spec}), "decode")
