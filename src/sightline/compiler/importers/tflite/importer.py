"""TensorFlow Lite: float and fully quantised `.tflite` files become ONNX, the quantised ones with their own scales.

A fully quantised file was trained or calibrated for its integers already, so it stays INT8: the graph has QuantizeLinear and
DequantizeLinear with the file's scales and zero points wherever the file stores 8 bits, and engines run that in integers.
Results differ from TensorFlow Lite's own integer kernels in the last step here and there, because each rounds in its own way.
"""

import importlib.util
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from sightline.compiler.importers.importer import ImportedGraph, ImportOptions
from sightline.compiler.importers.tflite.files import IDENTIFIER, TfliteFile, guard_damage, read_tflite
from sightline.compiler.importers.tflite.folding import fold_operator
from sightline.compiler.importers.tflite.graph import GraphBuilder, Shape
from sightline.compiler.importers.tflite.metadata import read_categories, read_metadata, state_input
from sightline.compiler.importers.tflite.operators import KNOWN, OPERATORS
from sightline.compiler.importers.tflite.source import open_source
from sightline.core.errors import InvalidInput, NotFound, Unsupported
from sightline.core.manifests import Precision

MAX_SIDE = 8192  # of a picture, pixels
PICTURE_KINDS = ("FLOAT32", "UINT8", "INT8")
AXIS_NOTE = "scales of vectors are stated on an axis they do not have, as old converters did; taken as their only axis"
INT16_NOTE = "16-bit activations are run in float32"


class TfliteImporter:
    """Reads TensorFlow Lite's flatbuffers."""

    name = "tflite"
    description = "TensorFlow Lite and LiteRT networks (.tflite), float or fully quantised to 8 bits"

    def detect(self, path: Path) -> bool:
        """Whether the file has the identifier TFL3 behind its first offset."""
        try:
            with path.open("rb") as file:
                return file.read(8)[4:8] == IDENTIFIER
        except OSError:
            return False

    def missing(self) -> str | None:
        """What must be installed, or None."""
        if importlib.util.find_spec("tflite"):
            return None
        return "reading .tflite files needs the published schema; pip install 'sightline[tflite]'"

    def read(self, path: Path, options: ImportOptions) -> ImportedGraph:
        """Read a file. Raises: NotFound, InvalidInput, Unsupported, MissingPackage."""
        if not path.is_file():
            raise NotFound(f"expected a .tflite file, got {path}; check the path")
        file = read_tflite(path)
        shape = find_picture_shape(file, options)
        wanted = choose_outputs(file, options.outputs)
        builder = guard_damage(path, lambda: build_graph(wanted, shape))
        graph = builder.finish(f"TensorFlow Lite network {path.name}")
        metadata, notes = read_metadata(file)
        outputs = {name: (index, builder.output_layout(index)) for name, index in builder.output_names.items()}
        last = builder.shape(wanted.outputs[0])
        return ImportedGraph(
            framework=self.name,
            graph=graph,
            stated=state_input(file, metadata, shape[3]),
            source=open_source(file, shape, outputs, builder.layers),
            files=(path,),
            precision=find_precision(file),
            categories=read_categories(file, metadata, last[-1]) if len(wanted.outputs) == 1 and last else None,
            notes=(*builder.notes, *notes),
        )


def find_picture_shape(file: TfliteFile, options: ImportOptions) -> Shape:
    """Shape `(1, H, W, C)` of the picture. Raises: Unsupported, with every reason, when the network takes none."""
    unknown = sorted({operator.kind for operator in file.operators} - KNOWN)
    reasons = [f"its operators {', '.join(unknown)} are not known here"] if unknown else []
    inputs = [file.tensors[index] for index in file.inputs]
    shape = inputs[0].shape if len(inputs) == 1 else ()
    if len(inputs) != 1:
        reasons.append(f"it has {len(inputs)} inputs")
    elif len(shape) != 4 or shape[0] != 1 or shape[3] not in (1, 3):
        reasons.append(f"its input is {shape}, no picture (1, H, W, 1 or 3)")
    elif inputs[0].kind not in PICTURE_KINDS:
        reasons.append(f"its input is of {inputs[0].kind}")
    if reasons:
        raise Unsupported(f"expected a vision network we can carry over, got {file.path.name}: {'; '.join(reasons)}")
    sizes = [wanted or stated for wanted, stated in zip((options.height, options.width), shape[1:3], strict=True)]
    if not inputs[0].is_free and tuple(sizes) != shape[1:3]:
        raise InvalidInput(f"{file.path.name} takes {shape[2]} x {shape[1]} pixels, got {sizes[1]} x {sizes[0]}; leave it out")
    if inputs[0].is_free and not (options.width and options.height):
        raise InvalidInput(f"{file.path.name} takes pictures of any size; state width and height")
    if not all(1 <= size <= MAX_SIDE for size in sizes):
        raise InvalidInput(f"expected a picture of 1 to {MAX_SIDE} pixels a side, got {sizes[1]} x {sizes[0]}")
    return (1, sizes[0], sizes[1], shape[3])


def choose_outputs(file: TfliteFile, names: Iterable[str]) -> TfliteFile:
    """The file ending at the tensors of these names; at its own outputs when there are none. Raises: NotFound."""
    chosen = []
    for name in names:
        places = [index for index, tensor in enumerate(file.tensors) if tensor.name == name and tensor.data is None]
        if not places:
            raise NotFound(f"{file.path.name} computes no tensor {name!r}; take a name of its layers")
        chosen.append(places[0])
    return replace(file, outputs=tuple(chosen)) if chosen else file


def build_graph(file: TfliteFile, shape: Shape) -> GraphBuilder:
    """All operators carried over, in the file's order, which is one in which they can run."""
    builder = GraphBuilder(file, shape)
    for operator in file.operators:
        if operator.outputs[0] in builder.absorbed or fold_operator(builder, operator):
            continue
        OPERATORS[operator.kind](builder, operator)
    if file.wrong_axes:
        builder.notes[AXIS_NOTE] = None
    if any(tensor.kind == "INT16" and tensor.quantisation is not None for tensor in file.tensors):
        builder.notes[INT16_NOTE] = None
    return builder


def find_precision(file: TfliteFile) -> Precision:
    """INT8 when values, and not weights alone, are stored in 8 bits between the layers."""
    computed = [file.tensors[index] for operator in file.operators for index in operator.outputs]
    return (
        "int8" if any(tensor.quantisation is not None and tensor.kind in ("UINT8", "INT8") for tensor in computed) else "fp32"
    )
