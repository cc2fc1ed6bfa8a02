"""What the pictures of one request may cost together, and when they are no longer decoded."""

import cv2
import numpy as np
import pytest

from sightline.core.errors import ImageTooLarge, UnreadableImage
from sightline.serving.inference import pictures
from sightline.serving.inference.calls import Call, Upload
from sightline.serving.inference.pictures import check_total, decode_pictures
from sightline.serving.scheduling.work import Work


def encode(side: int, suffix: str = ".jpg") -> Upload:
    return Upload(f"{side}{suffix}", bytes(cv2.imencode(suffix, np.zeros((side, side, 3), np.uint8))[1]))


def ask(*uploads: Upload, images: tuple[np.ndarray, ...] = ()) -> Work:
    call = Call(model="m", write_answer=lambda *_: None, pictures=uploads, images=images)
    return Work(None, call, lambda _: None, rows=len(uploads))  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_pictures_that_are_too_large_together_are_refused_before_any_is_decoded(
    monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    monkeypatch.setattr(pictures, "decode_image", lambda *_: pytest.fail("one was decoded"))
    with pytest.raises(ImageTooLarge, match="at most 400 pixels in the pictures of one request, their headers say 500 in 5"):
        next(decode_pictures(ask(*[encode(10, suffix)] * 5), max_pixels=100))


def test_four_of_the_largest_and_many_small_ones_are_decoded() -> None:
    assert len(list(decode_pictures(ask(*[encode(10)] * 4), max_pixels=100))) == 4
    assert len(list(decode_pictures(ask(*[encode(5)] * 16), max_pixels=100))) == 16
    video = (np.zeros((9, 9, 3), np.uint8),)
    assert [one.shape[0] for one in decode_pictures(ask(encode(5), images=video), max_pixels=100)] == [9, 5]


def test_one_picture_is_held_against_the_limit_of_one() -> None:
    with pytest.raises(ImageTooLarge, match=r"11\.jpg"):
        list(decode_pictures(ask(encode(11)), max_pixels=100))


@pytest.mark.parametrize("count", [1, 6])
def test_what_is_no_picture_is_named(count: int) -> None:
    with pytest.raises(UnreadableImage, match=r"note\.txt"):
        list(decode_pictures(ask(*[Upload("note.txt", b"no picture")] * count), max_pixels=100))
    with pytest.raises(UnreadableImage, match=r"none\.jpg is empty"):
        check_total(ask(*[Upload("none.jpg", b"")] * 5).payload, max_pixels=100)


def test_nothing_more_is_decoded_once_the_caller_has_gone() -> None:
    work = ask(*[encode(5)] * 4)
    decoded = decode_pictures(work, max_pixels=100)
    next(decoded)
    work.is_cancelled = True
    assert list(decoded) == []
