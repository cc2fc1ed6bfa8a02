"""Operators of a .tflite file by their names in the schema. A new operator is one function beside these and one row here."""

from collections.abc import Callable

from sightline.compiler.importers.tflite.convolutions import (
    convert_convolution,
    convert_fully_connected,
    convert_pad,
    convert_pooling,
    convert_space_to_batch,
    convert_transposed_convolution,
)
from sightline.compiler.importers.tflite.files import OperatorRecord
from sightline.compiler.importers.tflite.folding import FOLDS
from sightline.compiler.importers.tflite.graph import GraphBuilder
from sightline.compiler.importers.tflite.pointwise import (
    BINARY,
    CLIPS,
    REDUCTIONS,
    UNARY,
    convert_arg_max,
    convert_binary,
    convert_cast,
    convert_clip,
    convert_l2_normalisation,
    convert_leaky_relu,
    convert_local_response_normalisation,
    convert_prelu,
    convert_quantisation,
    convert_reduction,
    convert_rsqrt,
    convert_softmax,
    convert_square,
    convert_squared_difference,
    convert_unary,
)
from sightline.compiler.importers.tflite.reshapes import (
    convert_block_move,
    convert_concatenation,
    convert_expansion,
    convert_gather,
    convert_pack,
    convert_reshape,
    convert_resize,
    convert_split,
    convert_split_by_size,
    convert_squeeze,
    convert_transpose,
    convert_unpack,
)
from sightline.compiler.importers.tflite.slices import convert_slice

Conversion = Callable[[GraphBuilder, OperatorRecord], None]

OPERATORS: dict[str, Conversion] = {
    "CONV_2D": convert_convolution,
    "DEPTHWISE_CONV_2D": convert_convolution,
    "TRANSPOSE_CONV": convert_transposed_convolution,
    "FULLY_CONNECTED": convert_fully_connected,
    "AVERAGE_POOL_2D": convert_pooling,
    "MAX_POOL_2D": convert_pooling,
    "PAD": convert_pad,
    "PADV2": convert_pad,
    "MIRROR_PAD": convert_pad,
    "SPACE_TO_BATCH_ND": convert_space_to_batch,
    **dict.fromkeys(BINARY, convert_binary),
    **dict.fromkeys(UNARY, convert_unary),
    **dict.fromkeys(CLIPS, convert_clip),
    **dict.fromkeys(REDUCTIONS, convert_reduction),
    "LEAKY_RELU": convert_leaky_relu,
    "PRELU": convert_prelu,
    "RSQRT": convert_rsqrt,
    "SQUARE": convert_square,
    "SQUARED_DIFFERENCE": convert_squared_difference,
    "SOFTMAX": convert_softmax,
    "LOG_SOFTMAX": convert_softmax,
    "L2_NORMALIZATION": convert_l2_normalisation,
    "LOCAL_RESPONSE_NORMALIZATION": convert_local_response_normalisation,
    "ARG_MAX": convert_arg_max,
    "ARG_MIN": convert_arg_max,
    "CAST": convert_cast,
    "QUANTIZE": convert_quantisation,
    "DEQUANTIZE": convert_quantisation,
    "RESHAPE": convert_reshape,
    "SQUEEZE": convert_squeeze,
    "EXPAND_DIMS": convert_expansion,
    "TRANSPOSE": convert_transpose,
    "CONCATENATION": convert_concatenation,
    "SPLIT": convert_split,
    "SPLIT_V": convert_split_by_size,
    "PACK": convert_pack,
    "UNPACK": convert_unpack,
    "GATHER": convert_gather,
    "SLICE": convert_slice,
    "STRIDED_SLICE": convert_slice,
    "DEPTH_TO_SPACE": convert_block_move,
    "SPACE_TO_DEPTH": convert_block_move,
    "RESIZE_BILINEAR": convert_resize,
    "RESIZE_NEAREST_NEIGHBOR": convert_resize,
}
# Carried over only as constants, or as part of a dilated convolution.
KNOWN = {*OPERATORS, *FOLDS, "BATCH_TO_SPACE_ND"}
