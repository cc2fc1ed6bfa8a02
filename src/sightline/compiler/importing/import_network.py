"""`import_network`: from a network of any framework to a Model that is proven to compute the same.

read -> find its head and categories -> settle how pictures are fed -> compare with the source on pictures -> write. What was
stated by the file, what by the user and what was found out is all kept in the manifest.
"""

import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from sightline.compiler.graphs import save_graph
from sightline.compiler.importers.importer import ImportedGraph, ImportOptions, StatedInput
from sightline.compiler.importers.table import choose_importer
from sightline.compiler.importing.input_specs import (
    find_picture_input,
    make_input_spec,
    make_preset_input,
    merge_stated,
    orient_rgb,
    state_pixels,
    takes_whole_numbers,
)
from sightline.compiler.importing.output_heads import FoundHead, check_head, find_head, name_head, settle_categories
from sightline.compiler.importing.pictures import choose_import_pictures
from sightline.compiler.importing.preset_probe import ProbeRow, list_ways, probe_presets
from sightline.compiler.importing.verification import Verification, has_other_classes, verify_import
from sightline.compiler.request import check_place
from sightline.compiler.stages import Stages
from sightline.core.errors import InvalidInput
from sightline.core.folders import compute_file_hash, explain_full_disk, hash_files, new_folder, write_manifest
from sightline.core.host import describe_host, now_utc
from sightline.core.manifests import InputSpec, ModelManifest, compute_manifest_id
from sightline.core.percent import format_percent
from sightline.core.progress import OnProgress, ignore_progress
from sightline.core.shelving import shelve, stage
from sightline.core.workspace import StrPath, Workspace
from sightline.data.versions import DatasetVersion
from sightline.imaging.heads.decoding import TASK_OF_HEAD
from sightline.imaging.heads.pictures import write_pictures
from sightline.imaging.preprocessing import prepare_batch
from sightline.runtime.predictor import MODEL_GRAPH, open_predictor

VERIFIED_PICTURES = 16
MOST_INVERTED = 0.5  # of the boxes on one picture; corners are hardly ever inverted, offsets from priors in 19 of 20 places
STAGE_SHARES = {"reading the network": 4.0, "probing presets": 10.0, "comparing with the source": 8.0, "writing": 1.0}


@dataclass(frozen=True)
class ImportResult:
    """An imported Model.

    Attributes:
        folder, manifest: its folder, and its record: task, categories, input, decode and more.
        verification: what the comparison with the source found.
        probe: the ways of feeding that were tried, best first; empty without `probe`.
        notes: what was found or assumed, one line each.
    """

    folder: Path
    manifest: ModelManifest
    verification: Verification
    probe: list[ProbeRow]
    notes: list[str]

    def __repr__(self) -> str:
        return f"ImportResult({self.manifest.name!r}, {self.id[:12]}, {str(self.folder)!r}, task={self.manifest.task!r})"

    @property
    def id(self) -> str:
        """The Model's id, 64 hex digits."""
        return compute_manifest_id(self.manifest)


class Meaning(msgspec.Struct, frozen=True, kw_only=True):
    """What you know about a network beyond its file.

    Attributes:
        stated: parts of the input spec; they take precedence over the file's. Means and stds are for red, green, blue, whatever
            the network's channel order.
        preset: name of a usual input spec. It fills what neither you nor the file state, before what is published about the
            architecture does.
        categories: names of the outputs' classes, in order; they take precedence over the file's.
        background: the outputs' first class is a background that `categories` leaves out.
        head: name of the decode head; None finds it.
        head_parameters: numbers the head needs: anchors, priors, variances.
        confidence: predictions below it are dropped, 0..1; None takes the head's usual threshold.
    """

    stated: StatedInput = StatedInput()
    preset: str | None = None
    categories: Sequence[str] | None = None
    background: bool = False
    head: str | None = None
    head_parameters: dict[str, Any] = {}
    confidence: float | None = None


NO_OPTIONS, NO_MEANING = ImportOptions(), Meaning()
# Options that only these frameworks read.
OWN_OPTIONS = {"caffe": ("weights",), "darknet": ("weights",), "openvino": ("weights",), "pytorch": ("architecture",)}


