"""What the tests of the OpenVINO converter share: small models, and their conversion."""

from collections.abc import Callable
from typing import Any

import numpy as np
import openvino
import openvino.opset13 as ops

from sightline.compiler.importers.importer import ImportOptions
from sightline.compiler.importers.openvino.graph import ConvertedModel, convert_model

Node = Any


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(7).normal(size=shape).astype(np.float32)


def constant(values: Any, kind: Any = np.float32) -> Node:
    return ops.constant(np.asarray(values, kind))


def whole(*values: int) -> Node:
    return ops.constant(np.array(values, np.int64))


def make_model(build: Callable[[Node], Any], shape: tuple[int, ...] = (1, 6, 9, 8), layout: str = "NCHW") -> Any:
    picture = ops.parameter(list(shape), np.float32, name="picture")
    picture.set_layout(openvino.Layout(layout))
    made = build(picture)
    outputs = made if isinstance(made, list) else [made]
    return openvino.Model([ops.result(output, name=f"out{index}") for index, output in enumerate(outputs)], [picture], "net")


def convert(model: Any, **options: Any) -> ConvertedModel:
    return convert_model(model, ImportOptions(**options), "net")


def list_kinds(converted: ConvertedModel) -> list[str]:
    return [node.op_type for node in converted.graph.graph.node]
