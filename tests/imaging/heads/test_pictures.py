"""Pictures from tensors: expected pixels are worked out by hand."""

import numpy as np
import pytest

from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput, NotFound, Unsupported
from sightline.core.manifests import DecodeSpec, InputSpec
from sightline.imaging.heads.decoding import decode_outputs
from sightline.imaging.heads.pictures import PictureSpec, find_covered, read_picture_spec, write_picture, write_pictures
from sightline.imaging.preprocessing import place_image
from sightline.imaging.resizing import Placement

UNIT = PictureSpec(range=(0, 1))


def place(source_width: int, source_height: int, **spec: object) -> Placement:
    """Where a picture of this size lies in the input."""
    return place_image(np.zeros((source_height, source_width, 3), np.uint8), InputSpec(**spec))[1]  # type: ignore[arg-type]


def as_is(width: int, height: int) -> Placement:
    return place(width, height, width=1, height=1, resize="pad")


@pytest.mark.parametrize(
    ("low", "high", "values"),
    [(0, 1, [0, 1 / 255, 0.5, 1]), (0, 255, [0, 1, 127.5, 255]), (-1, 1, [-1, -1 + 2 / 255, 0, 1])],
)
def test_values_become_pixels_by_their_range(low: float, high: float, values: list[float]) -> None:
    row = np.array(values, np.float32).reshape(1, 2, 2).repeat(3, axis=0)
    picture = write_picture(row, as_is(2, 2), PictureSpec(range=(low, high)))
    assert picture.dtype == np.uint8
    np.testing.assert_array_equal(picture[:, :, 0], [[0, 1], [128, 255]])  # 127.5 is rounded to even


def test_what_lies_beyond_the_range_is_clipped_and_the_rest_is_rounded() -> None:
    row = np.array([[-3.0, 2.0], [0.6 / 255, np.inf]], np.float32)[None].repeat(3, axis=0)
    np.testing.assert_array_equal(write_picture(row, as_is(2, 2), UNIT)[:, :, 1], [[0, 255], [1, 255]])


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("colour", ["RGB", "BGR"])
def test_layout_and_channel_order_come_out_as_rgb(layout: str, colour: str) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (3, 5, 3), np.uint8)
    sent = picture if colour == "RGB" else picture[:, :, ::-1]
    row = (sent if layout == "NHWC" else sent.transpose(2, 0, 1)).astype(np.float32)
    spec = PictureSpec(range=(0, 255), colour=colour, layout=layout)  # type: ignore[arg-type]
    np.testing.assert_array_equal(write_picture(row, as_is(5, 3), spec), picture)


def test_gray_becomes_three_equal_channels() -> None:
    row = np.array([[0, 7], [8, 255]], np.uint8)[None]
    picture = write_picture(row, as_is(2, 2), PictureSpec(range=(0, 255), colour="GRAY"))
    np.testing.assert_array_equal(picture, np.stack([row[0]] * 3, axis=2))


def test_bands_of_a_letterbox_are_cut_away_in_the_outputs_own_resolution() -> None:
    """40 x 20 into 16 x 16 is 16 x 8 from row 4; three times as large that is 48 x 24 from row 12."""
    row = np.zeros((3, 48, 48), np.float32)
    row[:, 12:36] = np.linspace(0, 1, 24 * 48, dtype=np.float32).reshape(24, 48)
    picture = write_picture(row, place(40, 20, width=16, height=16), UNIT)
    np.testing.assert_array_equal(picture[:, :, 0], np.rint(row[0, 12:36] * np.float32(255)).astype(np.uint8))


def test_padded_edges_are_cut_away() -> None:
    """5 x 3 padded to 8 x 4, twice as large: 10 x 6 from the top left corner."""
    row = np.ones((3, 8, 16), np.float32)
    row[:, :6, :10] = 0
    picture = write_picture(row, place(5, 3, width=4, height=4, resize="pad"), UNIT)
    assert picture.shape == (6, 10, 3)
    assert not picture.any()


def test_a_stretched_picture_gets_its_aspect_back() -> None:
    """40 x 20 stretched to 16 x 16: across it is drawn at 0.4, down at 0.8, so the height is halved."""
    picture = write_picture(np.ones((3, 32, 32), np.float32), place(40, 20, width=16, height=16, resize="stretch"), UNIT)
    assert picture.shape == (16, 32, 3)


def test_a_centre_crop_answers_with_the_crop() -> None:
    placement = place(40, 20, width=16, height=16, resize="centre_crop")
    assert write_picture(np.ones((3, 16, 16), np.float32), placement, UNIT).shape == (16, 16, 3)
    assert find_covered(placement) == (10, 0, 30, 20)  # 32 x 16 at 0.8, of which the middle half


def test_the_thinnest_picture_keeps_a_pixel() -> None:
    assert write_picture(np.ones((3, 16, 16), np.float32), place(1000, 1, width=16, height=16), UNIT).shape == (1, 16, 3)


def test_a_batch_gives_a_picture_each() -> None:
    decode = DecodeSpec(head="picture", outputs=("y",), parameters={"range": [0, 1]})
    outputs = {"y": np.stack([np.full((3, 8, 8), value, np.float32) for value in (0, 1)])}
    placements = [place(8, 4, width=8, height=8), place(4, 8, width=8, height=8)]
    pictures = write_pictures(decode, outputs, placements)
    assert [picture.shape for picture in pictures] == [(4, 8, 3), (8, 4, 3)]
    assert [int(picture.max()) for picture in pictures] == [0, 255]


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"range": [1, 0]},
        {"range": [0, 0]},
        {"range": [0]},
        {"range": [0, float("inf")]},
        {"range": [0, 1], "colour": "YUV"},
        {"range": [0, 1], "scale": 2},
    ],
)
def test_parameters_that_say_nothing_or_too_much_are_refused(parameters: dict[str, object]) -> None:
    with pytest.raises(InvalidInput, match="range"):
        read_picture_spec(DecodeSpec(head="picture", outputs=("y",), parameters=parameters))


def test_other_outputs_are_refused() -> None:
    decode = DecodeSpec(head="picture", outputs=("y",), parameters={"range": [0, 1]})
    for shape in ((1, 1, 8, 8), (1, 8, 8, 3), (2, 3, 8, 8), (3, 8, 8), (1, 3, 0, 8)):
        with pytest.raises(InvalidInput):
            write_pictures(decode, {"y": np.zeros(shape, np.float32)}, [as_is(8, 8)])
    with pytest.raises(NotFound):
        write_pictures(decode, {"z": np.zeros((1, 3, 8, 8), np.float32)}, [as_is(8, 8)])
    with pytest.raises(InvalidInput, match="NaN"):
        write_pictures(decode, {"y": np.full((1, 3, 8, 8), np.nan, np.float32)}, [as_is(8, 8)])
    with pytest.raises(InvalidInput):
        read_picture_spec(DecodeSpec(head="picture", outputs=("y", "z"), parameters={"range": [0, 1]}))


def test_annotations_cannot_be_read_from_a_picture() -> None:
    decode = DecodeSpec(head="picture", outputs=("y",), parameters={"range": [0, 1]})
    with pytest.raises(
        Unsupported, match=f"answers with pictures; read them with imaging.heads.pictures.{write_pictures.__name__}"
    ):
        decode_outputs(decode, {"y": np.zeros((1, 3, 8, 8), np.float32)}, [as_is(8, 8)], Categories([]))
