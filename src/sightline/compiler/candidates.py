"""Candidates: every (graph file, engine, precision) that could become the Artifact, each as the very file that would ship."""

import shutil
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from sightline.compiler.openvino_files import write_ir
from sightline.compiler.quantisers.quantiser import Guide, NothingToAdd, Quantiser, QuantiserFacts
from sightline.compiler.quantisers.table import load_quantiser
from sightline.core.errors import (
    CorruptFile,
    Exhausted,
    ImageTooLarge,
    InvalidInput,
    MissingPackage,
    UnreadableImage,
    Unsupported,
)
from sightline.core.manifests import ModelManifest, Precision
from sightline.runtime.backend import Session, SessionOptions
from sightline.runtime.backends.table import load_backend
from sightline.runtime.graph_files import list_graph_files

REFERENCE = "reference"


class CandidateRefusal(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was not tried, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Candidate:
    """One way to run the network.

    Attributes:
        engine: name of the back end.
        precision: of its arithmetic.
        quantiser: method that made the INT8 file, or None.
        graph: file the engine opens.
        source: the ONNX file it came from; the same file for ONNX Runtime.
        facts: what the quantiser did, or None.
    """

    engine: str
    precision: Precision
    quantiser: str | None
    graph: Path
    source: Path
    facts: QuantiserFacts | None = None

    @property
    def name(self) -> str:
        """For people: "openvino int8 nncf"."""
        return " ".join(part for part in (self.engine, self.precision, self.quantiser) if part)

    @property
    def files(self) -> list[Path]:
        """All files the engine needs, the graph first."""
        return list_graph_files(self.graph)

    @property
    def size_bytes(self) -> int:
        """Size of its files."""
        return sum(path.stat().st_size for path in self.files)

    def open(self, streams: int, threads: int, profile: bool = False) -> Session:
        """Open it in its engine."""
        return load_backend(self.engine).open(self.graph, SessionOptions(self.precision, streams, threads, profile))


def make_plain_candidates(
    source: Path, manifest: ModelManifest, engines: Sequence[str]
) -> tuple[list[Candidate], list[CandidateRefusal]]:
    """The network as it is on each engine: in FP32 and, where the machine has it, FP16 and BF16; or in INT8 when it came so.

    An engine that is not here or cannot read the graph is refused.
    """
    candidates, refusals = [], []
    for engine in engines:
        try:
            graph = make_engine_file(engine, source, manifest)
        except (InvalidInput, MissingPackage, Unsupported) as error:
            refusals.append(CandidateRefusal(name=engine, reason=str(error)))
            continue
        known = load_backend(engine).precisions
        wanted: tuple[Precision, ...] = ("int8",) if manifest.precision == "int8" else ("fp16", "bf16", "fp32")
        candidates += [Candidate(engine, precision, None, graph, source) for precision in wanted if precision in known]
    return candidates, refusals


def make_int8_candidates(
    quantiser: str,
    source: Path,
    manifest: ModelManifest,
    engines: Sequence[str],
    samples: Sequence[np.ndarray],
    guide: Guide | None = None,
) -> tuple[list[Candidate], list[CandidateRefusal]]:
    """INT8 by one quantiser on each engine that runs INT8; a quantiser or engine that cannot is refused with its reason."""
    quantised = name_int8_file(source, quantiser)
    try:
        tool = load_quantiser(quantiser)
        facts = tool.quantise(find_start(source, tool), quantised, manifest.input.name, samples, guide)
    except NothingToAdd:
        return [], []
    except (UnreadableImage, ImageTooLarge, CorruptFile):
        raise  # the fault of a picture, not of the quantiser that was the first to read it
    except (InvalidInput, Unsupported, Exhausted) as error:
        return [], [CandidateRefusal(name=f"quantiser {quantiser}", reason=str(error))]
    candidates, refusals = [], []
    for engine in engines:
        if "int8" not in load_backend(engine).precisions:
            continue
        try:
            graph = make_engine_file(engine, quantised, manifest)
        except InvalidInput as error:
            refusals.append(CandidateRefusal(name=f"{engine} int8 {quantiser}", reason=str(error)))
        else:
            candidates.append(Candidate(engine, "int8", quantiser, graph, quantised, facts))
    return candidates, refusals


def name_int8_file(source: Path, quantiser: str) -> Path:
    """Where a quantiser's file lies beside the FP32 graph."""
    return source.with_name(f"int8.{quantiser}.onnx")


def find_start(source: Path, quantiser: Quantiser) -> Path:
    """The file that a quantiser starts from. Raises: NothingToAdd when the one it continues made none."""
    if quantiser.continues is None:
        return source
    start = name_int8_file(source, quantiser.continues)
    if not start.exists():
        raise NothingToAdd(f"{quantiser.name} goes on from the file of {quantiser.continues}, which made none")
    return start


def split_runnable(
    candidates: Sequence[Candidate], input_name: str, sample: np.ndarray
) -> tuple[list[Candidate], list[CandidateRefusal]]:
    """Run each candidate once; one that its engine cannot open or run, or has no memory for, is refused with its reason.

    For example, ONNX Runtime has no kernel for the activations that NNCF quantises channel by channel before a depthwise
    convolution, and says so only when it runs.
    """
    runnable, refusals = [], []
    for candidate in candidates:
        try:
            with closing(candidate.open(1, 1)) as session:
                session.infer({input_name: sample})
        except (Exhausted, InvalidInput, Unsupported) as error:
            refusals.append(CandidateRefusal(name=candidate.name, reason=str(error)))
        else:
            runnable.append(candidate)
    return runnable, refusals


def make_engine_file(engine: str, source: Path, manifest: ModelManifest) -> Path:
    """The file `engine` opens, made from an ONNX file: OpenVINO's own IR where it reads that, else the ONNX file itself.

    Raises: InvalidInput when the engine cannot read the ONNX file.
    """
    if ".xml" not in load_backend(engine).graph_suffixes:
        return source
    graph = source.with_suffix(".xml")
    write_ir(source, graph, manifest)
    return graph


def copy_files(candidate: Candidate, folder: Path) -> str:
    """Copy a candidate's files into an Artifact folder; returns the name of the graph file.

    A file and its weights become `model.*`; files that name each other keep their names and places.
    """
    if candidate.graph.suffix != ".json":
        for path in candidate.files:
            shutil.copyfile(path, folder / f"model{path.suffix}")
        return f"model{candidate.graph.suffix}"
    for path in candidate.files:
        target = folder / path.relative_to(candidate.graph.parent)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    return candidate.graph.name
