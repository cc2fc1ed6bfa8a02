from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from sightline.compiler.importing.output_heads import find_head, make_unique, name_head, settle_categories
from sightline.core.errors import InvalidInput, NotFound


def make_graph(*outputs: tuple[str, str, tuple[int, ...]]) -> onnx.ModelProto:
    """A graph whose outputs (name, operator, shape without batch) all stem from one input each."""
    nodes, values, inputs = [], [], []
    for name, operator, shape in outputs:
        source_shape = shape
        extra: dict[str, Any] = {}
        if operator == "ArgMax":
            source_shape, extra = (4, *shape), {"axis": 1, "keepdims": 0}
        inputs.append(helper.make_tensor_value_info(f"{name}_in", TensorProto.FLOAT, ["batch", *source_shape]))
        nodes.append(helper.make_node(operator, [f"{name}_in"], [name], name=name, **extra))
        kind = TensorProto.INT64 if operator == "ArgMax" else TensorProto.FLOAT
        values.append(helper.make_tensor_value_info(name, kind, ["batch", *shape]))
    return helper.make_model(helper.make_graph(nodes, "g", inputs, values), opset_imports=[helper.make_opsetid("", 17)])


@pytest.mark.parametrize(
    ("operator", "head", "task"),
    [
        ("Softmax", "probabilities", "classification"),
        ("Relu", "softmax", "classification"),
        ("Sigmoid", "sigmoid", "multilabel"),
    ],
)
def test_the_last_operator_tells_logits_from_probabilities(operator: str, head: str, task: str) -> None:
    found = find_head(make_graph(("y", operator, (10,))), None)
    assert (found.decode.head, found.task, found.class_count) == (head, task, 10)


def test_a_pooled_map_of_one_cell_is_a_vector() -> None:
    assert find_head(make_graph(("y", "Softmax", (1000, 1, 1))), None).class_count == 1000


def test_scores_and_boxes_are_told_apart_whatever_their_order() -> None:
    pair = (("where", "Relu", (40, 4)), ("what", "Relu", (40, 2)))
    for outputs in (pair, pair[::-1]):
        found = find_head(make_graph(*outputs), None)
        assert (found.decode.head, found.decode.outputs) == ("scored_boxes", ("what", "where"))


def test_of_two_outputs_of_four_numbers_the_name_tells_the_boxes() -> None:
    found = find_head(make_graph(("boxes", "Relu", (40, 4)), ("scores", "Relu", (40, 4))), None)
    assert found.decode.outputs == ("scores", "boxes")


def test_boxes_and_classes_over_many_places_in_one_output_are_a_detector() -> None:
    graph = make_graph(("y", "Concat", (7, 8400)))
    found = find_head(graph, 3)
    assert (found.decode.head, found.task, found.class_count) == ("joined_boxes", "detection", 3)
    assert find_head(graph, None).task == "raw"  # nobody says how many classes there are
    assert find_head(graph, 4).task == "raw"
    assert find_head(make_graph(("y", "Concat", (7, 9))), 3).task == "raw"


@pytest.mark.parametrize(
    ("shape", "parameters", "classes"),
    [((7, 50), {}, 3), ((50, 8), {"axis": 2, "objectness": True}, 3), ((50, 7), {"axis": 2}, 3)],
)
def test_a_joined_head_that_is_named_counts_its_classes(
    shape: tuple[int, int], parameters: dict[str, Any], classes: int
) -> None:
    found = name_head(make_graph(("y", "Concat", shape)), "joined_boxes", parameters, None)
    assert (found.class_count, found.decode.parameters) == (classes, parameters)


def test_a_map_with_a_channel_a_category_is_a_segmentation_and_otherwise_raw() -> None:
    graph = make_graph(("y", "Relu", (11, 30, 40)))
    assert find_head(graph, 11).decode.head == "semantic"
    assert find_head(graph, 6).decode.head == "grid_objects"
    assert find_head(graph, None).task == "raw"


def test_class_indices_are_a_segmentation() -> None:
    assert find_head(make_graph(("y", "ArgMax", (30, 40))), None).decode.head == "label_map"


def test_class_indices_tell_their_count_by_what_they_were_chosen_from() -> None:
    found = find_head(make_graph(("y", "ArgMax", (30, 40))), None)
    assert settle_categories(None, found)[0] == ("class 0", "class 1", "class 2", "class 3")
    with pytest.raises(InvalidInput, match="expected 4 categories"):
        settle_categories(["sky", "road"], found)


