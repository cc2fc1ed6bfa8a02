"""Look inside a network while it runs: what each of its layers gave, by the layer's path ("layer1.0.conv2").

A module is looked at through forward hooks. An exported program has no modules any more, but its nodes know which layer they
come from: the last node of a layer gives what the layer gave. Values are copied at once, for layers behind may work in place.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn


def to_numpy(values: Tensor) -> np.ndarray:
    """A float32 copy that later in-place layers cannot change."""
    return values.detach().to(torch.float32).cpu().numpy().copy()


def look_at_module(module: nn.Module, paths: Sequence[str], batch: Tensor) -> dict[str, list[np.ndarray]]:
    """What every use of these layers gave while the module took the batch; layers that give no tensor have none."""
    seen: dict[str, list[np.ndarray]] = {path: [] for path in paths}
    handles = [module.get_submodule(path).register_forward_hook(_make_hook(seen[path])) for path in paths]
    try:
        module(batch)
    finally:
        for handle in handles:
            handle.remove()
    return seen


def look_at_program(
    module: fx.GraphModule, kind: torch.dtype, paths: Sequence[str], batch: Tensor
) -> dict[str, list[np.ndarray]]:
    """The same for an exported program, which takes pictures of type `kind`."""
    last: dict[str, fx.Node] = {}
    for node in module.graph.nodes:
        for path, _ in node.meta.get("nn_module_stack", {}).values():
            last[path] = node
    ends = {node: path for path, node in last.items() if path in paths}
    watcher = _Watcher(module, set(ends))
    watcher.run(batch.to(kind))
    return {path: [watcher.seen[last[path]]] for path in paths if last.get(path) in watcher.seen}


class _Watcher(fx.Interpreter):
    """Runs a graph node by node and keeps what some of them give."""

    def __init__(self, module: fx.GraphModule, watched: set[fx.Node]) -> None:
        super().__init__(module)
        self._watched = watched
        self.seen: dict[fx.Node, np.ndarray] = {}

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if n in self._watched and isinstance(result, Tensor):
            self.seen[n] = to_numpy(result)
        return result


def _make_hook(seen: list[np.ndarray]) -> Callable[[nn.Module, Any, Any], None]:
    def hook(_: nn.Module, __: Any, returned: Any) -> None:
        if isinstance(returned, Tensor):
            seen.append(to_numpy(returned))

    return hook
