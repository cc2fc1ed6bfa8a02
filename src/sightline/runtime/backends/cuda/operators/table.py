"""ONNX operators by name, of the standard domain. A new one is a function in its file and a row in that file's table."""

from sightline.core.errors import Unsupported
from sightline.runtime.backends.cuda.operators.activations import ACTIVATIONS
from sightline.runtime.backends.cuda.operators.arithmetic import ARITHMETIC
from sightline.runtime.backends.cuda.operators.convolutions import CONVOLUTIONS
from sightline.runtime.backends.cuda.operators.indexing import INDEXING
from sightline.runtime.backends.cuda.operators.integer_products import INTEGER_PRODUCTS
from sightline.runtime.backends.cuda.operators.normalising import NORMALISATIONS
from sightline.runtime.backends.cuda.operators.operator import Node, Operator
from sightline.runtime.backends.cuda.operators.pooling import POOLS
from sightline.runtime.backends.cuda.operators.quantising import QUANTISATION
from sightline.runtime.backends.cuda.operators.reductions import REDUCTIONS
from sightline.runtime.backends.cuda.operators.regions import REGIONS
from sightline.runtime.backends.cuda.operators.resizing import RESIZING
from sightline.runtime.backends.cuda.operators.shapes import SHAPES

OPERATORS: dict[str, Operator] = {
    **CONVOLUTIONS,
    **POOLS,
    **REGIONS,
    **ACTIVATIONS,
    **ARITHMETIC,
    **SHAPES,
    **INDEXING,
    **RESIZING,
    **REDUCTIONS,
    **NORMALISATIONS,
    **QUANTISATION,
    **INTEGER_PRODUCTS,
}
UNSIZED = ("Compress", "NonMaxSuppression", "NonZero", "Unique")
BRANCHING = ("If", "Loop", "Scan", "SequenceMap")


def find_operator(node: Node) -> Operator:
    """How a node is computed. Raises: Unsupported for an operator that is not offered."""
    if node.kind in OPERATORS:
        return OPERATORS[node.kind]
    reason = "is none of its operators"
    if node.kind in UNSIZED:
        reason = "gives as many numbers as the picture has of a kind, and shapes must be known beforehand"
    if node.kind in BRANCHING:
        reason = "runs other nodes as the picture has it, and nodes must be known beforehand"
    raise Unsupported(
        f"expected operators that run on NVIDIA GPUs, got {node.kind} in {node.name!r}, which {reason}; "
        "run this network on the CPU, or end it before this node by naming its outputs when it is imported"
    )
