"""Where and how a training computes: on a CUDA GPU where there is one; bf16 with channels-last memory where it is native."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Literal, NamedTuple

import torch
from torch import nn

from sightline.core.errors import Unsupported
from sightline.core.host import read_cpu_facts

NATIVE_BF16_FLAGS = ("avx512_bf16", "amx_bf16")


class Arithmetic(NamedTuple):
    """Attributes: device; bf16: forward passes under bf16 autocast; memory_format of weights and activations."""

    device: torch.device
    bf16: bool
    memory_format: torch.memory_format

    def place(self, network: nn.Module) -> None:
        """Move a network's weights, in place."""
        network.to(self.device)
        network.to(memory_format=self.memory_format)

    def autocast(self) -> AbstractContextManager[Any]:
        """The context of a forward pass."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)

    @contextmanager
    def repeating(self, exactly: bool) -> Iterator[None]:
        """Training inside gives the same bits on the same GPU each time, if `exactly`; settings of the process are put back.

        FP32 that was asked for is FP32: cuDNN would round its convolutions' inputs to TF32 otherwise.
        """
        if self.device.type == "cpu":
            yield
            return
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # PyTorch warns without it; read when cuBLAS is first used
        modes = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
        fills = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined] # a property of a module
        torch.use_deterministic_algorithms(exactly, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        try:
            with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=exactly, allow_tf32=self.bf16):
                yield
        finally:
            torch.use_deterministic_algorithms(modes[0], warn_only=modes[1])
            torch.utils.deterministic.fill_uninitialized_memory = fills  # type: ignore[attr-defined]

    def describe(self) -> dict[str, object]:
        """What a Model says of the GPU it was trained on, beside the host's facts; nothing on a CPU."""
        if self.device.type == "cpu":
            return {}
        return {"gpu": torch.cuda.get_device_name(self.device), "cuda": torch.version.cuda}


def choose_arithmetic(
    precision: Literal["auto", "bf16", "fp32"], device: Literal["auto", "cpu", "cuda"] = "auto"
) -> Arithmetic:
    """Arithmetic on this machine's CUDA GPU, else on its CPU. Raises: Unsupported when a GPU is wanted and there is none.

    Measured on a Zen 4 CPU (avx512_bf16), small CSP network, batch 8, forward and backward: 220 CPU-ms in bf16 channels-last,
    369 in fp32 channels-last, 428 in fp32 without it.
    """
    chosen = _choose_device(device)
    bf16 = _has_native_bf16(chosen) if precision == "auto" else precision == "bf16"
    return Arithmetic(chosen, bf16, torch.channels_last if bf16 else torch.contiguous_format)


def _choose_device(device: str) -> torch.device:
    is_there = device != "cpu" and torch.cuda.is_available()
    if device == "cuda" and not is_there:
        raise Unsupported(f"expected a CUDA GPU, and torch {torch.__version__} sees none here; choose the device auto or cpu")
    return torch.device("cuda" if is_there else "cpu")


def _has_native_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    flags = read_cpu_facts()["flags"]
    return isinstance(flags, list) and any(flag in flags for flag in NATIVE_BF16_FLAGS)


EXACT = Arithmetic(torch.device("cpu"), False, torch.contiguous_format)
