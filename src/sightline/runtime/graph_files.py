"""Which files belong to a graph file: what must be copied, hashed and counted together with it."""

from pathlib import Path

import msgspec

from sightline.core.errors import InvalidInput
from sightline.runtime.backends.hetero import SUFFIX as HETERO_SUFFIX
from sightline.runtime.backends.hetero import HeteroNetwork
from sightline.runtime.backends.hls4ml.network import SUFFIX, FixedNetwork

PROJECT_SUFFIX = ".hls"  # folder of the HLS project beside a fixed-point network


def list_graph_files(graph: Path) -> list[Path]:
    """Every file that a graph file needs, itself first; they keep their names and places relative to it when they are copied.

    An OpenVINO `.xml` has its weights in a `.bin`, a fixed-point network its graph and its HLS project, a list of segments the
    files of each. Raises: InvalidInput for a `.json` that is neither.
    """
    if graph.suffix == ".xml":
        return [graph, graph.with_suffix(".bin")]
    if graph.suffix != ".json":
        return [graph]
    try:
        network = msgspec.json.decode(graph.read_bytes(), type=FixedNetwork | HeteroNetwork)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"cannot read {graph} as a network of this version: {error}; compile the Model again") from error
    if isinstance(network, HeteroNetwork):
        parts = dict.fromkeys(segment.file for segment in network.segments)
        if any(name.endswith(HETERO_SUFFIX) for name in parts):
            raise InvalidInput(f"expected files of single devices in {graph}, got a list of segments in it; compile again")
        return [graph, *(path for name in parts for path in list_graph_files(graph.with_name(Path(name).name)))]
    project = graph.with_name(graph.name.removesuffix(SUFFIX) + PROJECT_SUFFIX)
    written = sorted(path for path in project.rglob("*") if path.is_file())
    return [graph, graph.with_name(Path(network.graph_file).name), *written]
