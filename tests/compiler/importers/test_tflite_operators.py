"""Every operator the TFLite importer carries over, alone in a file of its own, against LiteRT's kernel for it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from import_checks import assert_agrees
from tflite_models import TinyFile

from sightline.compiler.importers.importer import ImportedGraph, ImportOptions
from sightline.compiler.importers.tflite.importer import TfliteImporter

SAME, VALID = 0, 1
CASES: dict[str, Callable[[TinyFile], int | tuple[int, ...]]] = {}


def case(make: Callable[[TinyFile], int | tuple[int, ...]]) -> Callable[[TinyFile], int | tuple[int, ...]]:
    CASES[make.__name__.removeprefix("make_")] = make
    return make


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def read(file: TinyFile, path: Path, *outputs: int) -> ImportedGraph:
    return TfliteImporter().read(file.write(path / "tiny.tflite", *outputs), ImportOptions())


def convolve(file: TinyFile, source: int, channels: int, shape: tuple[int, ...], **fields: int) -> int:
    weights, bias = file.constant(normal(shape[3], 3, 3, channels)), file.constant(normal(shape[3]))
    fields = {"padding": SAME, "strideW": 1, "strideH": 1} | fields
    return file.add("CONV_2D", [source, weights, bias], shape, "Conv2DOptions", **fields)


# Convolutions and products


@case
def make_convolution_with_same_padding_and_stride(file: TinyFile) -> int:
    return convolve(file, file.input, 3, (1, 3, 4, 5), strideW=2, strideH=2, fusedActivationFunction=1)


@case
def make_convolution_with_valid_padding_and_dilation(file: TinyFile) -> int:
    return convolve(file, file.input, 3, (1, 2, 4, 5), padding=VALID, dilationWFactor=2, dilationHFactor=2)


@case
def make_convolution_with_relu6_and_relu_n1_to_1(file: TinyFile) -> int:
    first = convolve(file, file.input, 3, (1, 6, 8, 4), fusedActivationFunction=3)
    return convolve(file, first, 4, (1, 6, 8, 2), fusedActivationFunction=2)


@case
def make_depthwise_convolution_with_multiplier(file: TinyFile) -> int:
    inputs = [file.input, file.constant(normal(1, 3, 3, 6)), file.constant(normal(6))]
    fields = {"padding": SAME, "strideW": 2, "strideH": 1, "depthMultiplier": 2, "fusedActivationFunction": 1}
    return file.add("DEPTHWISE_CONV_2D", inputs, (1, 6, 4, 6), "DepthwiseConv2DOptions", **fields)


@case
def make_pad_before_a_convolution(file: TinyFile) -> int:
    padded = file.add(
        "PAD", [file.input, file.constant([[0, 0], [1, 0], [2, 1], [0, 0]], np.int32)], (1, 7, 11, 3), "PadOptions"
    )
    return convolve(file, padded, 3, (1, 3, 5, 4), padding=VALID, strideW=2, strideH=2)


@case
def make_pad_before_a_convolution_and_another_reader(file: TinyFile) -> int:
    padded = file.add(
        "PAD", [file.input, file.constant([[0, 0], [1, 1], [1, 1], [0, 0]], np.int32)], (1, 8, 10, 3), "PadOptions"
    )
    first = convolve(file, padded, 3, (1, 8, 10, 3))
    return file.add("ADD", [first, padded], (1, 8, 10, 3), "AddOptions")


@case
def make_transposed_convolution_with_same_padding(file: TinyFile) -> int:
    inputs = [file.constant([1, 12, 16, 2], np.int32), file.constant(normal(2, 3, 3, 3)), file.input]
    return file.add("TRANSPOSE_CONV", inputs, (1, 12, 16, 2), "TransposeConvOptions", padding=SAME, strideW=2, strideH=2)


@case
def make_transposed_convolution_with_valid_padding_and_bias(file: TinyFile) -> int:
    inputs = [file.constant([1, 13, 17, 2], np.int32), file.constant(normal(2, 3, 3, 3)), file.input, file.constant(normal(2))]
    return file.add(
        "TRANSPOSE_CONV", inputs, (1, 13, 17, 2), "TransposeConvOptions", padding=VALID, strideW=2, strideH=2, version=3
    )


@case
def make_transposed_convolution_with_a_small_kernel(file: TinyFile) -> int:
    inputs = [file.constant([1, 18, 24, 2], np.int32), file.constant(normal(2, 2, 2, 3)), file.input]
    return file.add("TRANSPOSE_CONV", inputs, (1, 18, 24, 2), "TransposeConvOptions", padding=SAME, strideW=3, strideH=3)


@case
def make_dilation_by_space_to_batch(file: TinyFile) -> int:
    block = file.constant([2, 2], np.int32)
    shifted = file.add(
        "SPACE_TO_BATCH_ND",
        [file.input, block, file.constant([[2, 2], [2, 2]], np.int32)],
        (4, 5, 6, 3),
        "SpaceToBatchNDOptions",
    )
    middle = convolve(file, shifted, 3, (4, 3, 4, 5), padding=VALID, fusedActivationFunction=1)
    crops = file.constant([[0, 0], [0, 0]], np.int32)
    return file.add("BATCH_TO_SPACE_ND", [middle, block, crops], (1, 6, 8, 5), "BatchToSpaceNDOptions")


@case
def make_fully_connected_on_a_flattened_map(file: TinyFile) -> int:
    flat = file.add("RESHAPE", [file.input, file.constant([1, 144], np.int32)], (1, 144), "ReshapeOptions")
    inputs = [flat, file.constant(normal(7, 144)), file.constant(normal(7))]
    return file.add("FULLY_CONNECTED", inputs, (1, 7), "FullyConnectedOptions", fusedActivationFunction=1)


@case
def make_fully_connected_on_a_map(file: TinyFile) -> int:
    return file.add("FULLY_CONNECTED", [file.input, file.constant(normal(7, 144)), -1], (1, 7), "FullyConnectedOptions")


@case
def make_fully_connected_that_keeps_dimensions(file: TinyFile) -> int:
    rows = file.add("RESHAPE", [file.input, file.constant([1, 48, 3], np.int32)], (1, 48, 3), "ReshapeOptions")
    inputs = [rows, file.constant(normal(5, 3)), file.constant(normal(5))]
    return file.add("FULLY_CONNECTED", inputs, (1, 48, 5), "FullyConnectedOptions", keepNumDims=True)


# Pooling, padding, resizing


@case
def make_average_pooling_with_same_padding(file: TinyFile) -> int:
    fields = {"padding": SAME, "strideW": 2, "strideH": 2, "filterWidth": 3, "filterHeight": 3}
    return file.add("AVERAGE_POOL_2D", [file.input], (1, 3, 4, 3), "Pool2DOptions", **fields)


@case
def make_max_pooling_with_same_padding(file: TinyFile) -> int:
    below = file.add("SUB", [file.input, file.constant(normal(1) ** 2 + 9)], (1, 6, 8, 3), "SubOptions")  # all below zero
    fields = {"padding": SAME, "strideW": 2, "strideH": 2, "filterWidth": 3, "filterHeight": 3}
    return file.add("MAX_POOL_2D", [below], (1, 3, 4, 3), "Pool2DOptions", **fields)


@case
def make_zeros_before_max_pooling(file: TinyFile) -> int:
    below = file.add("SUB", [file.input, file.constant(normal(1) ** 2 + 9)], (1, 6, 8, 3), "SubOptions")
    padded = file.add("PAD", [below, file.constant([[0, 0], [1, 1], [1, 1], [0, 0]], np.int32)], (1, 8, 10, 3), "PadOptions")
    fields = {"padding": VALID, "strideW": 2, "strideH": 2, "filterWidth": 3, "filterHeight": 3}
    return file.add("MAX_POOL_2D", [padded], (1, 3, 4, 3), "Pool2DOptions", **fields)


@case
def make_pooling_of_the_whole_map(file: TinyFile) -> int:
    fields = {"padding": VALID, "strideW": 1, "strideH": 1, "filterWidth": 8, "filterHeight": 6}
    pooled = file.add("AVERAGE_POOL_2D", [file.input], (1, 1, 1, 3), "Pool2DOptions", **fields)
    return file.add("RESHAPE", [pooled, file.constant([-1, 3], np.int32)], (1, 3), "ReshapeOptions")


@case
def make_padding_with_a_value_on_channels(file: TinyFile) -> int:
    amounts, value = file.constant([[0, 0], [0, 1], [0, 0], [1, 2]], np.int32), file.constant(np.float32(2.5))
    return file.add("PADV2", [file.input, amounts, value], (1, 7, 8, 6), "PadV2Options")


@case
def make_reflected_padding(file: TinyFile) -> int:
    amounts = file.constant([[0, 0], [2, 1], [1, 3], [0, 0]], np.int32)
    return file.add("MIRROR_PAD", [file.input, amounts], (1, 9, 12, 3), "MirrorPadOptions", mode=0)


@case
def make_symmetric_padding_by_one(file: TinyFile) -> int:
    amounts = file.constant([[0, 0], [1, 1], [1, 0], [0, 0]], np.int32)
    return file.add("MIRROR_PAD", [file.input, amounts], (1, 8, 9, 3), "MirrorPadOptions", mode=1)


def make_resize(kind: str, size: tuple[int, int], **fields: bool) -> Callable[[TinyFile], int]:
    options = {"RESIZE_BILINEAR": "ResizeBilinearOptions", "RESIZE_NEAREST_NEIGHBOR": "ResizeNearestNeighborOptions"}[kind]

    def make(file: TinyFile) -> int:
        return file.add(kind, [file.input, file.constant(size, np.int32)], (1, *size, 3), options, version=3, **fields)

    return make


for size in ((12, 16), (3, 4), (13, 5), (1, 1), (6, 23)):
    for rule in ({}, {"alignCorners": True}, {"halfPixelCenters": True}):
        for kind in ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"):
            CASES[f"{kind.lower()}_to_{size}_{''.join(rule)}"] = make_resize(kind, size, **rule)


# Value by value


def make_unary(kind: str, positive: bool, **fields: float) -> Callable[[TinyFile], int]:
    def make(file: TinyFile) -> int:
        source = file.input
        if positive:
            source = file.add("MUL", [source, source], (1, 6, 8, 3), "MulOptions")
            source = file.add("ADD", [source, file.constant(np.float32(0.5))], (1, 6, 8, 3), "AddOptions")
        return file.add(kind, [source], (1, 6, 8, 3), *fields.pop("options", []), **fields)

    return make


for kind, positive in {
    "LOGISTIC": False, "TANH": False, "RELU": False, "RELU6": False, "RELU_N1_TO_1": False, "ELU": False, "HARD_SWISH": False,
    "EXP": False, "ABS": False, "SQRT": True, "RSQRT": True, "NEG": False, "LOG": True, "FLOOR": False, "CEIL": False,
    "ROUND": False, "SIN": False, "COS": False, "SQUARE": False, "LOG_SOFTMAX": False,
}.items():  # fmt: skip
    CASES[kind.lower()] = make_unary(kind, positive)


@case
def make_leaky_relu(file: TinyFile) -> int:
    return file.add("LEAKY_RELU", [file.input], (1, 6, 8, 3), "LeakyReluOptions", alpha=0.3)


@case
def make_prelu_by_channel(file: TinyFile) -> int:
    return file.add("PRELU", [file.input, file.constant(normal(1, 1, 3))], (1, 6, 8, 3))


@case
def make_prelu_by_place(file: TinyFile) -> int:
    return file.add("PRELU", [file.input, file.constant(normal(6, 8, 3))], (1, 6, 8, 3))


@case
def make_arithmetic_with_constants_of_all_ranks(file: TinyFile) -> int:
    value = file.add("ADD", [file.input, file.constant(normal(3))], (1, 6, 8, 3), "AddOptions", fusedActivationFunction=1)
    value = file.add("MUL", [file.constant(normal(8, 1)), value], (1, 6, 8, 3), "MulOptions")
    value = file.add("SUB", [file.constant(normal(1, 6, 8, 3)), value], (1, 6, 8, 3), "SubOptions")
    value = file.add("DIV", [value, file.constant(np.float32(3))], (1, 6, 8, 3), "DivOptions")
    return file.add("MAXIMUM", [value, file.constant(normal(1, 1, 1, 3))], (1, 6, 8, 3), "MaximumMinimumOptions")


@case
def make_minimum_and_difference_of_two_maps(file: TinyFile) -> int:
    other = convolve(file, file.input, 3, (1, 6, 8, 3))
    least = file.add("MINIMUM", [file.input, other], (1, 6, 8, 3), "MaximumMinimumOptions")
    return file.add("SQUARED_DIFFERENCE", [least, other], (1, 6, 8, 3), "SquaredDifferenceOptions")


@case
def make_map_times_its_channel_means(file: TinyFile) -> int:
    axes = file.constant([1, 2], np.int32)
    means = file.add("MEAN", [file.input, axes], (1, 3), "ReducerOptions", keepDims=False)
    gate = file.add("RESHAPE", [means, file.constant([1, 1, 1, 3], np.int32)], (1, 1, 1, 3), "ReshapeOptions")
    gate = file.add("LOGISTIC", [convolve(file, gate, 3, (1, 1, 1, 3))], (1, 1, 1, 3))
    return file.add("MUL", [file.input, gate], (1, 6, 8, 3), "MulOptions")


@case
def make_softmax_with_beta_on_a_map(file: TinyFile) -> int:
    return file.add("SOFTMAX", [file.input], (1, 6, 8, 3), "SoftmaxOptions", beta=1.7)


@case
def make_l2_normalisation(file: TinyFile) -> int:
    return file.add("L2_NORMALIZATION", [file.input], (1, 6, 8, 3), "L2NormOptions")


@case
def make_local_response_normalisation(file: TinyFile) -> int:
    wide = convolve(file, file.input, 3, (1, 6, 8, 7))
    fields = {"radius": 2, "bias": 1.5, "alpha": 0.3, "beta": 0.7}
    return file.add("LOCAL_RESPONSE_NORMALIZATION", [wide], (1, 6, 8, 7), "LocalResponseNormalizationOptions", **fields)


# Along axes


def make_reduction(kind: str, axes: list[int], shape: tuple[int, ...], keeps: bool) -> Callable[[TinyFile], int]:
    def make(file: TinyFile) -> int:
        return file.add(kind, [file.input, file.constant(axes, np.int32)], shape, "ReducerOptions", keepDims=keeps)

    return make


for kind in ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN"):
    CASES[f"{kind.lower()}_of_a_map_kept"] = make_reduction(kind, [1, 2], (1, 1, 1, 3), True)
    CASES[f"{kind.lower()}_of_a_map"] = make_reduction(kind, [1, 2], (1, 3), False)
    CASES[f"{kind.lower()}_of_channels"] = make_reduction(kind, [-1], (1, 6, 8), False)
    CASES[f"{kind.lower()}_of_rows"] = make_reduction(kind, [1], (1, 8, 3), False)
    CASES[f"{kind.lower()}_of_columns_kept"] = make_reduction(kind, [2], (1, 6, 1, 3), True)


@case
def make_arg_max_of_channels(file: TinyFile) -> int:
    return file.add("ARG_MAX", [file.input, file.constant(3, np.int32)], (1, 6, 8), "ArgMaxOptions", np.int64, outputType=4)


@case
def make_arg_min_of_rows_as_int32_cast_to_float(file: TinyFile) -> int:
    least = file.add("ARG_MIN", [file.input, file.constant(1, np.int32)], (1, 8, 3), "ArgMinOptions", np.int32, outputType=2)
    return file.add("CAST", [least], (1, 8, 3), "CastOptions", inDataType=2, outDataType=0)


@case
def make_cast_to_whole_numbers_and_back(file: TinyFile) -> int:
    whole = file.add("CAST", [file.input], (1, 6, 8, 3), "CastOptions", np.int32, inDataType=0, outDataType=2)
    return file.add("CAST", [whole], (1, 6, 8, 3), "CastOptions", inDataType=2, outDataType=0)


@case
def make_concatenation_of_channels_and_of_rows(file: TinyFile) -> int:
    wide = file.add("CONCATENATION", [file.input, file.input], (1, 6, 8, 6), "ConcatenationOptions", axis=-1)
    return file.add("CONCATENATION", [wide, wide], (1, 12, 8, 6), "ConcatenationOptions", axis=1)


@case
def make_split_of_columns(file: TinyFile) -> tuple[int, ...]:
    return tuple(file.add("SPLIT", [file.constant(2, np.int32), file.input], [(1, 6, 4, 3)] * 2, "SplitOptions", numSplits=2))


@case
def make_split_of_channels_by_size(file: TinyFile) -> tuple[int, ...]:
    inputs = [file.input, file.constant([1, -1], np.int32), file.constant(-1, np.int32)]
    return tuple(file.add("SPLIT_V", inputs, [(1, 6, 8, 1), (1, 6, 8, 2)], "SplitVOptions", numSplits=2))


@case
def make_gather_of_channels_and_of_one_row(file: TinyFile) -> tuple[int, ...]:
    channels = file.add(
        "GATHER", [file.input, file.constant([2, 0], np.int32)], (1, 6, 8, 2), "GatherOptions", axis=3, version=2
    )
    row = file.add("GATHER", [file.input, file.constant(4, np.int32)], (1, 8, 3), "GatherOptions", axis=1)
    return channels, row


@case
def make_pack_of_unpacked_rows(file: TinyFile) -> int:
    rows = file.add("UNPACK", [file.input], [(1, 8, 3)] * 6, "UnpackOptions", num=6, axis=1)
    return file.add("PACK", rows[::-1], (1, 8, 6, 3), "PackOptions", valuesCount=6, axis=2)


# Order and shape


@case
def make_anchors_from_a_map(file: TinyFile) -> int:
    return file.add("RESHAPE", [file.input, file.constant([1, -1, 4], np.int32)], (1, 36, 4), "ReshapeOptions")


@case
def make_softmax_of_anchors_merged_with_the_batch(file: TinyFile) -> int:
    merged = file.add("RESHAPE", [file.input, file.constant([48, 3], np.int32)], (48, 3), "ReshapeOptions")
    scores = file.add("SOFTMAX", [merged], (48, 3), "SoftmaxOptions", beta=1.0)
    return file.add("RESHAPE", [scores, file.constant([1, 48, 3], np.int32)], (1, 48, 3), "ReshapeOptions")


@case
def make_shuffle_of_channels(file: TinyFile) -> int:
    wide = convolve(file, file.input, 3, (1, 6, 8, 6))
    parts = file.add("RESHAPE", [wide, file.constant([1, 6, 8, 2, 3], np.int32)], (1, 6, 8, 2, 3), "ReshapeOptions")
    turned = file.add("TRANSPOSE", [parts, file.constant([0, 1, 2, 4, 3], np.int32)], (1, 6, 8, 3, 2), "TransposeOptions")
    again = file.add("RESHAPE", [turned, file.constant([1, 6, 8, 6], np.int32)], (1, 6, 8, 6), "ReshapeOptions")
    return convolve(file, again, 6, (1, 6, 8, 2))


@case
def make_transposes_of_a_map(file: TinyFile) -> tuple[int, ...]:
    planes = file.add("TRANSPOSE", [file.input, file.constant([0, 3, 1, 2], np.int32)], (1, 3, 6, 8), "TransposeOptions")
    rows = file.add("RESHAPE", [planes, file.constant([1, 3, 48], np.int32)], (1, 3, 48), "ReshapeOptions")
    back = file.add("TRANSPOSE", [planes, file.constant([0, 2, 3, 1], np.int32)], (1, 6, 8, 3), "TransposeOptions")
    turned = file.add("TRANSPOSE", [file.input, file.constant([0, 2, 1, 3], np.int32)], (1, 8, 6, 3), "TransposeOptions")
    return rows, convolve(file, back, 3, (1, 6, 8, 2)), turned


@case
def make_squeeze_and_expansion(file: TinyFile) -> int:
    mean = file.add("MEAN", [file.input, file.constant([1], np.int32)], (1, 1, 8, 3), "ReducerOptions", keepDims=True)
    flat = file.add("SQUEEZE", [mean], (1, 8, 3), "SqueezeOptions", squeezeDims=[1])
    return file.add("EXPAND_DIMS", [flat, file.constant(-1, np.int32)], (1, 8, 3, 1), "ExpandDimsOptions")


@case
def make_depth_to_space_and_back(file: TinyFile) -> tuple[int, ...]:
    deep = file.add("SPACE_TO_DEPTH", [file.input], (1, 3, 4, 12), "SpaceToDepthOptions", blockSize=2)
    mixed = convolve(file, deep, 12, (1, 3, 4, 8))
    return deep, file.add("DEPTH_TO_SPACE", [mixed], (1, 6, 8, 2), "DepthToSpaceOptions", blockSize=2)


@case
def make_slice_of_a_map(file: TinyFile) -> int:
    inputs = [file.input, file.constant([0, 1, 2, 1], np.int32), file.constant([1, 4, -1, 2], np.int32)]
    return file.add("SLICE", inputs, (1, 4, 6, 2), "SliceOptions")


def make_strided_slice(
    begin: list[int], end: list[int], steps: list[int], shape: tuple[int, ...], **masks: int
) -> Callable[[TinyFile], int]:
    def make(file: TinyFile) -> int:
        inputs = [file.input, *(file.constant(numbers, np.int32) for numbers in (begin, end, steps))]
        return file.add("STRIDED_SLICE", inputs, shape, "StridedSliceOptions", version=4, **masks)

    return make


CASES["strided_slice_with_steps"] = make_strided_slice([0, 1, 0, 0], [1, 6, 8, 3], [1, 2, 3, 1], (1, 3, 3, 3))
CASES["strided_slice_backwards"] = make_strided_slice(
    [0, 0, 0, 0], [1, 0, 8, 0], [1, -1, 1, -1], (1, 6, 8, 3), beginMask=15, endMask=15
)
CASES["strided_slice_of_one_channel"] = make_strided_slice(
    [0, 0, 0, 1], [0, 0, 0, 2], [1, 1, 1, 1], (1, 6, 8), beginMask=7, endMask=7, shrinkAxisMask=8
)
CASES["strided_slice_with_ellipsis"] = make_strided_slice([0, 1], [0, 3], [1, 1], (1, 6, 8, 2), ellipsisMask=1)
CASES["strided_slice_with_new_axis"] = make_strided_slice([0, 0, 2], [1, 0, 5], [1, 1, 1], (1, 1, 3, 8, 3), newAxisMask=2)


@case
def make_shape_worked_out_from_the_map(file: TinyFile) -> int:
    shape = file.add("SHAPE", [file.input], (4,), "ShapeOptions", np.int32, outType=2)
    cut = [file.constant(numbers, np.int32) for numbers in ([0], [1], [1])]
    batch = file.add("STRIDED_SLICE", [shape, *cut], (), "StridedSliceOptions", np.int32, shrinkAxisMask=1)
    parts = [batch, file.constant(-1, np.int32), file.constant(3, np.int32)]
    target = file.add("PACK", parts, (3,), "PackOptions", np.int32, valuesCount=3, axis=0)
    return file.add("RESHAPE", [file.input, target], (1, 48, 3), "ReshapeOptions")


@case
def make_float16_weights(file: TinyFile) -> int:
    weights = [file.constant(normal(5, 3, 3, 3), np.float16), file.constant(normal(5), np.float16)]
    wide = [file.add("DEQUANTIZE", [index], shape) for index, shape in zip(weights, [(5, 3, 3, 3), (5,)], strict=True)]
    fields = {"padding": SAME, "strideW": 1, "strideH": 1}
    return file.add("CONV_2D", [file.input, *wide], (1, 6, 8, 5), "Conv2DOptions", **fields)


@pytest.mark.parametrize("name", CASES)
def test_operator_agrees_with_litert(name: str, tmp_path: Path) -> None:
    file = TinyFile()
    outputs = CASES[name](file)
    imported = read(file, tmp_path, *([outputs] if isinstance(outputs, int) else outputs))
    batch = np.random.default_rng(4).normal(size=(3, 3, 6, 8)).astype(np.float32) * 2
    assert_agrees(imported, batch, tmp_path, 1e-5)
