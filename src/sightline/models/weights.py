"""Start weights from a file or, when they are reachable, as published; whatever fits by name and shape is taken and reported.

Files are .safetensors or PyTorch state dicts read with `weights_only=True`: loading never executes code.
"""

import socket
import urllib.error
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from sightline.core.errors import InvalidInput, NotFound
from sightline.models.network import Network
from sightline.models.table import TIMM_PREFIX

WRAPPERS = ("state_dict", "model", "model_state_dict", "model_state")  # where training scripts put the state dict
PREFIXES = ("module.", "_orig_mod.", "model.module.")  # of data-parallel, compiled and wrapped networks
DOWNLOAD_TIMEOUT_S = 10.0
# What torch's restricted reader raises for files that hold code, are damaged, or are something else altogether.
UNREADABLE = (UnpicklingError, RuntimeError, EOFError, OSError, ValueError, LookupError, TypeError, AttributeError)


class WeightsReport(NamedTuple):
    """What a weights file gave.

    Attributes:
        taken: names in the network that got their value.
        absent: names the file lacks; they keep their random values.
        other_shape: names whose shape in the file is another, as the last layer's of other categories.
        unused: how many of the file's tensors went nowhere.
    """

    taken: tuple[str, ...]
    absent: tuple[str, ...]
    other_shape: tuple[str, ...]
    unused: int

    def line(self) -> str:
        """One line for people."""
        total = len(self.taken) + len(self.absent) + len(self.other_shape)
        examples = ", ".join((*self.other_shape, *self.absent)[:3])
        rest = f"; not taken: {examples}{' ...' if total - len(self.taken) > 3 else ''}" if examples else ""
        counts = f"{len(self.other_shape)} of another shape, {self.unused} of the file unused"
        return f"took {len(self.taken)} of {total} tensors ({counts}){rest}"


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors of a .safetensors file or a PyTorch state dict by name.

    Raises: NotFound; InvalidInput when it is neither, or holds more than tensors.
    """
    if not path.is_file():
        raise NotFound(f"no weights file {path}; give the path of a .safetensors or .pth file")
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (*UNREADABLE, SafetensorError) as error:
        raise InvalidInput(
            f"{path} holds no weights that can be read without executing code: {_find_reason(error)}; save its state_dict"
        ) from error
    for name in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(name), dict):
            content = content[name]
            break
    tensors = (
        {str(key): value for key, value in content.items() if isinstance(value, Tensor)} if isinstance(content, dict) else {}
    )
    if not tensors:
        raise InvalidInput(
            f"expected a state dict of named tensors in {path}, got {type(content).__name__}; save its state_dict"
        )
    return tensors


def _find_reason(error: Exception) -> str:
    """What torch met, in one sentence, without its advice to execute what the file holds."""
    reason = str(error).rpartition("WeightsUnpickler error:")[2].strip()
    return reason.splitlines()[0].partition(". ")[0] if reason else type(error).__name__


def strip_prefixes(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights without the prefixes that training wrapped all of them in."""
    given = dict(weights)
    while given and (prefix := next((one for one in PREFIXES if all(key.startswith(one) for key in given)), None)):
        given = {key.removeprefix(prefix): value for key, value in given.items()}
    return given


def load_weights(network: Network, tensors: dict[str, Tensor]) -> WeightsReport:
    """Copy what fits by name and shape into the network; the network's own prefix and one of `PREFIXES` make no difference.

    Raises: InvalidInput when nothing fits, or what fits holds NaN or infinities; the network may then be half filled.
    """
    given = {key.removeprefix("module."): value for key, value in strip_prefixes(tensors).items()}
    taken, absent, other_shape, used = [], [], [], set()
    with torch.no_grad():
        for name, own in network.state_dict().items():
            candidates = (name, name.removeprefix(network.weights_prefix))
            key = next((candidate for candidate in candidates if candidate in given), None)
            if key is None:
                absent.append(name)
            elif given[key].shape != own.shape:
                other_shape.append(name)
                used.add(key)
            else:
                _check_numbers(key, given[key], own)
                own.copy_(given[key])
                taken.append(name)
                used.add(key)
    if not taken:
        examples = ", ".join(list(given)[:3])
        raise InvalidInput(
            f"none of the {len(given)} tensors fits this network (the file has {examples} ...); choose its architecture"
        )
    return WeightsReport(tuple(taken), tuple(absent), tuple(other_shape), len(given) - len(used))


def _check_numbers(name: str, given: Tensor, own: Tensor) -> None:
    """Raises: InvalidInput for a tensor that is not finite in place of one that is."""
    if torch.isfinite(own).all() and not torch.isfinite(given).all():
        raise InvalidInput(
            f"expected finite numbers in the weights, got NaN or infinity in {name}; the training that saved them had "
            "diverged, take earlier ones"
        )


def fetch_published_weights(name: str) -> dict[str, Tensor] | None:
    """Published weights of a network from the cache or the internet; None when there are none or they cannot be reached."""
    try:
        with _socket_timeout(DOWNLOAD_TIMEOUT_S):
            if name.startswith(TIMM_PREFIX):
                return _fetch_timm(name.removeprefix(TIMM_PREFIX))
            from sightline.models.from_torchvision import WEIGHT_URLS

            if name not in WEIGHT_URLS:
                return None
            url = WEIGHT_URLS[name]
            state: dict[str, Tensor] = torch.hub.load_state_dict_from_url(
                url, map_location="cpu", progress=False, check_hash=True, weights_only=True
            )
            return state
    except (urllib.error.URLError, OSError):
        return None


def _fetch_timm(name: str) -> dict[str, Tensor] | None:
    import timm

    config = timm.get_pretrained_cfg(name)
    if config is None or not isinstance(config.url, str) or not config.url.startswith("http"):
        return None  # published on a hub that needs a client of its own: give the file with `weights`
    state: dict[str, Tensor] = torch.hub.load_state_dict_from_url(
        config.url, map_location="cpu", progress=False, weights_only=True
    )
    return state


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
