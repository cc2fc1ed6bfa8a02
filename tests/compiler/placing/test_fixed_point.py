"""Where the point of a type is put: by hand for small cases, by trying every place for drawn ones."""

import numpy as np
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

from sightline.compiler.placing.fixed_point import TypeChooser, choose_point, choose_range, find_bits
from sightline.runtime.backends.hls4ml.network import FixedPoint


@pytest.mark.parametrize(
    ("largest", "bits"), [(0.0, 1), (0.5, 1), (0.99, 1), (1.0, 2), (1.99, 2), (2.0, 3), (100.0, 8), (0.2, -1)]
)
def test_so_many_bits_hold_a_number_and_its_negative(largest: float, bits: int) -> None:
    assert find_bits(largest) == bits
    if largest:
        assert largest < 2.0 ** (bits - 1) <= 2 * largest


def test_values_that_fit_exactly_keep_their_places() -> None:
    values = np.array([-1.0, -0.25, 0.5, 0.875])
    kind = choose_point(values, 4, signed=True)
    assert kind == FixedPoint(width=4, integer=1)  # eighths from -1
    np.testing.assert_array_equal(kind.quantise(values), values)


def test_a_rare_extreme_is_cut_for_the_many(rng: np.random.Generator) -> None:
    many = rng.uniform(-1, 1, 4000)
    assert choose_point(many, 8, signed=True).integer == 1
    assert choose_point(np.append(many, 1.2), 8, signed=True).integer == 1
    assert choose_point(np.append(many, 1.2), 16, signed=True).integer == 2  # the steps are fine enough for both


@pytest.mark.parametrize("signed", [True, False])
def test_the_point_has_the_least_error_of_all_places(signed: bool, rng: np.random.Generator) -> None:
    for scale in (1e-3, 1.0, 700.0):
        values = rng.normal(size=500) * scale
        values = values if signed else np.abs(values)
        chosen = choose_point(values, 6, signed)
        errors = {
            integer: np.square(FixedPoint(width=6, integer=integer, signed=signed).quantise(values) - values).sum()
            for integer in range(-16, 20)
        }
        assert errors[chosen.integer] == min(errors.values())


def test_sixteen_bits_leave_room_for_twice_the_largest_value() -> None:
    assert choose_range(np.array([-3.0, 1.0]), 16, signed=True) == FixedPoint(width=16, integer=4)
    assert choose_range(np.array([3.9]), 16, signed=False) == FixedPoint(width=16, integer=3, signed=False)
    assert choose_range(np.zeros(3), 16, signed=False).integer == 0


def make_chooser(relu: bool, images: tuple[float, float] = (-2.0, 1.5)) -> tuple[TypeChooser, list[NodeProto]]:
    """A chooser of 8 bits for a convolution, with or without a ReLU behind it."""
    weight = np.full((2, 1, 1, 1), 0.75, np.float32)
    nodes = [helper.make_node("Conv", ["x", "w", "b"], ["a"], "conv", kernel_shape=[1, 1])]
    nodes += [helper.make_node("Relu", ["a"], ["r"], "relu")] if relu else []
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 1, 2, 2])],
        [helper.make_tensor_value_info("r" if relu else "a", TensorProto.FLOAT, ["N", 2, 2, 2])],
        [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(np.array([0.5, -3.0], np.float32), "b")],
    )
    values = {"x": np.array(images), "a": np.array([-4.5, 1.6]), "r": np.array([0.0, 1.6])}
    return TypeChooser(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), values, 8), nodes


def test_a_sum_holds_whatever_its_inputs_can_hold() -> None:
    chooser, nodes = make_chooser(relu=False)
    source = chooser.choose_input("x")
    layer = chooser.choose_layer(nodes[0])
    assert layer.sum is not None
    assert layer.weight == FixedPoint(width=8, integer=1)  # 0.75 in 128ths
    # the largest magnitude: 0.75 times the most negative input, and the bias -3
    largest = 0.75 * 2.0 ** (source.integer - 1) + 3
    assert layer.sum.largest >= largest > layer.sum.largest / 2
    assert layer.sum.fraction == source.fraction + layer.weight.fraction
    assert not layer.sum.rounds
    assert layer.bias is not None
    assert layer.bias.fraction == layer.sum.fraction


def test_an_activation_rounds_and_the_sum_before_it_does_not() -> None:
    chooser, nodes = make_chooser(relu=True)
    chooser.choose_input("x")
    first, second = (chooser.choose_layer(node) for node in nodes)
    assert first.result == first.sum
    assert second.result.rounds
    assert not second.result.signed  # nothing behind a ReLU is below zero
    assert second.result.width == 16  # what leaves the device keeps 16 bits


def test_an_input_without_negative_pictures_needs_no_sign() -> None:
    chooser, _ = make_chooser(relu=True, images=(0.0, 0.99))
    assert chooser.choose_input("x") == FixedPoint(width=8, integer=0, signed=False)
