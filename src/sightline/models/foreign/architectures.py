"""Bare weights and the network they belong to: "timm/NAME", "torchvision/NAME", or "FILE.py:FUNCTION", the user's own code.

Weights must fit to the last key: a network with a layer left at random answers, only wrongly. The number of classes and of
input channels is read off the weights themselves.
"""

import importlib.util
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from sightline.core.errors import InvalidInput, NotFound, Unsupported
from sightline.models.weights import read_weights, strip_prefixes

COUNTERS = "num_batches_tracked"  # of batch norm, unknown to torch before 1.0 and without effect in use
# What a user's own file may raise while it runs: everything but what is meant to end the process.
CODE_ERRORS = (ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, NameError, OSError, RuntimeError)
CODE_ERRORS += (SyntaxError, TypeError, ValueError)  # type: ignore[assignment]


class InputFacts(NamedTuple):
    """What is published of an architecture's input; None where nothing is. Mean and std in units of a pixel value 0..255."""

    width: int | None = None
    height: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    resize: Literal["stretch", "centre_crop"] | None = None
    crop_fraction: float | None = None


def read_weighted_module(path: Path, architecture: str | None) -> tuple[nn.Module, InputFacts]:
    """The network that a file of weights belongs to, with these weights.

    Raises: InvalidInput when no architecture is named or the weights do not fit it; NotFound for an unknown name.
    """
    weights = strip_prefixes(read_weights(path))
    if architecture is None:
        raise InvalidInput(
            f"{path.name} is weights without a network: say `architecture` timm/NAME, torchvision/NAME or FILE.py:FUNCTION"
        )
    family, _, name = architecture.partition("/")
    if family == "timm":
        module, facts = _build_timm(name, weights)
    elif family == "torchvision":
        module, facts = _build_torchvision(name, weights)
    else:
        module, facts = _build_own(architecture), InputFacts()
    fit_weights(module, weights, f"{path.name} and {architecture}")
    return module, facts


def fit_weights(module: nn.Module, weights: Mapping[str, Tensor], what: str) -> None:
    """Copy the weights in. Raises: InvalidInput naming keys that are missing, left over or of another shape."""
    own = module.state_dict()
    missing = [key for key in own if key not in weights and not key.endswith(COUNTERS)]
    extra = [key for key in weights if key not in own]
    shaped = [
        f"{key} {tuple(weights[key].shape)} for {tuple(value.shape)}"
        for key, value in own.items()
        if key in weights and weights[key].shape != value.shape
    ]
    complaints = [
        f"{len(keys)} {word} ({', '.join(keys[:3])}{' ...' if len(keys) > 3 else ''})"
        for word, keys in (("missing", missing), ("left over", extra), ("of another shape", shaped))
        if keys
    ]
    if complaints:
        raise InvalidInput(f"weights and network do not fit, {what}: {'; '.join(complaints)}; name the right architecture")
    with torch.no_grad():
        for key, value in own.items():
            if key in weights:
                value.copy_(weights[key])


def find_published_facts(module: nn.Module) -> InputFacts:
    """What a module of timm carries of its input."""
    config = getattr(module, "pretrained_cfg", None)
    return read_timm_config(config) if isinstance(config, dict) else InputFacts()


def read_timm_config(config: Mapping[str, Any]) -> InputFacts:
    """timm's pretrained_cfg: input_size (C, H, W), mean and std for pixels 0..1, crop_pct, crop_mode."""
    size = tuple(config.get("input_size") or (None, None, None))
    squash = config.get("crop_mode") == "squash"
    return InputFacts(
        width=size[2],
        height=size[1],
        mean=_to_pixels(config.get("mean")),
        std=_to_pixels(config.get("std")),
        resize="stretch" if squash else "centre_crop",
        crop_fraction=None if squash else config.get("crop_pct"),
    )


