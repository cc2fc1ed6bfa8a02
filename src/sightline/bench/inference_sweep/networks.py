"""The networks of an inference sweep: one engine file for each precision asked for, or a refusal in one line.

A Model runs in the floating-point precisions from its own graph, and in INT8 from a twin that the compiler's quantiser makes
here. An Artifact was compiled to one precision and runs in that one.
"""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sightline.bench.inference_sweep.pictures import CalibrationPictures
from sightline.bench.inference_sweep.records import CalibrationFacts
from sightline.core.errors import InvalidInput, Unsupported
from sightline.core.extras import check_packages
from sightline.core.folders import verify_files
from sightline.core.manifests import ArtifactManifest, ModelManifest, Precision
from sightline.runtime.backend import Session, SessionOptions
from sightline.runtime.backends.table import load_backend
from sightline.runtime.devices import has_speed
from sightline.runtime.predictor import DEFAULT_ENGINE, MODEL_GRAPH, check_graph

if TYPE_CHECKING:
    from sightline.compiler.quantisers.quantiser import QuantiserFacts

Manifest = ModelManifest | ArtifactManifest


@dataclass(frozen=True)
class SweepNetwork:
    """A graph file and how it is run: one inference at a time, on all threads."""

    precision: Precision
    engine: str
    graph: Path
    threads: int

    def open(self) -> Session:
        """Open it in its engine. Raises: Unsupported, InvalidInput."""
        return load_backend(self.engine).open(self.graph, SessionOptions(self.precision, 1, self.threads))


def settle_precisions(manifest: Manifest, engine: str | None, wanted: Sequence[Precision]) -> tuple[str, tuple[Precision, ...]]:
    """The engine, and the precisions to measure in it.

    Args:
        engine: None takes an Artifact's own, OpenVINO for a Model.
        wanted: in the order to show them; empty takes an Artifact's own, FP32 for a Model.

    Raises: Unsupported for a precision that this network or this machine does not have; NotFound, MissingPackage.
    """
    own = manifest.precision
    is_fixed = isinstance(manifest, ArtifactManifest) or own == "int8"
    if isinstance(manifest, ArtifactManifest):
        engine = engine or manifest.engine
    chosen = engine or DEFAULT_ENGINE
    precisions = tuple(wanted) or (own,)
    if is_fixed and set(precisions) != {own}:
        others = ", ".join(precision for precision in precisions if precision != own)
        is_compiled = isinstance(manifest, ArtifactManifest)
        how = "compiled to" if is_compiled else "imported in"
        remedy = "measure its Model, named by its folder" if is_compiled else "measure a Model that was not quantised"
        raise Unsupported(
            f"{manifest.name} was {how} {own} and runs in no other precision, got {others}; leave `precisions` out, or {remedy}"
        )
    backend = load_backend(chosen)
    device = manifest.device if isinstance(manifest, ArtifactManifest) else backend.device
    if not has_speed(device):
        raise Unsupported(
            f"{chosen} emulates its device: it says what the numbers will be, not how fast; choose another `engine`"
        )
    available = backend.precisions
    lacking = [precision for precision in precisions if precision not in available]
    if lacking:
        raise Unsupported(
            f"{chosen} runs {', '.join(available)} on this machine, got {', '.join(lacking)}; "
            "leave it out of `precisions` or choose another `engine`"
        )
    return chosen, precisions


def needs_calibration(manifest: Manifest, precisions: Sequence[Precision]) -> bool:
    """Whether an INT8 twin must be made first."""
    return "int8" in precisions and manifest.precision != "int8"


def make_networks(
    folder: Path,
    manifest: Manifest,
    engine: str,
    *,
    precisions: Sequence[Precision],
    threads: int,
    calibration: CalibrationPictures | None,
    work: Path,
) -> tuple[list[SweepNetwork], CalibrationFacts | None]:
    """The network in each precision, and how its INT8 twin was made.

    Args:
        calibration: pictures to quantise a Model with; None when nothing is to be quantised.
        work: folder for the files of the twin, which must stay as long as the networks are used.

    Raises: Unsupported, MissingPackage, NotFound, CorruptFile.
    """
    verify_files(folder, manifest.files)
    graph = folder / (manifest.graph_file if isinstance(manifest, ArtifactManifest) else MODEL_GRAPH)
    networks, facts = [], None
    for precision in precisions:
        network = SweepNetwork(precision, engine, graph, threads)
        if precision == "int8" and calibration is not None:
            network, made = quantise_network(network, manifest, calibration.samples, work)
            facts = CalibrationFacts(
                quantiser=made.quantiser,
                package=made.package,
                images=made.images,
                source=calibration.source,
                batches=calibration.batches,
                first_batch=calibration.first_batch,
            )
        networks.append(network)
    return networks, facts


def quantise_network(
    network: SweepNetwork, manifest: Manifest, samples: Sequence[np.ndarray], work: Path
) -> tuple[SweepNetwork, "QuantiserFacts"]:
    """The INT8 twin by the first quantiser whose file this engine runs.

    Raises: MissingPackage without the compiler's packages; Unsupported with each quantiser's reason.
    """
    check_packages("quantising a Model", ["onnx"], "compile")
    from sightline.compiler.graphs import load_graph, save_graph
    from sightline.compiler.quantisers.table import FIRST_QUANTISERS, load_quantiser

    source, reasons = work / "fp32.onnx", []
    save_graph(load_graph(network.graph), source)
    for name in FIRST_QUANTISERS:
        twin = replace(network, graph=work / f"int8.{name}.onnx")
        try:
            quantiser = load_quantiser(name)
            if quantiser.continues is not None:
                continue
            facts = quantiser.quantise(source, twin.graph, manifest.input.name, samples)
            check_network(twin, manifest, samples[0])
        except (Unsupported, InvalidInput) as error:
            reasons.append(str(error))
        else:
            return twin, facts
    raise Unsupported(f"{manifest.name} has no INT8 in {network.engine}: {'; '.join(reasons)}; leave int8 out of `precisions`")


def check_network(network: SweepNetwork, manifest: Manifest, sample: np.ndarray) -> None:
    """Open it and run it once. Raises: Unsupported, InvalidInput with the engine's reason."""
    with closing(network.open()) as session:
        check_graph(session, manifest)
        session.infer({manifest.input.name: sample})
