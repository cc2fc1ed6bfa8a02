"""Layers that change a picture's size without weights: pooling, zero padding, cropping, upsampling, resizing."""

import numpy as np

from sightline.compiler.importers.keras.graph import GraphBuild, LayerCall, Tensor, find_window_pads, to_onnx_pads
from sightline.core.errors import InvalidInput, Unsupported

BILINEAR_VERSION = (2, 3)  # before it, UpSampling2D aligned the corners' top left instead of the pixels' centres


def write_pool(build: GraphBuild, call: LayerCall) -> Tensor:
    """MaxPooling2D, AveragePooling2D; an average at the edge counts only what lies inside, as TensorFlow's SAME does."""
    tensor, channels, height, width = call.picture()
    window = call.settings.pair("pool_size", 2)
    stride = call.settings.pair("strides", window)
    pads, size = find_window_pads(call, (height, width), window, stride)
    is_average = call.kind == "AveragePooling2D"
    output = build.writer.add(
        "AveragePool" if is_average else "MaxPool",
        [tensor.name],
        name=call.path,
        output=call.output,
        kernel_shape=list(window),
        strides=list(stride),
        pads=to_onnx_pads(pads),
        count_include_pad=0 if is_average else None,
    )
    return Tensor(output, (channels, *size))


def write_global_pool(build: GraphBuild, call: LayerCall) -> Tensor:
    """GlobalAveragePooling2D, GlobalMaxPooling2D: one value a channel, as a vector or as a picture of one pixel."""
    tensor, channels, _, _ = call.picture()
    kind = "GlobalAveragePool" if call.kind == "GlobalAveragePooling2D" else "GlobalMaxPool"
    if call.settings.flag("keepdims", False):
        return Tensor(build.writer.add(kind, [tensor.name], name=call.path, output=call.output), (channels, 1, 1))
    pooled = build.writer.add(kind, [tensor.name], name=call.path, output=call.part("pooled"))
    output = build.writer.add("Flatten", [pooled], name=call.part("flatten"), output=call.output, axis=1)
    return Tensor(output, (channels,))


def write_zero_padding(build: GraphBuild, call: LayerCall) -> Tensor:
    """ZeroPadding2D where it could not become part of a convolution."""
    tensor, channels, height, width = call.picture()
    (top, bottom), (left, right) = call.settings.sides("padding")
    pads = build.writer.add_weight(call.part("pads"), np.array([0, 0, top, left, 0, 0, bottom, right], np.int64))
    output = build.writer.add("Pad", [tensor.name, pads], name=call.path, output=call.output)
    return Tensor(output, (channels, height + top + bottom, width + left + right))


def write_cropping(build: GraphBuild, call: LayerCall) -> Tensor:
    """Cropping2D: so many rows and columns off each side."""
    tensor, channels, height, width = call.picture()
    (top, bottom), (left, right) = call.settings.sides("cropping")
    size = (height - top - bottom, width - left - right)
    if min(size) < 1:
        raise InvalidInput(f"layer {call.path}: nothing of {height}x{width} is left after cropping; import a larger picture")
    ends = (("starts", [top, left]), ("ends", [height - bottom, width - right]), ("axes", [2, 3]))
    edges = [build.writer.add_weight(call.part(name), np.array(values, np.int64)) for name, values in ends]
    output = build.writer.add("Slice", [tensor.name, *edges], name=call.path, output=call.output)
    return Tensor(output, (channels, *size))


def write_upsampling(build: GraphBuild, call: LayerCall) -> Tensor:
    """UpSampling2D by whole factors, nearest or bilinear."""
    tensor, channels, height, width = call.picture()
    rows, columns = call.settings.pair("size", 2)
    mode = call.settings.text("interpolation", "nearest")
    if mode not in ("nearest", "bilinear"):
        raise Unsupported(f"layer {call.path}: interpolation {mode!r} is not supported, only 'nearest' or 'bilinear'")
    if mode == "bilinear" and build.version < BILINEAR_VERSION:
        build.notes.append(f"{call.path}: bilinear upsampling is read as Keras 2.3 and later compute it (pixel centres)")
    scales = build.add_constant(call, "scales", np.array([1, 1, rows, columns]))
    output = build.writer.add(
        "Resize",
        [tensor.name, "", scales],
        name=call.path,
        output=call.output,
        mode="nearest" if mode == "nearest" else "linear",
        coordinate_transformation_mode="asymmetric" if mode == "nearest" else "half_pixel",
        nearest_mode="floor" if mode == "nearest" else None,
    )
    return Tensor(output, (channels, height * rows, width * columns))


def skip_resizing(build: GraphBuild, call: LayerCall) -> Tensor:
    """Resizing of a picture that has the size already. Raises: Unsupported for any other."""
    tensor, _, height, width = call.picture()
    wanted = call.settings.whole("height"), call.settings.whole("width")
    if wanted != (height, width):
        raise Unsupported(
            f"layer {call.path} resizes {height}x{width} to {wanted[0]}x{wanted[1]}; pictures are resized before the network:"
            f" import with `height` {wanted[0]} and `width` {wanted[1]} where the input takes any size"
        )
    build.notes.append(f"{call.path}: left out, pictures come in its size")
    return tensor


LAYERS = {
    "AveragePooling2D": write_pool,
    "Cropping2D": write_cropping,
    "GlobalAveragePooling2D": write_global_pool,
    "GlobalMaxPooling2D": write_global_pool,
    "MaxPooling2D": write_pool,
    "Resizing": skip_resizing,
    "UpSampling2D": write_upsampling,
    "ZeroPadding2D": write_zero_padding,
}