def import_network(
    source: StrPath | Any,
    out: StrPath | Workspace,
    name: str,
    *,
    framework: str = "auto",
    options: ImportOptions = NO_OPTIONS,
    meaning: Meaning = NO_MEANING,
    probe: DatasetVersion | None = None,
    pictures: DatasetVersion | StrPath | None = None,
    seed: int = 0,
    on_progress: OnProgress = ignore_progress,
) -> ImportResult:
    """Import a network file, or a `torch.nn.Module`, into a Model folder.

    Args:
        source: file or folder of the network, or the module itself (then `options` gives its size).
        out: new folder of the Model, or a Workspace, which shelves it under its name and id.
        name: name of the Model.
        framework: name of an importer, or "auto".
        options: what the reader needs beyond the file.
        meaning: what you know about inputs and outputs.
        probe: labelled pictures on which to try every preset, instead of naming one; the best way of feeding becomes the
            Model's. Pictures of a test split are left out if there are others.
        pictures: pictures on which to compare with the source; by default those of `probe`, else generated ones.
        seed: seed of the choice of pictures.

    Raises:
        Unsupported: this is no vision network, has layers that cannot be imported, or its graph differs from its source.
        Exhausted: the disk is full.
        InvalidInput, NotFound, Conflict, MissingPackage: see the messages.
    """
    if isinstance(out, Workspace):
        with stage(out, "models", name) as staged:
            result = import_network(
                source,
                staged,
                name,
                framework=framework,
                options=options,
                meaning=meaning,
                probe=probe,
                pictures=pictures,
                seed=seed,
                on_progress=on_progress,
            )
            return replace(result, folder=shelve(staged, out, "models", result.manifest))
    out, pictures = Path(out), Path(pictures) if isinstance(pictures, (str, os.PathLike)) else pictures
    if probe is not None and meaning.preset is not None:
        raise InvalidInput(f"expected `preset` or `probe`, got both; `probe` tries every preset: leave {meaning.preset} out")
    skipped = () if probe is not None else ("probing presets",)
    stages = Stages({name: share for name, share in STAGE_SHARES.items() if name not in skipped}, on_progress)
    check_place(out)
    stages.begin("reading the network")
    with explain_full_disk(out):
        imported = read_source(source, framework, options)
        with closing(imported.source), new_folder(out) as folder:
            save_graph(imported.graph, folder / MODEL_GRAPH)
            manifest, stated = describe_model(imported, name, meaning, probe)
            rows = _probe(folder, manifest, (stated, meaning.stated), probe, seed, stages)
            spec = rows[0].input if rows else manifest.input
            stages.begin("comparing with the source")
            chosen = choose_import_pictures(pictures or probe, VERIFIED_PICTURES, seed)
            batches = [prepare_batch([image], spec)[0] for image in chosen.images]
            verification = verify_import(imported, batches, chosen.source, stages.update, chosen.is_generated)
            stages.begin("writing")
            manifest = _complete(manifest, imported, spec, verification, rows, folder)
            write_manifest(folder, manifest)
            check_decoding(folder, manifest, chosen.images[0])
    stages.finish()
    return ImportResult(out, manifest, verification, rows, list(manifest.source["notes"]))


def read_source(source: Path | Any, framework: str, options: ImportOptions) -> ImportedGraph:
    """The network by its importer. Raises: as `import_network`."""
    if isinstance(source, (str, os.PathLike)):
        importer = choose_importer(Path(source), framework)
        _refuse_unread(options, f"{Path(source).name} of {importer.name}", OWN_OPTIONS.get(importer.name, ()))
        return importer.read(Path(source), options)
    from sightline.compiler.importers.pytorch import read_module

    _refuse_unread(options, "a module", ())
    return read_module(source, options.width, options.height, options.channels, options.outputs)


def _refuse_unread(options: ImportOptions, what: str, read: Sequence[str]) -> None:
    """Refuse options that would change nothing: weights that are not read are not those that were asked for."""
    for option in ("weights", "architecture"):
        value = getattr(options, option)
        if value is not None and option not in read:
            raise InvalidInput(f"expected no `{option}` for {what}, which holds its own, got {value}; leave it out")


