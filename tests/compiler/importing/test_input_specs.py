import numpy as np
import pytest
from onnx import TensorProto, helper

from sightline.compiler.importers.importer import StatedInput
from sightline.compiler.importing.input_specs import (
    PRESETS,
    describe_spec,
    find_picture_input,
    make_input_spec,
    make_preset_input,
    merge_stated,
    parse_numbers,
    state_pixels,
    takes_whole_numbers,
)
from sightline.core.errors import InvalidInput, NotFound, Unsupported
from sightline.imaging.preprocessing import prepare_batch


def make_graph(*shape: int | str, inputs: int = 1):  # type: ignore[no-untyped-def]
    values = [helper.make_tensor_value_info(f"x{place}", TensorProto.FLOAT, ["batch", *shape]) for place in range(inputs)]
    return helper.make_model(helper.make_graph([], "g", values, []))


def test_a_silent_file_without_preset_is_refused_naming_what_is_missing() -> None:
    with pytest.raises(InvalidInput, match=r"no colour, mean, std in the file; give `preset`"):
        make_input_spec(make_graph(3, 224, 224), StatedInput(), "classification")


def test_caffe_subtracts_the_means_of_blue_green_red_in_this_order() -> None:
    stated = make_preset_input("imagenet-caffe", None, 3)
    assert (stated.colour, stated.mean, stated.std) == ("BGR", (104, 117, 123), (1, 1, 1))


def test_another_channel_order_takes_its_means_along() -> None:
    assert make_preset_input("imagenet-caffe", "RGB", 3).mean == (123, 117, 104)


def test_a_network_of_one_channel_gets_the_gray_values_mean() -> None:
    stated = make_preset_input("imagenet-tf", None, 1)
    assert (stated.colour, stated.mean) == ("GRAY", pytest.approx((127.5,)))
    spec = make_input_spec(make_graph(1, 28, 28), StatedInput(mean=(0.0,), std=(255.0,)), "classification")
    assert spec.colour == "GRAY"


def test_the_preset_makes_the_tensor_that_torchvision_makes() -> None:
    spec = make_input_spec(make_graph(3, 4, 4), make_preset_input("imagenet-torch", None, 3), "classification")
    image = np.full((4, 4, 3), (255, 0, 128), np.uint8)
    (tensor,), _ = prepare_batch([image], spec)
    expected = [(1.0 - 0.485) / 0.229, (0.0 - 0.456) / 0.224, (128 / 255 - 0.406) / 0.225]
    assert tensor[:, 0, 0] == pytest.approx(expected, abs=1e-5)


def test_what_the_user_says_wins_over_the_file() -> None:
    merged = merge_stated(StatedInput(colour="BGR"), StatedInput(colour="RGB", mean=(1.0,), std=(2.0,)))
    assert (merged.colour, merged.mean) == ("BGR", (1.0,))


def test_the_layout_is_told_by_the_channels() -> None:
    assert find_picture_input(make_graph(3, 10, 20)) == ("x0", (3, 10, 20), "NCHW")
    assert find_picture_input(make_graph(10, 20, 3)) == ("x0", (3, 10, 20), "NHWC")


@pytest.mark.parametrize("graph", [make_graph(5), make_graph(3, 8, 8, inputs=2), make_graph(4, 8, 8), make_graph(3, "h", "w")])
def test_what_takes_no_picture_is_refused(graph) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(Unsupported):
        find_picture_input(graph)


def test_large_classifiers_crop_and_small_ones_see_everything() -> None:
    preset = make_preset_input("0-1", None, 3)
    assert make_input_spec(make_graph(3, 224, 224), preset, "classification").resize == "centre_crop"
    assert make_input_spec(make_graph(3, 32, 32), preset, "classification").resize == "stretch"
    assert make_input_spec(make_graph(3, 320, 320), preset, "detection").resize == "stretch"


def test_numbers_are_one_or_three() -> None:
    assert parse_numbers("104,117,123", "--mean") == (104, 117, 123)
    for text in ("1,2", "a", "", "nan", "1,inf,2"):
        with pytest.raises(InvalidInput, match="--mean"):
            parse_numbers(text, "--mean")


def test_an_unknown_preset_names_those_there_are() -> None:
    with pytest.raises(NotFound, match="imagenet-torch"):
        make_preset_input("imagenet", None, 3)


def test_a_spec_is_told_in_one_line() -> None:
    spec = make_input_spec(make_graph(3, 8, 8), make_preset_input("imagenet-tf", None, 3), "detection")
    assert describe_spec(spec) == "RGB 8 x 8, (pixel - 127.5) / 127.5, stretch"
    assert len(PRESETS) > 4


def test_an_input_that_is_cast_to_integers_takes_whole_numbers() -> None:
    graph = make_graph(3, 8, 8)
    assert not takes_whole_numbers(graph)
    graph.graph.node.append(helper.make_node("Cast", ["x0"], ["whole"], to=TensorProto.INT32))
    assert takes_whole_numbers(graph)
    graph.graph.node.append(helper.make_node("Relu", ["x0"], ["fraction"]))  # a second reader sees what the cast would drop
    assert not takes_whole_numbers(graph)
    graph.graph.node[0].attribute[0].i = TensorProto.FLOAT16
    assert not takes_whole_numbers(graph)


def test_whole_numbers_are_fed_as_pixels_and_nothing_else() -> None:
    assert state_pixels(StatedInput(), StatedInput(colour="BGR")) == StatedInput(colour="BGR", mean=(0.0,), std=(1.0,))
    with pytest.raises(InvalidInput, match="expected std 1 for a network that takes whole numbers"):
        state_pixels(StatedInput(std=(255.0,)), StatedInput())
    normalised = StatedInput(mean=(123.0, 117.0, 104.0), std=(58.0, 57.0, 57.0))
    with pytest.raises(InvalidInput, match="got 123, 117, 104; give `mean` 0 and `std` 1"):
        state_pixels(StatedInput(), normalised)
    assert state_pixels(StatedInput(mean=(0.0,), std=(1.0,)), normalised).std == (1.0,)  # the user knows better
