"""Import a Caffe network: prototxt and caffemodel, by our own reader of the published schema (caffe.proto), into ONNX.

`caffe.text` and `caffe.wire` read the two files, `caffe.network` makes of them the layers that answer a request,
`caffe.folding` folds batch norms, `caffe.layers` writes ONNX, `caffe.priors` turns SSD's last layers into a decode head, and
`caffe.source` runs the same network in OpenCV.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from sightline.compiler.importers.caffe.folding import check_blobs, fold_layers
from sightline.compiler.importers.caffe.input import choose_shape, read_stated
from sightline.compiler.importers.caffe.layers import WrittenGraph, check_types, write_graph
from sightline.compiler.importers.caffe.network import Layer, Network, Value, attach_weights, prune_layers, read_network
from sightline.compiler.importers.caffe.priors import Detection, list_detections, list_prior_layers, make_decode
from sightline.compiler.importers.caffe.source import CaffeSource
from sightline.compiler.importers.caffe.wire import read_weights
from sightline.compiler.importers.importer import ImportedGraph, ImportOptions
from sightline.core.errors import InvalidInput, NotFound
from sightline.core.manifests import DecodeSpec

PROTOTXT = (".prototxt", ".prototxt.txt")
CAFFEMODEL = (".caffemodel",)
MOST_BYTES = 2**31 - 1  # protobuf's own limit
SNIFFED_BYTES = 2**16
NET_WORDS = re.compile(rb"^\s*(?:layers?\s*:?\s*\{|input\s*:|input_dim\s*:)", re.MULTILINE)
FIRST_TAGS = (b"\x0a", b"\x12", b"\xa2\x06")  # of a caffemodel: its name, a V1 layer, a V2 layer


class CaffeImporter:
    """Caffe networks of the V1 and V2 schema."""

    name = "caffe"
    description = "Caffe: .prototxt with .caffemodel"

    def detect(self, path: Path) -> bool:
        """By the name, and a layer or an input in the text, or a first field of a net in the weights."""
        try:
            if not path.is_file():
                return False
            with path.open("rb") as file:
                start = file.read(SNIFFED_BYTES)
        except OSError:
            return False
        if _has_suffix(path, CAFFEMODEL):
            return start.startswith(FIRST_TAGS)
        return _has_suffix(path, PROTOTXT) and NET_WORDS.search(start) is not None

    def missing(self) -> str | None:
        """Nothing: OpenCV, which runs the source, is always installed."""
        return None

    def read(self, path: Path, options: ImportOptions) -> ImportedGraph:
        """Read a prototxt or a caffemodel; the other one is `options.weights`, or lies beside it.

        Raises: InvalidInput for damaged files or ones that do not fit each other; NotFound when the other file or an output is
            not there; Unsupported for layers or inputs that cannot be carried over, all of them named.
        """
        prototxt, caffemodel = find_files(path, None if options.weights is None else Path(options.weights))
        network = read_network(_read_file(prototxt))
        outputs, detection = _choose_outputs(network, options.outputs)
        layers = prune_layers(network.layers, outputs)
        check_types(layers)
        content = _read_file(caffemodel)
        layers = attach_weights(layers, read_weights(content))
        check_blobs(layers)
        shape = choose_shape(network, layers, options)
        priors = list_prior_layers(network, detection) if detection else []
        kept = {*outputs, *(value for layer in priors for value in layer.reads)}
        written = write_graph(network, fold_layers(layers, kept), outputs, shape)
        decode, notes = _read_decode(detection, priors, written, shape)
        stated, input_notes = read_stated(network, shape[0], prototxt.parent)
        return ImportedGraph(
            framework=self.name,
            graph=written.graph,
            stated=stated,
            source=CaffeSource(network, layers, written.tensors, outputs, content),
            files=(path, caffemodel if path == prototxt else prototxt),
            decode=decode,
            notes=(*network.notes, *_note_statistics(layers), *input_notes, *notes),
        )


def find_files(path: Path, other: Path | None) -> tuple[Path, Path]:
    """The prototxt and the caffemodel, given one of them and perhaps the other.

    Raises: NotFound when there is none beside it, or several of other names.
    """
    if _has_suffix(path, CAFFEMODEL):
        return other or _find_beside(path, PROTOTXT, "prototxt"), path
    return path, other or _find_beside(path, CAFFEMODEL, "caffemodel")


def _find_beside(path: Path, suffixes: tuple[str, ...], noun: str) -> Path:
    """The file of the same stem, else the only network of that kind in the folder."""
    importer = CaffeImporter()
    found = sorted(one for one in path.parent.iterdir() if _has_suffix(one, suffixes) and importer.detect(one))
    same = [one for one in found if _stem(one) == _stem(path)]
    if same or len(found) == 1:
        return (same or found)[0]
    names = ", ".join(one.name for one in found) or "none"
    raise NotFound(f"expected one {noun} beside {path.name}, found {names}; name the one that belongs to it as weights")


def _choose_outputs(network: Network, names: Sequence[str]) -> tuple[list[Value], Detection | None]:
    """The values to end the graph at, and the DetectionOutput that reads them, if one does.

    Raises: NotFound for a name no tensor has; InvalidInput for a network without outputs.
    """
    if missing := [name for name in names if name not in network.blobs]:
        known = ", ".join([*network.blobs][-20:])
        raise NotFound(f"no tensor {', '.join(missing)} in the network; the last ones are {known}")
    detections = list_detections(network)
    if names:
        chosen = list(dict.fromkeys(network.blobs[name] for name in names))
        return chosen, next((one for one in detections if {one.offsets, one.confidences} <= {*chosen}), None)
    if len(detections) == 1:
        return [detections[0].offsets, detections[0].confidences], detections[0]
    if outputs := network.unread():
        return outputs, None
    raise InvalidInput("the prototxt has no layer that gives an output; is it a training net with its last layer missing?")


def _read_decode(
    detection: Detection | None, priors: Sequence[Layer], written: WrittenGraph, shape: tuple[int, int, int]
) -> tuple[DecodeSpec | None, tuple[str, ...]]:
    """The decode head of an SSD net and notes on it."""
    if detection is None:
        return None, ()
    decode, reason = make_decode(detection, priors, written.tensors, shape)
    if decode is None:
        return None, (f"{reason}: the outputs are raw tensors",)
    return decode, (f"{detection.layer.name} (DetectionOutput) and its prior boxes became the decode head {decode.head}",)


def _note_statistics(layers: Sequence[Layer]) -> tuple[str, ...]:
    """Whether a batch norm asks for the statistics of each batch, which no deployed network should."""
    names = [
        layer.name
        for layer in layers
        if layer.type == "BatchNorm" and not layer.param("batch_norm_param").flag("use_global_stats", True)
    ]
    if not names:
        return ()
    return (f"{len(names)} batch norms ({names[0]}, ...) ask for each batch's statistics; the stored ones are used",)


def _read_file(path: Path) -> bytes:
    if not path.is_file():
        raise NotFound(f"no file {path}; check the path")
    if path.stat().st_size > MOST_BYTES:
        raise InvalidInput(f"expected at most {MOST_BYTES} bytes, as protobuf allows, got {path}; is it a Caffe file?")
    return path.read_bytes()


def _has_suffix(path: Path, suffixes: tuple[str, ...]) -> bool:
    return path.name.lower().endswith(suffixes)


def _stem(path: Path) -> str:
    return path.name.lower().partition(".prototxt")[0].removesuffix(".caffemodel")