def describe_model(
    imported: ImportedGraph, name: str, meaning: Meaning, probe: DatasetVersion | None
) -> tuple[ModelManifest, StatedInput]:
    """The manifest before anything was run, and what is stated of the input as by `settle_stated`.

    A network to be probed needs no stated input yet; it gets the first way that is tried.
    """
    given = meaning.categories if meaning.categories is not None else imported.categories
    found = choose_head(imported, meaning, None if given is None else len(given) + meaning.background)
    notes = list(imported.notes)
    if given is None and probe is not None and found.class_count == len(probe.categories) and found.task != "raw":
        given = tuple(probe.categories)
        notes.append(f"categories taken from {probe.name!r} in its order: the network names none, and the counts agree")
    categories, decode = settle_categories(given, found, meaning.background)
    if meaning.confidence is not None:
        decode = msgspec.structs.replace(decode, confidence_threshold=meaning.confidence)
    stated = settle_stated(imported, meaning)
    tried = make_preset_input("0-1", None, find_picture_input(imported.graph)[1][0]) if probe is not None else StatedInput()
    notes += [] if probe is not None else tell_published(imported, meaning)
    notes.append(f"head {decode.head}: {found.reason}")
    if given and not categories:
        few = ", ".join(given[:3]) + (", ..." if len(given) > 3 else "")
        notes.append(
            f"{len(given)} categories are named ({few}), but a head {decode.head} gives no annotations that could carry them; "
            "a named head says what the outputs mean"
        )
    manifest = ModelManifest(
        name=name,
        task=found.task,
        network=f"{imported.framework}/{imported.files[0].name if imported.files else name}",
        categories=categories,
        input=make_input_spec(imported.graph, merge_stated(stated, tried), found.task),
        decode=decode,
        parameter_count=count_parameters(imported),
        precision=imported.precision,
        source={"framework": imported.framework, "notes": notes},
        created_at=now_utc(),
        files={},
    )
    return manifest, stated


def settle_stated(imported: ImportedGraph, meaning: Meaning) -> StatedInput:
    """What is said of the input: by the user, else by the file, else by the preset, else of the architecture.

    Raises: InvalidInput for a mean or deviation that an input of whole numbers cannot take.
    """
    said, known = meaning.stated, imported.stated
    if takes_whole_numbers(imported.graph):
        known = state_pixels(said, known)
    if meaning.preset is not None:
        channels = find_picture_input(imported.graph)[1][0]
        known = merge_stated(known, make_preset_input(meaning.preset, said.colour or known.colour, channels))
    known = merge_stated(known, orient_rgb(imported.published, said.colour or known.colour))
    return merge_stated(orient_rgb(said, said.colour or known.colour), known)


def tell_published(imported: ImportedGraph, meaning: Meaning) -> list[str]:
    """A note where mean and std are published of the architecture: whether they were taken, as no file says that they fit."""
    stated, published = merge_stated(meaning.stated, imported.stated), imported.published
    fields = [name for name in ("mean", "std") if getattr(stated, name) is None and getattr(published, name) is not None]
    if not fields:
        return []
    values = ", ".join(f"{name} {tuple(round(value, 3) for value in getattr(published, name))}" for name in fields)
    if meaning.preset is not None:
        return [f"fed by the preset {meaning.preset}; published of the architecture: {values}"]
    advice = "where these weights were trained otherwise, give a preset, or mean and std"
    return [f"fed as published of the architecture: {values}; {advice}"]


def choose_head(imported: ImportedGraph, meaning: Meaning, category_count: int | None) -> FoundHead:
    """The head the user names, else the file's, else the one the outputs tell. Raises: InvalidInput, NotFound."""
    if meaning.head is not None:
        found = name_head(imported.graph, meaning.head, meaning.head_parameters, category_count)
    elif meaning.head_parameters:
        raise InvalidInput("head parameters without a head; name it as `head`, or leave them out")
    elif imported.decode is not None:
        decode = imported.decode
        count = int(decode.parameters.get("class_count", 0)) or len(imported.categories or ()) or category_count or 0
        found = FoundHead(TASK_OF_HEAD[decode.head], decode, count, "stated by the file")
    else:
        found = find_head(imported.graph, category_count)
    check_head(found.decode)
    return found


