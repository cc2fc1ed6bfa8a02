"""OpenVINO IR from an ONNX file, with the `model_info` metadata by which OpenVINO Model API knows preprocessing and labels.

The keys and their values are those of Model API's documentation ("Model configuration"): names, not numbers of ours. Heads that
Model API has no wrapper for (our anchor-free detector) get every key but `model_type`, so that it refuses rather than misreads.
What it has no word for stands in a section of ours, `sightline`, so that an import gets input spec and categories back.
"""

import os
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from sightline.core.errors import InvalidInput
from sightline.core.manifests import ModelManifest
from sightline.runtime.backends.openvino import find_output_name
from sightline.runtime.telemetry import silence_telemetry

MODEL_TYPES = {"softmax": "Classification", "sigmoid": "Classification", "semantic": "Segmentation"}
RESIZE_TYPES = {"letterbox": "fit_to_window_letterbox", "stretch": "standard", "centre_crop": "crop", "pad": "standard"}
OWN_SECTION = "sightline"
LAYERS_BYTES = 16 << 20  # of the .xml; the .bin holds the weights of the ONNX file


def write_ir(source: Path, target: Path, manifest: ModelManifest) -> None:
    """Write `target` (`.xml`) and its `.bin` from an ONNX file, weights unrounded.

    Raises: InvalidInput; OSError when the disk is full.
    """
    silence_telemetry()
    import openvino

    try:
        model = openvino.Core().read_model(source)
    except RuntimeError as error:
        raise InvalidInput(f"OpenVINO cannot open {source}: {' '.join(str(error).split())}") from error
    for output in model.outputs:
        output.get_tensor().set_names({find_output_name(output)})
    for key, value in make_model_info(manifest).items():
        model.set_rt_info(value, ["model_info", key])
    for key, value in make_own_info(manifest).items():
        model.set_rt_info(value, [OWN_SECTION, key])
    try:
        openvino.save_model(model, target, compress_to_fp16=False)
    except RuntimeError as error:  # "iostream error", whatever the reason
        check_room(target.parent, source.stat().st_size + LAYERS_BYTES)
        raise InvalidInput(f"OpenVINO cannot write {target}: {' '.join(str(error).split())}") from error


def check_room(folder: Path, size_bytes: int) -> None:
    """Raises: OSError, in the system's words, unless so many bytes can be written to a folder."""
    with tempfile.TemporaryFile(dir=folder) as file:
        os.posix_fallocate(file.fileno(), 0, size_bytes)


def make_model_info(manifest: ModelManifest) -> dict[str, Any]:
    """Model API's `model_info` for a Model."""
    spec, decode = manifest.input, manifest.decode
    info: dict[str, Any] = {
        "labels": " ".join(name.replace(" ", "_") for name in manifest.categories),
        "mean_values": " ".join(str(value) for value in spec.mean),
        "scale_values": " ".join(str(value) for value in spec.std),
        "reverse_input_channels": str(spec.colour == "RGB"),  # Model API is fed BGR pictures
        "resize_type": RESIZE_TYPES[spec.resize],
        "pad_value": str(spec.pad_value),
        "confidence_threshold": str(decode.confidence_threshold),
        "iou_threshold": str(decode.iou_threshold),
    }
    if decode.head in MODEL_TYPES:
        info["model_type"] = MODEL_TYPES[decode.head]
    return info


def make_own_info(manifest: ModelManifest) -> dict[str, str]:
    """What Model API has no word for, or only a rough one: it parts labels by blanks, so that names may hold none."""
    spec = manifest.input
    info = {
        "colour": spec.colour,
        "resize": spec.resize,
        "shrink": spec.shrink,
        "crop_fraction": str(spec.crop_fraction),
    }
    if manifest.categories:
        info["categories"] = msgspec.json.encode(manifest.categories).decode()
    return info