def _build_timm(name: str, weights: Mapping[str, Tensor]) -> tuple[nn.Module, InputFacts]:
    import timm

    if not timm.is_model(name):
        raise NotFound(f"timm has no network {name!r}; see timm.list_models()")
    config = timm.get_pretrained_cfg(name)
    facts = config.to_dict() if config is not None else {}
    arguments: dict[str, Any] = {}
    classifier, first = _first(facts.get("classifier")), _first(facts.get("first_conv"))
    if classifier and f"{classifier}.weight" in weights:
        arguments["num_classes"] = weights[f"{classifier}.weight"].shape[0]
    if first and weights.get(f"{first}.weight", torch.empty(0)).ndim == 4:
        arguments["in_chans"] = weights[f"{first}.weight"].shape[1]
    return timm.create_model(name, pretrained=False, **arguments), read_timm_config(facts)


def _build_torchvision(name: str, weights: Mapping[str, Tensor]) -> tuple[nn.Module, InputFacts]:
    from torchvision import models

    if name not in models.list_models():
        raise NotFound(f"torchvision has no network {name!r}; see torchvision.models.list_models()")
    if name in models.list_models(module=models.detection):
        raise Unsupported(
            f"torchvision/{name} ends in a number of boxes that differs from picture to picture, which no fixed graph does; "
            "export the part before its box head, or train a detector here"
        )
    builder = models.get_model_builder(name)
    known = inspect.signature(builder).parameters
    arguments: dict[str, Any] = {"weights": None}
    if "weights_backbone" in known:
        arguments["weights_backbone"] = None
        arguments["aux_loss"] = any(key.startswith("aux_classifier.") for key in weights)
    if name in ("googlenet", "inception_v3"):
        arguments["aux_logits"] = any(key.lower().startswith(("aux1.", "auxlogits.")) for key in weights)
        arguments["init_weights"] = False
    last = next(reversed(builder(**arguments).state_dict()))  # torchvision's classifiers come last
    if last in weights and weights[last].ndim:
        arguments["num_classes"] = weights[last].shape[0]
    return builder(**arguments), _read_torchvision_facts(name)


def _read_torchvision_facts(name: str) -> InputFacts:
    """The transforms published with the default weights; nothing is downloaded."""
    from torchvision import models

    preset = models.get_model_weights(name).DEFAULT.transforms()
    crop, resize = _first(getattr(preset, "crop_size", None)), _first(getattr(preset, "resize_size", None))
    return InputFacts(
        width=crop,
        height=crop,
        mean=_to_pixels(preset.mean),
        std=_to_pixels(preset.std),
        resize="centre_crop" if crop and resize else None,
        crop_fraction=crop / resize if crop and resize else None,
    )


def _build_own(architecture: str) -> nn.Module:
    """Run the user's own file, because the user names it, and call its function or class."""
    file, _, function = architecture.rpartition(":")
    path = Path(file)
    if not file or not function.isidentifier() or path.suffix != ".py":
        raise InvalidInput(f"expected an architecture timm/NAME, torchvision/NAME or FILE.py:FUNCTION, got {architecture!r}")
    if not path.is_file():
        raise NotFound(f"no file {path} for the architecture {architecture!r}; give its path")
    spec = importlib.util.spec_from_file_location(f"architecture_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise InvalidInput(f"{path} cannot be read as Python")
    code = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(code)
        build = getattr(code, function, None)
        if not callable(build):
            raise NotFound(f"{path} defines no {function}; name a function or class that returns an nn.Module")
        module = build()
    except CODE_ERRORS as error:
        raise InvalidInput(f"{architecture} fails with {type(error).__name__}: {error}; mend your file") from error
    if not isinstance(module, nn.Module):
        raise InvalidInput(f"expected an nn.Module from {architecture}, got {type(module).__name__}")
    return module


def _first(value: Any) -> Any:
    """The value, or the first of several."""
    return value[0] if isinstance(value, list | tuple) and value else value


def _to_pixels(values: Any) -> tuple[float, ...] | None:
    return tuple(255 * float(value) for value in values) if values else None