def test_classes_that_nobody_counts_or_names_are_asked_for() -> None:
    found = name_head(make_graph(("y", "Relu", (1, 30, 40))), "label_map", {}, None)
    with pytest.raises(InvalidInput, match="do not tell how many there are; give `categories`"):
        settle_categories(None, found)
    assert settle_categories(["sky", "road"], found)[0] == ("sky", "road")


def test_a_named_head_wins_and_takes_its_parameters() -> None:
    graph = make_graph(("boxes", "Relu", (40, 4)), ("scores", "Softmax", (40, 2)))
    found = name_head(graph, "prior_boxes", {"variances": [0.1, 0.1, 0.2, 0.2]}, 2)
    assert (found.task, found.decode.outputs) == ("detection", ("boxes", "scores"))
    assert found.decode.parameters["variances"] == [0.1, 0.1, 0.2, 0.2]
    with pytest.raises(NotFound, match="scored_boxes"):
        name_head(graph, "boxes", {}, None)


def test_a_background_class_is_no_category_of_a_box_head() -> None:
    found = find_head(make_graph(("boxes", "Relu", (40, 4)), ("scores", "Softmax", (40, 2))), None)
    for names in (["BACKGROUND", "face"], ["face"]):
        categories, decode = settle_categories(names, found)
        assert categories == ("face",)
        assert decode.parameters["background"] == 0


@pytest.mark.parametrize(("operator", "expected"), [("Softmax", ("class 1",)), ("Sigmoid", ("class 0", "class 1"))])
def test_unnamed_classes_behind_a_softmax_over_boxes_begin_with_the_background(
    operator: str, expected: tuple[str, ...]
) -> None:
    found = find_head(make_graph(("boxes", "Relu", (40, 4)), ("scores", operator, (40, 2))), None)
    categories, decode = settle_categories(None, found)
    assert categories == expected
    assert decode.parameters.get("background") == (0 if operator == "Softmax" else None)


@pytest.mark.parametrize("head", ["scored_boxes", "prior_boxes"])
def test_a_named_box_head_suppresses_as_a_found_one_does(head: str) -> None:
    graph = make_graph(("boxes", "Relu", (40, 4)), ("scores", "Softmax", (40, 2)))
    found, named = find_head(graph, 2).decode, name_head(graph, head, {"background": 0}, 2).decode
    assert (named.iou_threshold, named.confidence_threshold) == (found.iou_threshold, found.confidence_threshold)


@pytest.mark.parametrize("place", [0, 1, None])
def test_a_named_box_head_counts_classes_in_the_graph_and_takes_a_stated_background(place: int | None) -> None:
    graph = make_graph(("boxes", "Relu", (40, 4)), ("scores", "Softmax", (40, 2)))
    found = name_head(graph, "prior_boxes", {} if place is None else {"background": place}, 1)  # one name, two scores
    categories, decode = settle_categories(["face"], found)
    assert categories == ("face",)
    assert decode.parameters["background"] == (place or 0)


def test_categories_that_do_not_fit_a_named_head_are_refused() -> None:
    found = name_head(make_graph(("y", "Gemm", (1001,))), "softmax", {}, 1000)
    with pytest.raises(InvalidInput, match="expected 1001 categories"):
        settle_categories([f"class {index}" for index in range(1000)], found)


def test_a_count_that_does_not_fit_is_refused_with_the_remedy() -> None:
    found = find_head(make_graph(("y", "Softmax", (4,))), None)
    with pytest.raises(InvalidInput, match=r"expected 4 categories .* got 3; .* `background`"):
        settle_categories(["a", "b", "c"], found)
    assert settle_categories(["a", "b", "c"], found, background=True)[0] == ("background", "a", "b", "c")


def test_equal_names_are_told_apart_by_their_class_index() -> None:
    assert make_unique(["crane", "owl", "crane", ""]) == ("crane", "owl", "crane (2)", "class 3")


def test_without_names_classes_are_numbered() -> None:
    found = find_head(make_graph(("y", "Softmax", (3,))), None)
    assert settle_categories(None, found)[0] == ("class 0", "class 1", "class 2")


def test_a_name_that_another_was_given_is_told_apart_too() -> None:
    assert make_unique(("a", "a (2)", "a")) == ("a", "a (2)", "a (2) again")