def check_decoding(folder: Path, manifest: ModelManifest, image: np.ndarray) -> None:
    """Decode one picture: a head that does not fit the outputs is told now, not at the first prediction.

    Raises: InvalidInput, NotFound.
    """
    if manifest.task == "raw":
        return
    with open_predictor(folder, "reference") as predictor:  # which has run it just now; others need not know every operator
        if manifest.task == "image":
            batch, placements = prepare_batch([image], manifest.input)
            write_pictures(manifest.decode, predictor.predict_raw(batch), placements)
            return
        predictor.predict([image])
        if manifest.decode.head == "scored_boxes":
            boxes = predictor.predict_raw(prepare_batch([image], manifest.input)[0])[manifest.decode.outputs[1]]
            check_corners(boxes, manifest.decode.parameters.get("order", "xyxy"))


def check_corners(boxes: np.ndarray, order: str) -> None:
    """Raises: InvalidInput when numbers that should be corners are mostly no boxes: an SSD's offsets look alike in shape.

    Args: boxes: `(N, P, 4)`; order: of the head, "xyxy" or "yxyx" (the corners of "cxcywh" are never inverted).
    """
    if order == "cxcywh":
        return
    inverted = float(np.mean((boxes[..., 2] <= boxes[..., 0]) | (boxes[..., 3] <= boxes[..., 1])))
    if inverted > MOST_INVERTED:
        raise InvalidInput(
            f"expected boxes with corners in the order {order}, got {format_percent(inverted, 0)} that are inverted; these may "
            "be offsets from prior boxes: name `head` prior_boxes with its `head_parameters`, or raw"
        )


def count_parameters(imported: ImportedGraph) -> int:
    """Numbers in the graph's weights; scales and zero points of a quantised graph included."""
    return sum(int(np.prod(tensor.dims)) for tensor in imported.graph.graph.initializer)


def list_source_files(files: Sequence[Path]) -> list[dict[str, Any]]:
    """Name, hash and size of the files a network was read from; of a folder, those in it."""
    plain = [inner for path in files for inner in (sorted(path.rglob("*")) if path.is_dir() else [path]) if inner.is_file()]
    return [{"name": path.name, **msgspec.to_builtins(compute_file_hash(path))} for path in plain]


def _probe(
    folder: Path,
    manifest: ModelManifest,
    stated: tuple[StatedInput, StatedInput],
    probe: DatasetVersion | None,
    seed: int,
    stages: Stages,
) -> list[ProbeRow]:
    """Scores of every way to feed the network, best first; none without pictures to probe on."""
    if probe is None:
        return []
    stages.begin("probing presets")
    write_manifest(folder, msgspec.structs.replace(manifest, files=hash_files(folder)))
    return probe_presets(
        folder, manifest, list_ways(folder / MODEL_GRAPH, manifest, *stated), probe, seed, on_part=stages.update
    )


def _complete(
    manifest: ModelManifest,
    imported: ImportedGraph,
    spec: InputSpec,
    verification: Verification,
    rows: Sequence[ProbeRow],
    folder: Path,
) -> ModelManifest:
    notes = manifest.source["notes"]
    if imported.precision == "int8" and has_other_classes(verification):
        notes = [
            *notes,
            f"same class at only {format_percent(verification.top1_agreement or 0.0)} of all places, on pictures that show "
            "nothing the network knows; the numbers agree, but import with `pictures` of its kind to have the classes judged",
        ]
    source = manifest.source | {
        "notes": notes,
        "files": list_source_files(imported.files),
        "input_from": f"probe: {rows[0].preset}" if rows else "stated",
        "probe": [{"preset": row.preset, row.metric: round(row.score, 4)} for row in rows],
    }
    return msgspec.structs.replace(
        manifest,
        input=spec,
        source=source,
        export_check=msgspec.to_builtins(verification),
        host=describe_host(),
        files=hash_files(folder),
    )
