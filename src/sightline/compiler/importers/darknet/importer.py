"""Import a Darknet network: a cfg names the layers, a weights file holds their numbers (Redmon; AlexeyAB's fork).

The graph ends at the raw maps that [yolo] or [region] layers read; what these layers do is the decode head "yolo". The files
lie side by side under one stem, unless the weights are named.
"""

import struct
from pathlib import Path

from sightline.compiler.importers.darknet.cfg import NET_KINDS, Section, read_cfg, render_cfg
from sightline.compiler.importers.darknet.decode import count_classes, describe_decoding, describe_resize, read_names
from sightline.compiler.importers.darknet.layers import find_problems, write_layer
from sightline.compiler.importers.darknet.network import DarknetNetwork, Tensor
from sightline.compiler.importers.darknet.source import DarknetSource
from sightline.compiler.importers.darknet.weights import TRANSPOSED, WeightReader
from sightline.compiler.importers.graph_writer import BATCH, GraphWriter
from sightline.compiler.importers.importer import Colour, ImportedGraph, ImportOptions, StatedInput
from sightline.core.errors import InvalidInput, NotFound, Unsupported
from sightline.core.manifests import ResizeRule

INPUT = "data"
MAX_SIDE = 8192
COLOURS: dict[int, Colour] = {1: "GRAY", 3: "RGB"}

BAND = 127  # value of the letterbox's bands: darknet fills them with 0.5


class DarknetImporter:
    """Reads cfg and weights."""

    name = "darknet"
    description = "Darknet cfg + weights: YOLO v2, v3, v4 and their tiny forms, Darknet-19 and -53 classifiers"

    def detect(self, path: Path) -> bool:
        """A `.cfg` that begins with [net], or `.weights` that begin with a version."""
        try:
            with path.open("rb") as file:
                head = file.read(4096)
        except OSError:
            return False
        if path.suffix == ".cfg":
            lines = ["".join(line.split()) for line in head.decode("utf-8", "replace").split("\n")]
            return next((line for line in lines if line and line[0] not in "#;"), "") in [f"[{kind}]" for kind in NET_KINDS]
        if path.suffix != ".weights" or len(head) < 16:
            return False
        return all(0 <= number <= 2 * TRANSPOSED for number in struct.unpack_from("<2i", head))

    def missing(self) -> str | None:
        """What must be installed, or None."""
        import cv2

        if not hasattr(cv2.dnn, "readNetFromDarknet"):
            return f"OpenCV {cv2.__version__} cannot read Darknet files; pip install 'opencv-python-headless<5'"
        return None

    def read(self, path: Path, options: ImportOptions) -> ImportedGraph:
        """Read cfg and weights, whichever of them `path` is. Raises: InvalidInput, NotFound, Unsupported."""
        cfg, weights = _find_files(path, options)
        net, sections = read_cfg(cfg)
        if problems := find_problems(sections):
            raise Unsupported(f"{cfg.name} has what we cannot carry over: {', '.join(problems)}")
        network = _write_network(cfg, weights, net, sections, options)
        outputs, decode = describe_decoding(network, sections[-1])
        names, notes = read_names(cfg, count_classes(network, outputs))
        resize, resize_notes = describe_resize(net, sections, decode)
        if options.outputs:
            outputs, decode = _choose_outputs(network, options.outputs), None
        graph = network.writer.finish({one.name: (BATCH, *one.shape) for one in outputs}, doc=f"from {cfg.name}")
        return ImportedGraph(
            framework=self.name,
            graph=graph,
            stated=_state_input(network.picture.channels, resize),
            source=_open_source(network, sections, weights, outputs),
            files=(path, *(file for file in (cfg, weights) if file != path)),
            categories=names,
            decode=decode,
            notes=(*notes, *resize_notes),
        )


def _find_files(path: Path, options: ImportOptions) -> tuple[Path, Path]:
    """The cfg and the weights. Raises: NotFound, InvalidInput."""
    is_weights = path.suffix == ".weights"
    cfg = path.with_suffix(".cfg") if is_weights else path
    weights = Path(options.weights or (path if is_weights else path.with_suffix(".weights")))
    for file, remedy in ((cfg, "put the cfg beside the weights, under their name"), (weights, "name the weights")):
        if not file.is_file():
            raise NotFound(f"expected {file.name} beside {path.name}, there is none; {remedy}")
    return cfg, weights


def _write_network(cfg: Path, weights: Path, net: Section, sections: list[Section], options: ImportOptions) -> DarknetNetwork:
    """All layers, written. Raises: InvalidInput, Unsupported."""
    width, height = (
        given if given is not None else net.get_int(key, 1, MAX_SIDE)
        for key, given in (("width", options.width), ("height", options.height))
    )
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        raise InvalidInput(f"expected an input of 1..{MAX_SIDE} pixels a side, got {width} x {height}")
    channels = net.get_int("channels", 1)
    if options.channels not in (None, channels):
        raise InvalidInput(f"expected {channels} input channels, as {cfg.name} says, got {options.channels}")
    if channels not in COLOURS:
        raise Unsupported(f"{cfg.name} wants pictures of {channels} channels; we can give 1 or 3")
    writer = GraphWriter(cfg.stem)
    picture = Tensor(writer.add_input(INPUT, (channels, height, width)), channels, height, width)
    network = DarknetNetwork(writer, WeightReader(weights), picture)
    for section in sections:
        write_layer(section, network)
    network.weights.finish()
    return network


def _open_source(network: DarknetNetwork, sections: list[Section], weights: Path, outputs: list[Tensor]) -> DarknetSource:
    picture = network.picture
    text = render_cfg(picture.width, picture.height, picture.channels, sections)
    return DarknetSource(text, weights, network.engine_layers, [one.name for one in outputs])


def _choose_outputs(network: DarknetNetwork, names: tuple[str, ...]) -> list[Tensor]:
    unknown = [name for name in names if name not in network.engine_layers]
    if unknown:
        raise NotFound(f"expected outputs among {', '.join(network.engine_layers)}, got {', '.join(unknown)}")
    return [network.engine_layers[name][1] for name in names]


def _state_input(channels: int, resize: ResizeRule | None) -> StatedInput:
    """Darknet gives its networks RGB of 0..1."""
    return StatedInput(
        colour=COLOURS[channels],
        mean=(0.0,) * channels,
        std=(255.0,) * channels,
        resize=resize,
        crop_fraction=1.0 if resize == "centre_crop" else None,
        pad_value=BAND if resize == "letterbox" else None,
    )
