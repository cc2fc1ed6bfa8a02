"""What a request says of its inputs, held against the model before any element of them is read.

A BYTES element of nothing takes four bytes of a body, and as an object fifty times as much. So it is looked at first what the
request claims, which costs next to nothing: whether the model has such inputs, and what memory reading them will take.
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec
import numpy as np

from sightline.core.errors import InvalidInput
from sightline.serving.inference.calls import ServedFacts
from sightline.serving.v2.tensors import ITEM_BYTES, LENGTH_BYTES, MAX_BYTES_ELEMENTS, shorten

ELEMENT_BYTES = 48  # of a bytes object beside its content, and of where it is listed
VIEW_BYTES = 200  # of a memoryview, and of where it is listed
INLINE_BYTES = 64 * 1024  # inputs that take more are read in a thread
COPIED = {"BF16": 2, "BOOL": 1}  # times their bytes; arrays of all other numbers are views
Elements = list[bytes | memoryview]


class BytesTensor(msgspec.Struct, frozen=True):
    """A BYTES tensor: its shape and its elements, row-major."""

    shape: tuple[int, ...]
    elements: Elements


Tensor = np.ndarray | BytesTensor


class Claim(msgspec.Struct, frozen=True):
    """An input that is not read yet.

    Attributes:
        count: of elements, as the shape says.
        added_bytes: of memory that reading takes beside the request, at most.
        read: reads it. Raises: InvalidInput when what came is not what was claimed.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    count: int
    added_bytes: int
    read: Callable[[], Tensor]


def weigh_binary(datatype: str, count: int, size_bytes: int) -> int:
    """Bytes of memory that reading an input takes beside its own bytes, however many elements it claims."""
    if datatype == "BYTES":
        return VIEW_BYTES * min(count, size_bytes // LENGTH_BYTES)
    return COPIED.get(datatype, 0) * size_bytes


def weigh_json(datatype: str, count: int, size_bytes: int) -> int:
    """The same of an input that stands in JSON as so many bytes of text."""
    count = min(count, size_bytes)
    return size_bytes + ELEMENT_BYTES * count if datatype == "BYTES" else ITEM_BYTES.get(datatype, 0) * count


def check_element_count(claims: Sequence[Claim]) -> None:
    """Raises: InvalidInput for more BYTES elements in all inputs together than are taken."""
    count = sum(claim.count for claim in claims if claim.datatype == "BYTES")
    if count > MAX_BYTES_ELEMENTS:
        raise InvalidInput(
            f"expected at most {MAX_BYTES_ELEMENTS} BYTES elements in all inputs together, got {count}; send several requests"
        )


def check_claims(claims: Sequence[Claim], facts: ServedFacts) -> None:
    """Check that the model has these inputs. One that is missing is found when all are read.

    Raises: InvalidInput for names it does not have, for BYTES that it does not take, and for more pictures than a batch has.
    """
    datatypes = {fact.name: fact.datatype for fact in facts.inputs}
    for claim in claims:
        if claim.datatype == "BYTES" and facts.input is not None:
            check_pictures(claim.name, claim.shape, claim.count, len(claims), facts)
            return
        if claim.name not in datatypes:
            raise InvalidInput(
                f"expected inputs {sorted(datatypes)} for {facts.name}, got {shorten(claim.name)}; name them as the graph does"
            )
        if claim.datatype == "BYTES" != datatypes[claim.name]:
            raise InvalidInput(f"expected input {shorten(claim.name)} as {datatypes[claim.name]}, got BYTES; send numbers")


def check_pictures(name: str, shape: Sequence[int], count: int, input_count: int, facts: ServedFacts) -> None:
    """Raises: InvalidInput unless BYTES of this shape can be pictures for a model with an InputSpec."""
    assert facts.input is not None
    if input_count != 1 or name != facts.input.name:
        raise InvalidInput(f"expected pictures in the input {shorten(facts.input.name)} and nothing else, got {shorten(name)}")
    if len(shape) not in (1, 2) or tuple(shape[1:]) not in ((), (1,)) or not count:
        raise InvalidInput(f"expected pictures as BYTES of shape [N] or [N, 1], got {list(shape)}")
    if count > facts.max_batch:
        raise InvalidInput(f"expected 1 to {facts.max_batch} rows for {facts.name}, got {count}; send several requests")


def read_claims(claims: Sequence[Claim]) -> Mapping[str, Tensor]:
    """The inputs by name. Raises: InvalidInput."""
    return {claim.name: claim.read() for claim in claims}
