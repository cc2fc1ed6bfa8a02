"""TorchInductor: what a network launches, written anew as fewer kernels, compiled for this GPU and these shapes."""

from collections.abc import Callable
from typing import Any

import torch

from sightline.runtime.backends.cuda.network import Values

SETTINGS: dict[str, Any] = {"triton.cudagraphs": False}  # the kernels are captured by us, with the buffers of the slot


def join_kernels(body: Callable[[Values], Values], inputs: Values) -> Callable[[Values], Values]:
    """A function that gives what `body` gives for inputs of these shapes; compiling takes seconds to minutes.

    Args: body: launches kernels, and nothing of it depends on the numbers in the inputs.
    Raises: what PyTorch raises for a network that it cannot compile.
    """
    from torch.fx.experimental.proxy_tensor import make_fx

    names, outputs = list(inputs), list(body(inputs))

    def run_in_order(*tensors: torch.Tensor) -> list[torch.Tensor]:
        return list(body(dict(zip(names, tensors, strict=True))).values())

    traced = make_fx(run_in_order)(*inputs.values())
    compiled = torch.compile(traced, fullgraph=True, dynamic=False, options=SETTINGS)
    return lambda values: dict(zip(outputs, compiled(*(values[name] for name in names)), strict=True))
