import pytest

from sightline.core.errors import Unsupported
from sightline.runtime.backends.cuda.operators.operator import Node
from sightline.runtime.backends.cuda.operators.table import OPERATORS, find_operator


def make_node(kind: str) -> Node:
    return Node("layer", kind, ("x",), ("y",), {}, 17)


def test_an_operator_is_found_by_its_kind() -> None:
    assert find_operator(make_node("Relu")) is OPERATORS["Relu"]


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("NonZero", "gives as many numbers as the picture has of a kind"),
        ("NonMaxSuppression", "gives as many numbers as the picture has of a kind"),
        ("If", "runs other nodes as the picture has it"),
        ("Loop", "runs other nodes as the picture has it"),
        ("StringNormalizer", "is none of its operators"),
    ],
)
def test_what_is_not_offered_is_told_with_its_reason(kind: str, reason: str) -> None:
    with pytest.raises(Unsupported, match=f"got {kind} in 'layer', which {reason}"):
        find_operator(make_node(kind))
