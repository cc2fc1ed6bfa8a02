"""PyTorch on an NVIDIA GPU, its kernels captured in CUDA graphs: its own ones, or those that TorchInductor writes."""

import functools
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from sightline.core.extras import find_missing, tell_remedy
from sightline.core.manifests import Precision
from sightline.runtime.backend import SessionOptions, check_openable

if TYPE_CHECKING:
    from sightline.runtime.backends.cuda.session import TorchSession

PACKAGES = ("torch", "onnx")
COMPILERS = ("cc", "gcc", "clang")


class TorchBackend:
    """PyTorch on an NVIDIA GPU, its kernels captured in CUDA graphs."""

    name = "torch"
    joins = False
    device = "cuda"
    precisions: tuple[Precision, ...] = ("fp16", "bf16", "fp32")
    graph_suffixes: tuple[str, ...] = (".onnx",)

    def missing(self) -> str | None:
        """What must be installed, or None."""
        missing = find_missing(PACKAGES)
        return f"engines for GPUs need {', '.join(missing)}; {tell_remedy('train')}" if missing else None

    def absent(self) -> str | None:
        """The GPU, where PyTorch sees none."""
        return None if _sees_gpu() else "PyTorch sees no NVIDIA GPU here; compile for the cpu, or run this where there is one"

    def describe_device(self) -> dict[str, object]:
        """The GPU, and the CUDA that PyTorch was built for."""
        import torch

        return {"gpu": torch.cuda.get_device_name(), "cuda": torch.version.cuda}

    def open(self, graph: Path, options: SessionOptions) -> "TorchSession":
        """Open an `.onnx` file. Raises: NotFound, Unsupported, InvalidInput, Exhausted."""
        check_openable(self, graph, options)
        import torch

        from sightline.runtime.backends.cuda.session import TorchSession

        return TorchSession(graph, options, torch.device(self.device), self.joins)


class InductorBackend(TorchBackend):
    """TorchInductor's kernels for an NVIDIA GPU: opening compiles them, or finds them in PyTorch's own cache."""

    name = "inductor"
    joins = True

    def missing(self) -> str | None:
        """What must be installed, or None: beside a GPU Triton, and a compiler for what launches its kernels."""
        if (missing := super().missing()) or self.absent():
            return missing
        if find_missing(["triton"]):
            return "TorchInductor needs triton, which comes with PyTorch for NVIDIA GPUs; install that PyTorch"
        if not any(map(shutil.which, COMPILERS)):
            return f"TorchInductor needs a C compiler ({' or '.join(COMPILERS)}); install one"
        return None


@functools.cache
def _sees_gpu() -> bool:
    import torch

    return torch.cuda.is_available()
