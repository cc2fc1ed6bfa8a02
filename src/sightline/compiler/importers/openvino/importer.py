"""Import an OpenVINO IR: an `.xml` with the graph and a `.bin` with the weights beside it.

OpenVINO reads it, `openvino.graph` converts it, and OpenVINO's own CPU run of the file is what the result is compared with. A
file written by our own `compile` comes back with the preprocessing it was written with.
"""

import importlib.util
from pathlib import Path
from typing import Any

from sightline.compiler.importers.importer import ImportedGraph, ImportOptions
from sightline.compiler.importers.openvino.files import find_files, is_ir
from sightline.compiler.importers.openvino.graph import convert_model
from sightline.compiler.importers.openvino.info import state_input
from sightline.compiler.importers.openvino.source import OpenvinoSource
from sightline.core.errors import InvalidInput
from sightline.runtime.telemetry import silence_telemetry


class OpenvinoImporter:
    """OpenVINO IR, version 10 and later."""

    name = "openvino"
    description = "OpenVINO IR: an .xml file and the .bin file beside it"

    def detect(self, path: Path) -> bool:
        """An `.xml` that opens with a `net` element, or the `.bin` beside one."""
        return is_ir(path)

    def missing(self) -> str | None:
        """What must be installed, or None."""
        return None if importlib.util.find_spec("openvino") else "OpenVINO is not installed; pip install openvino"

    def read(self, path: Path, options: ImportOptions) -> ImportedGraph:
        """Read either of the two files. Raises: InvalidInput, NotFound, Unsupported as in `Importer.read`."""
        xml, weights = find_files(path, None if options.weights is None else Path(options.weights))
        model = read_model(xml, weights)
        converted = convert_model(model, options, xml.stem)
        stated, categories, notes = state_input(model, converted.picture)
        return ImportedGraph(
            framework=self.name,
            graph=converted.graph,
            stated=stated,
            source=OpenvinoSource(converted, is_own_framework=True),
            files=(xml, weights),
            precision=converted.precision,
            categories=categories,
            notes=(*notes, *converted.notes),
        )


def read_model(path: Path, weights: Path | None = None) -> Any:
    """An openvino.Model from a file its front ends know. Raises: InvalidInput with OpenVINO's reason in one line."""
    silence_telemetry()
    import openvino

    try:
        core = openvino.Core()
        return core.read_model(path) if weights is None else core.read_model(path, weights)
    except (RuntimeError, OverflowError, ValueError) as error:
        raise InvalidInput(f"OpenVINO cannot read {path.name}, the file may be damaged: {shorten(error)}") from error


def shorten(error: Exception) -> str:
    """The reason at the end of OpenVINO's message, in one line, without the places in its source."""
    lines = [line.strip() for line in str(error).splitlines()]
    said = [line for line in lines if line and not line.startswith(("Exception from", "Check '"))]
    return " ".join(said or lines)[:300]
