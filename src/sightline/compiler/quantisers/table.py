"""Quantisers by name, in the order they are tried. A new method is one file here and one row in this table."""

import pkgutil

from sightline.compiler.quantisers.quantiser import Quantiser
from sightline.core.errors import MissingPackage, NotFound

QUANTISERS = {
    "ort-minmax": "sightline.compiler.quantisers.ort:MinMaxQuantiser",
    "nncf": "sightline.compiler.quantisers.nncf:NncfQuantiser",
    "nncf-whole": "sightline.compiler.quantisers.nncf_whole:NncfWholeQuantiser",
    "ort-percentile": "sightline.compiler.quantisers.ort:PercentileQuantiser",
    "ort-symmetric": "sightline.compiler.quantisers.ort:SymmetricQuantiser",
    "mixed": "sightline.compiler.quantisers.mixed:MixedQuantiser",
    "mixed-wide": "sightline.compiler.quantisers.mixed:MixedWideQuantiser",
    "nncf-control": "sightline.compiler.quantisers.nncf_control:NncfControlQuantiser",
}
FIRST_QUANTISERS = ("ort-minmax", "nncf", "nncf-whole")  # always tried
RESCUE_QUANTISERS = (
    "ort-percentile",
    "mixed",
    "mixed-wide",
    "nncf-control",
)  # tried one after the other while none before passes the gate
SYMMETRIC_QUANTISERS = ("ort-symmetric",)  # alone, when the file must suit TensorRT or QNN


def load_quantiser(name: str) -> Quantiser:
    """Import a quantiser. Raises: NotFound for an unknown name, MissingPackage when its package is not installed."""
    if name not in QUANTISERS:
        raise NotFound(f"expected a quantiser of {', '.join(QUANTISERS)}, got {name!r}")
    quantiser: Quantiser = pkgutil.resolve_name(QUANTISERS[name])()
    if missing := quantiser.missing():
        raise MissingPackage(missing)
    return quantiser
