"""ONNX files of any maker brought to our form: opset 17 or 18, float32, one picture input, any batch, all weights inside.

Two steps, used by other importers too: `normalise_graph` rewrites a checked model until it fits the seam and says in notes what
it changed; the importer adds what the file states in its metadata and the file itself as the source to compare with.
"""

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import msgspec
import onnx
from onnx import TensorProto, inliner

from sightline.compiler.graphs import find_opset
from sightline.compiler.importers.importer import ImportedGraph, ImportOptions
from sightline.compiler.importers.onnx import forms, quantised
from sightline.compiler.importers.onnx.batch import make_batch_dynamic
from sightline.compiler.importers.onnx.metadata import read_metadata
from sightline.compiler.importers.onnx.opset import convert_opset
from sightline.compiler.importers.onnx.picture import PictureInput, find_picture_input, fix_input
from sightline.compiler.importers.onnx.reading import check_model, looks_like_onnx, one_line, read_model
from sightline.compiler.importers.onnx.source import OnnxSource
from sightline.compiler.importers.onnx.stated_head import read_stated_head
from sightline.core.errors import InvalidInput
from sightline.core.manifests import Precision


class OnnxImporter:
    """Reads `.onnx` files."""

    name = "onnx"
    description = "ONNX files of any opset, float32, float16 or quantised (QDQ, QOperator)"

    def detect(self, path: Path) -> bool:
        """Whether name and first byte are an ONNX file's."""
        return looks_like_onnx(path)

    def missing(self) -> str | None:
        """Nothing: without onnx no importer is asked."""
        return None

    def read(self, path: Path, options: ImportOptions) -> ImportedGraph:
        """Read the network. Raises: InvalidInput, NotFound, Unsupported."""
        model = read_model(path)
        source = deepcopy(model)
        done = normalise_graph(model, options, path.name)
        metadata = {entry.key: entry.value for entry in source.metadata_props}
        stated, categories = read_metadata(metadata, done.picture.channels)
        decode = read_stated_head(metadata, done.rows, categories)
        if decode is not None and stated.resize is None:  # YOLOv5, whose metadata tell nothing of pictures
            stated = msgspec.structs.replace(stated, resize="letterbox")
        return ImportedGraph(
            framework=self.name,
            graph=done.graph,
            stated=stated,
            source=OnnxSource(source, done.picture.name, done.picture.batch, done.rows),
            files=(path,),
            precision=done.precision,
            categories=categories,
            decode=decode,
            notes=done.notes,
        )


@dataclass(frozen=True)
class NormalisedGraph:
    """A graph in our form.

    Attributes:
        graph: as the seam wants it.
        picture: its input.
        rows: shape of one picture's row of each output.
        precision: "int8" when the file was quantised already.
        notes: what was changed, a line each.
    """

    graph: onnx.ModelProto
    picture: PictureInput
    rows: dict[str, tuple[int, ...]]
    precision: Precision
    notes: tuple[str, ...]


def normalise_graph(model: onnx.ModelProto, options: ImportOptions, file_name: str) -> NormalisedGraph:
    """Bring a checked model to our form; the model given is changed.

    Raises: Unsupported for networks without one picture input, foreign operators, loops, a batch that cannot be freed;
        InvalidInput for a graph that contradicts itself or options that do not fit it.
    """
    notes: list[str] = []
    if model.functions:
        model = _inline_functions(model, file_name)
    forms.drop_weight_inputs(model)
    forms.name_nodes(model)
    forms.cut_outputs(model, options.outputs, file_name)
    forms.drop_weight_inputs(model)
    quantised.refuse_foreign_operators(model, file_name)
    forms.refuse_loops(model, file_name)
    picture = find_picture_input(model, options, file_name)
    fix_input(model, picture, picture.batch or 1)
    model = _widen_and_convert(model, picture, file_name, notes)
    precision: Precision = "int8" if quantised.is_quantised(model) else "fp32"
    kept = quantised.QUANTISE_PAIR if precision == "int8" else frozenset()
    if folded := forms.fold_constants(model, kept):
        notes.append(f"{folded} layers that do not depend on the picture were computed once and stored")
    if dropped := forms.drop_dropout(model):
        notes.append(f"{dropped} layers that do nothing in use (Dropout, Identity) were dropped")
    if mended := make_batch_dynamic(model, picture, file_name):
        notes.append(
            f"the batch was fixed to {picture.batch or 1} inside the network and is free now ({', '.join(mended[:3])} ...)"
        )
    _finish(model, file_name)
    rows = {value.name: tuple(size.dim_value for size in value.type.tensor_type.shape.dim[1:]) for value in model.graph.output}
    return NormalisedGraph(model, picture, rows, precision, tuple(notes))


def _inline_functions(model: onnx.ModelProto, file_name: str) -> onnx.ModelProto:
    try:
        return inliner.inline_local_functions(model)
    except (RuntimeError, ValueError) as error:
        raise InvalidInput(f"{file_name} defines functions that contradict themselves: {one_line(error)}") from error


def _widen_and_convert(model: onnx.ModelProto, picture: PictureInput, file_name: str, notes: list[str]) -> onnx.ModelProto:
    """To float32 and opset 17 or 18."""
    if forms.widen_halves(model):
        notes.append("16-bit float weights and layers were widened to float32")
    if picture.element_type not in (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16):
        kind = TensorProto.DataType.Name(picture.element_type).lower()
        forms.make_input_float(model, picture.name, picture.element_type)
        notes.append(f"the network takes {kind} pictures: they come as float32 and are cast in its first layer")
    before = find_opset(model)
    if written := quantised.write_standard_operators(model):
        notes.append(f"{written} quantised layers of ONNX Runtime's own were written in standard operators")
    model = convert_opset(model, file_name)
    after = model.opset_import[0].version
    if after != before:
        notes.append(f"opset {before} was converted to {after}")
    forms.name_nodes(model)
    if cast := forms.make_outputs_float(model):
        notes.append(f"outputs {', '.join(cast)} are whole numbers in the file and come as float32")
    return model


def _finish(model: onnx.ModelProto, file_name: str) -> None:
    model.producer_name = "sightline"
    model.producer_version = model.doc_string = model.graph.doc_string = ""
    del model.metadata_props[:]
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    check_model(model, file_name)
