"""What the optional parts of Sightline need installed, and the line that says so where it is not."""

from collections.abc import Iterable
from importlib.util import find_spec

from sightline.core.errors import MissingPackage

TRAINING_PACKAGES = ("torch", "torchvision", "timm", "safetensors", "onnx", "onnxscript")
COMPILING_PACKAGES = ("nncf", "onnx", "onnxslim")


def find_missing(packages: Iterable[str]) -> list[str]:
    """Those of the packages, such as "onnx" or "google.protobuf", that are not installed. Imports none of them."""
    return [package for package in packages if not _is_installed(package)]


def check_packages(purpose: str, packages: Iterable[str], extra: str) -> None:
    """Raises: MissingPackage when one of the packages is missing, naming it and the extra that installs it.

    Args:
        purpose: what needs them, as the beginning of the line: "training".
        extra: of pyproject.toml; several as "train,compile".
    """
    if missing := find_missing(packages):
        raise MissingPackage(f"{purpose} needs {', '.join(missing)}; {tell_remedy(extra)}")


def tell_remedy(extra: str) -> str:
    """The command that installs an extra; "" stands for the base install."""
    return f"pip install 'sightline[{extra}]'" if extra else "pip install sightline"


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # of the package that it would be in
        return False
