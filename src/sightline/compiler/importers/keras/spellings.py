"""Old names of layers and of their settings, turned into those of Keras 3, so that everything behind reads one spelling.

Keras 1 spoke of `Convolution2D(nb_filter, nb_row, nb_col, border_mode, dim_ordering)`, Keras 2 of `Conv2D(filters,
kernel_size, padding, data_format)`; Keras 3 changed a few more. The names are those of the layers' constructors in each
version.
"""

from collections.abc import Mapping
from typing import Any

from sightline.core.errors import Unsupported

KINDS = {
    "AtrousConvolution2D": "Conv2D",
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "Convolution2D": "Conv2D",
    "Convolution2DTranspose": "Conv2DTranspose",
    "Deconvolution2D": "Conv2DTranspose",
    "DepthwiseConvolution2D": "DepthwiseConv2D",
    "GlobalAvgPool2D": "GlobalAveragePooling2D",
    "GlobalMaxPool2D": "GlobalMaxPooling2D",
    "AvgPool2D": "AveragePooling2D",
    "MaxPool2D": "MaxPooling2D",
    "SeparableConvolution2D": "SeparableConv2D",
    "SyncBatchNormalization": "BatchNormalization",
}
SETTINGS = {
    "atrous_rate": "dilation_rate",
    "batch_input_shape": "batch_shape",
    "bias": "use_bias",
    "border_mode": "padding",
    "nb_filter": "filters",
    "output_dim": "units",
    "p": "rate",
    "subsample": "strides",
}
KIND_SETTINGS = {("LeakyReLU", "alpha"): "negative_slope"}
MERGE_MODES = {"sum": "Add", "mul": "Multiply", "ave": "Average", "max": "Maximum", "concat": "Concatenate"}
DATA_FORMATS = {"tf": "channels_last", "th": "channels_first", "default": "channels_last"}
# Functions of TensorFlow that tf.keras 2.4 and later wrote into a model as layers of the kind TFOpLambda.
TENSORFLOW_FUNCTIONS = {
    "__operators__.add": "Add",
    "math.add": "Add",
    "math.subtract": "Subtract",
    "math.multiply": "Multiply",
    "math.truediv": "Divide",
    "math.divide": "Divide",
    "math.maximum": "Maximum",
    "math.sigmoid": "Sigmoid",
    "nn.relu": "Relu",
    "nn.relu6": "Relu6",
    "nn.silu": "Silu",
}


def modernise(name: str, kind: str, config: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The kind and settings of a layer as Keras 3 would spell them.

    Raises: Unsupported for a mode that has no heir.
    """
    if kind == "Merge":
        return _modernise_merge(name, config)
    if kind == "TFOpLambda":
        return TENSORFLOW_FUNCTIONS.get(str(config.get("function")), f"TFOpLambda {config.get('function')}"), {}
    settings = {KIND_SETTINGS.get((kind, key), SETTINGS.get(key, key)): value for key, value in config.items()}
    kind = KINDS.get(kind, kind)
    if "nb_row" in settings:
        settings["kernel_size"] = [settings.pop("nb_row"), settings.pop("nb_col", None)]
    if "dim_ordering" in settings:
        order = str(settings.pop("dim_ordering"))
        settings["data_format"] = DATA_FORMATS.get(order, order)
    if kind == "BatchNormalization" and settings.pop("mode", 0) != 0:
        raise Unsupported(f"layer {name}: BatchNormalization by sample or batch (mode other than 0) is not supported")
    axis = settings.get("axis")
    if kind == "BatchNormalization" and isinstance(axis, list) and len(axis) == 1:  # tf.keras writes [3]
        settings["axis"] = axis[0]
    return kind, settings


def _modernise_merge(name: str, config: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Keras 1's one layer for all element-wise layers."""
    mode = config.get("mode")
    if mode not in MERGE_MODES:
        raise Unsupported(f"layer {name}: Merge with mode {str(mode)[:40]!r} is not supported, only {', '.join(MERGE_MODES)}")
    if config.get("layers"):
        raise Unsupported(f"layer {name}: Merge of whole models inside a Sequential model is not supported")
    return MERGE_MODES[mode], {"name": name} | ({"axis": config.get("concat_axis", -1)} if mode == "concat" else {})
