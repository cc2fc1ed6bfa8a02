"""A request as read, fitted to a model: what a bare body is, and which outputs may be asked for."""

from typing import Any

import numpy as np
import pytest
from v2_fakes import COLOURS, SUM, make_facts, tensor

from sightline.core.errors import InvalidInput
from sightline.serving.inference.calls import Call, ServedFacts
from sightline.serving.v2.claims import BytesTensor
from sightline.serving.v2.requests import InferRequest, RequestedOutput, make_call


def fit(facts: ServedFacts, **request: Any) -> Call:
    return make_call(InferRequest(**request), facts, lambda facts, inferred: None, version="", tenant="")


@pytest.mark.parametrize(
    ("shape", "expected"), [((-1, 3, 2), (1, 3, 2)), ((-1, 3, -1), (1, 3, 2)), ((2, -1), (2, 3)), ((2, 3), (2, 3))]
)
def test_a_bare_body_is_one_row_of_which_one_more_dimension_may_be_free(
    shape: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    numbers = np.arange(6, dtype="<f4").reshape(expected)
    call = fit(make_facts("one", inputs=(tensor("x", "FP32", *shape),)), raw=numbers.tobytes())
    assert call.tensors is not None and not call.pictures
    np.testing.assert_array_equal(call.tensors["x"], numbers)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ([tensor("x", "FP32", -1, -1, -1)], "states the shape of input 'x'"),
        ([tensor("x", "BYTES", -1, 1)], "states the shape of input 'x'"),
        ([tensor("x", "FP32", -1, 7)], "'x'"),
        (SUM.inputs, "names the inputs x, y"),
    ],
)
def test_a_bare_body_whose_shape_nothing_tells_is_refused(inputs: list[Any], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        fit(make_facts("one", inputs=tuple(inputs)), raw=bytes(24))


def test_what_is_found_in_pictures_is_an_answer_to_pictures_only() -> None:
    found = (RequestedOutput("annotations", is_binary=False),)
    pictures = BytesTensor((1,), [b"a picture"])
    call = fit(COLOURS, inputs={"images": pictures}, outputs=found)
    assert [upload.name for upload in call.pictures] == ["picture 0"] and call.tensors is None
    assert len(fit(COLOURS, raw=b"a picture", outputs=found).pictures) == 1
    with pytest.raises(InvalidInput, match="annotations lies in the pixels of pictures"):
        fit(COLOURS, inputs={"images": np.zeros((1, 3, 4, 4), np.float32)}, outputs=found)
    with pytest.raises(InvalidInput, match="annotations is no list of scores"):
        fit(COLOURS, inputs={"images": pictures}, outputs=(RequestedOutput("annotations", is_binary=False, classes=1),))
    with pytest.raises(InvalidInput, match="outputs of sums, rows, got 'annotations'"):  # it takes no pictures
        fit(SUM, inputs={"x": np.zeros((1, 3), np.float32), "y": np.zeros((1, 3), np.float32)}, outputs=found)
