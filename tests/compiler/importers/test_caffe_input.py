import numpy as np
import pytest
from caffe_files import SeededNet, write_blob
from import_checks import input_shape

from sightline.core.errors import InvalidInput

DATA = 'layer {{ name: "data" type: "{kind}" top: "data" {rest} }}\n'


def read(folder, rest, kind="Input", shape="input_param { shape { dim: 1 dim: 3 dim: 12 dim: 16 } }", channels=3, **options):
    net = SeededNet(channels, 0, 0)
    net.text = DATA.format(kind=kind, rest=f"{shape} {rest}")
    net.conv("conv", "data", 2, 3)
    return net.read(folder, **options)


def test_a_file_without_a_transform_says_nothing_of_colour(tmp_path):
    imported = read(tmp_path, "")
    stated = imported.stated
    assert input_shape(imported.graph) == (3, 12, 16)
    assert (stated.colour, stated.mean, stated.std, stated.resize) == (None, None, None, None)


def test_one_channel_is_gray(tmp_path):
    shape = "input_param { shape { dim: 1 dim: 1 dim: 12 dim: 16 } }"
    assert read(tmp_path, "", shape=shape, channels=1).stated.colour == "GRAY"


@pytest.mark.parametrize(
    ("transform", "mean", "std"),
    [
        ("mean_value: 104 mean_value: 117 mean_value: 123", (104, 117, 123), (1, 1, 1)),
        ("mean_value: 127.5 scale: 0.0078125", (127.5,) * 3, (128,) * 3),
        ("scale: 0.00390625", (0, 0, 0), (256,) * 3),
        ("mirror: true", (0, 0, 0), (1, 1, 1)),
    ],
)
def test_transform_states_blue_green_red_mean_and_scale(transform, mean, std, tmp_path):
    stated = read(tmp_path, f"transform_param {{ {transform} }}").stated
    assert (stated.colour, stated.mean, stated.std) == ("BGR", mean, std)


def test_mean_picture_is_averaged_and_found_beside_the_prototxt_only(tmp_path):
    picture = np.stack([np.full((5, 4), value, np.float32) for value in (10, 20, 30)])
    picture[0, 0, 0] = 30  # 20 pixels: mean 11
    (tmp_path / "mean.binaryproto").write_bytes(write_blob(picture, legacy=True))
    imported = read(tmp_path, 'transform_param { mean_file: "/elsewhere/data/mean.binaryproto" }')
    assert imported.stated.mean == (11, 20, 30)
    assert any("averaged" in note for note in imported.notes)


def test_missing_mean_picture_leaves_the_mean_open(tmp_path):
    imported = read(tmp_path, 'transform_param { mean_file: "mean.binaryproto" scale: 0.5 }')
    assert (imported.stated.mean, imported.stated.std) == (None, (2, 2, 2))
    assert any("mean.binaryproto is not beside" in note for note in imported.notes)


def test_mean_picture_of_other_channels_is_refused(tmp_path):
    (tmp_path / "mean.binaryproto").write_bytes(write_blob(np.zeros((1, 4, 4), np.float32), legacy=True))
    with pytest.raises(InvalidInput, match="mean picture"):
        read(tmp_path, 'transform_param { mean_file: "mean.binaryproto" }')


@pytest.mark.parametrize("transform", ["mean_value: 1 mean_value: 2", "scale: 0", "scale: -1", "scale: word"])
def test_a_transform_that_makes_no_sense_is_refused(transform, tmp_path):
    with pytest.raises(InvalidInput, match="line 1"):
        read(tmp_path, f"transform_param {{ {transform} }}")


def test_the_size_of_a_training_net_is_its_crop(tmp_path):
    imported = read(tmp_path, "transform_param { crop_size: 24 }", kind="Data", shape="")
    assert input_shape(imported.graph) == (3, 24, 24)


def test_old_data_parameters_hold_the_transform(tmp_path):
    imported = read(tmp_path, "data_param { crop_size: 24 scale: 0.25 }", kind="Data", shape="")
    assert (input_shape(imported.graph), imported.stated.std) == ((3, 24, 24), (4, 4, 4))


def test_the_size_of_a_detection_net_is_its_resize(tmp_path):
    transform = "transform_param { mean_value: 127.5 resize_param { prob: 1 resize_mode: WARP height: 30 width: 40 } }"
    imported = read(tmp_path, transform, kind="AnnotatedData", shape="")
    assert (input_shape(imported.graph), imported.stated.resize) == ((3, 30, 40), "stretch")


def test_size_comes_from_the_user_first(tmp_path):
    assert input_shape(read(tmp_path, "", width=20, height=21).graph) == (3, 21, 20)


def test_a_size_nobody_states_is_asked_for(tmp_path):
    with pytest.raises(InvalidInput, match="give width and height"):
        read(tmp_path, "", kind="Data", shape="")
    assert input_shape(read(tmp_path, "", kind="Data", shape="", width=9, height=8).graph) == (3, 8, 9)


def test_channels_that_contradict_the_file_are_refused(tmp_path):
    net = SeededNet(3, 12, 16)
    net.conv("conv", "data", 2, 3)
    with pytest.raises(InvalidInput, match="takes 3 channels, got channels=1"):
        net.read(tmp_path, channels=1)


def test_an_enormous_input_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match="at most"):
        read(tmp_path, "", width=100_000, height=100_000)
