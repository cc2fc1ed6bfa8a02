"""Whose fault it was: a package's becomes a refusal, ours stays an error, wherever it was called from."""

import types
from collections.abc import Callable
from pathlib import Path

import pytest

from sightline.compiler.quantisers.failures import refuse_failures
from sightline.core.errors import Exhausted, Unsupported

GRAPH = Path("net.onnx")


class StrangeError(Exception):
    """Of a kind that nobody listed."""


def make_function(module: str, body: str) -> Callable[..., None]:
    """A function `call(other)` as a module of this name would hold it."""
    made = types.ModuleType(module)
    made.__dict__["StrangeError"] = StrangeError
    exec(f"def call(other=None):\n    {body}\n", made.__dict__)
    return made.__dict__["call"]  # type: ignore[no-any-return]


def test_whatever_a_package_raises_is_refused_in_its_words() -> None:
    call = make_function("package.inside", "raise StrangeError('no such\\n layer')")
    words = r"quick cannot quantise net\.onnx: no such layer; another quantiser may"
    with pytest.raises(Unsupported, match=words), refuse_failures("quick", GRAPH, "package"):
        call()


def test_an_error_without_words_is_told_by_its_kind() -> None:
    with pytest.raises(Unsupported, match=r"StrangeError"), refuse_failures("quick", GRAPH, "package"):
        make_function("package", "raise StrangeError()")()


def test_what_a_package_calls_of_another_is_its_own_fault() -> None:
    other = make_function("numpy.inside", "raise StrangeError('far below')")
    with pytest.raises(Unsupported, match="far below"), refuse_failures("quick", GRAPH, "package"):
        make_function("package", "other()")(other)


def test_a_fault_of_ours_that_a_package_calls_stays_to_be_seen() -> None:
    ours = make_function("sightline.somewhere", "raise StrangeError('ours')")
    with pytest.raises(StrangeError, match="ours"), refuse_failures("quick", GRAPH, "package"):
        make_function("package", "other()")(ours)
    with pytest.raises(StrangeError, match="ours"), refuse_failures("quick", GRAPH, "package"):
        ours()


@pytest.mark.parametrize("error", [Exhausted("no time left"), OSError("disk"), MemoryError()])
def test_what_says_its_cause_itself_passes_through(error: Exception) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(type(error)), refuse_failures("quick", GRAPH, "package"):
        make_function("package", "other()")(fail)
