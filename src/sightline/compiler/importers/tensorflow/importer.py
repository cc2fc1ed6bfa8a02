"""Import TensorFlow: a frozen graph (`.pb`) or a SavedModel (a folder, or the `saved_model.pb` in it).

OpenVINO's TensorFlow front end reads both without TensorFlow and moves convolutions to NCHW; `openvino.graph` converts what it
makes. Where TensorFlow is installed, the result is compared with TensorFlow's own run, else with OpenVINO's. The graph takes
NCHW and gives maps as NCHW, whatever layout the file has. The front end loses the names of layers whose layout it moves: they
are numbered by their kind.
"""

import importlib.util
from collections import Counter
from pathlib import Path
from typing import Any

from sightline.compiler.importers.importer import ImportedGraph, ImportOptions, SourceNetwork, StatedInput
from sightline.compiler.importers.openvino.graph import ConvertedModel, convert_model
from sightline.compiler.importers.openvino.importer import OpenvinoImporter, read_model
from sightline.compiler.importers.openvino.probe import check_readable
from sightline.compiler.importers.openvino.source import OpenvinoSource
from sightline.compiler.importers.tensorflow.files import Summary, find_saved_model, list_files, looks_frozen, summarise
from sightline.compiler.importers.tensorflow.source import TensorflowSource
from sightline.core.errors import Unsupported

CONVOLUTIONS = {"Conv2D", "Conv2DBackpropInput", "DepthwiseConv2dNative", "DepthwiseConv2DNative", "FusedConv2D"}


class TensorflowImporter:
    """TensorFlow frozen graphs and SavedModels of TensorFlow 1 and 2."""

    name = "tensorflow"
    description = "TensorFlow: a frozen graph (.pb) or a SavedModel folder"

    def detect(self, path: Path) -> bool:
        """A folder with a saved_model.pb, that file, or a `.pb` that starts as a graph does."""
        try:
            return find_saved_model(path) is not None or looks_frozen(path)
        except OSError:
            return False

    def missing(self) -> str | None:
        """What must be installed, or None; TensorFlow itself is not needed to read."""
        return OpenvinoImporter().missing()

    def read(self, path: Path, options: ImportOptions) -> ImportedGraph:
        """Read either form. Raises: InvalidInput, NotFound, Unsupported as in `Importer.read`."""
        network = find_saved_model(path) or path
        files, summary = list_files(path), summarise(path)
        check_pictures(summary)
        check_readable(network)
        model = read_model(network)
        name_nodes(model)
        converted = convert_model(model, options, network.stem)
        return ImportedGraph(
            framework=self.name,
            graph=converted.graph,
            stated=StatedInput(colour="GRAY" if converted.picture.channels == 1 else None),
            source=make_source(network, summary, converted),
            files=files,
            precision=converted.precision,
            notes=converted.notes,
        )


def check_pictures(summary: Summary) -> None:
    """Refuse what is no vision network before any framework opens it. Raises: Unsupported."""
    ranks = [None if shape is None else len(shape) for shape in summary.inputs.values()]
    if 4 in ranks or (None in ranks and summary.operations & CONVOLUTIONS):
        return
    said = ", ".join(f"{name} {'of unknown shape' if shape is None else shape}" for name, shape in summary.inputs.items())
    convolutions = "" if summary.operations & CONVOLUTIONS else " and no convolution"
    raise Unsupported(f"expected a vision network with a picture input (N, H, W, C), got inputs {said or 'none'}{convolutions}")


def name_nodes(model: Any) -> None:
    """Give nodes that the front end left without a TensorFlow name one that is the same for every import: "Relu_3"."""
    nodes = model.get_ordered_ops()
    taken = {str(node.get_friendly_name()) for node in nodes if _find_tensor(node)}
    counts: Counter[str] = Counter()
    for node in nodes:
        if node.get_type_name() in ("Parameter", "Result") or _find_tensor(node):
            continue
        kind = str(node.get_type_name())
        counts[kind] += 1
        while f"{kind}_{counts[kind]}" in taken:
            counts[kind] += 1
        node.set_friendly_name(f"{kind}_{counts[kind]}")


def make_source(network: Path, summary: Summary, converted: ConvertedModel) -> SourceNetwork:
    """TensorFlow where it is installed, else OpenVINO's run of what its front end read."""
    if importlib.util.find_spec("tensorflow") is None:
        return OpenvinoSource(converted, is_own_framework=False)
    layers = {
        str(node.get_friendly_name()): tensor for node in converted.model.get_ordered_ops() if (tensor := _find_tensor(node))
    }
    return TensorflowSource(network, summary.signature, converted.picture.nhwc, converted.outputs, layers)


def _find_tensor(node: Any) -> str | None:
    """TensorFlow's name of a node's first output: "block/Relu:0"; None where the front end lost it."""
    if node.get_type_name() == "Constant" or not node.get_output_size():
        return None
    names = sorted(str(name) for name in node.output(0).get_names())
    return next((name for name in names if name.removesuffix(":0") == node.get_friendly_name()), names[0] if names else None)
