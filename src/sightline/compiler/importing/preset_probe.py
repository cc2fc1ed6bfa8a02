"""Which preset an imported network was trained with: each is tried on labelled pictures, in both channel orders."""

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import msgspec

from sightline.compiler.graphs import load_graph
from sightline.compiler.importers.importer import Colour, StatedInput
from sightline.compiler.importing.input_specs import (
    PRESETS,
    find_picture_input,
    make_input_spec,
    make_preset_input,
    merge_stated,
    orient_rgb,
    takes_whole_numbers,
)
from sightline.compiler.importing.pictures import choose_items
from sightline.compiler.pictures import read_contents
from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput
from sightline.core.manifests import TENSOR_TASKS, InputSpec, ModelManifest
from sightline.data.items import Item
from sightline.data.truth import KnownItems
from sightline.data.versions import DatasetVersion
from sightline.imaging.heads.decoding import NotANumber
from sightline.metrics.evaluator import EVALUATION_THRESHOLDS, make_evaluator
from sightline.runtime.predictor import Predictor, open_predictor

PROBED, PROBED_AGAIN = 150, 1000  # pictures for every way, and for those that the first cannot tell from the best
PIXELS_AS_THEY_ARE = "0-255"  # the preset that an input of whole numbers survives
NEAR = 0.05  # of the metric: about the 95 % interval of a difference on 150 pictures


class ProbeRow(msgspec.Struct, frozen=True, kw_only=True):
    """One way to feed the network, and how well it then does.

    Attributes:
        preset: its name, or "as stated" for what the file or the user says.
        input: the whole spec.
        metric, score: the task's primary metric, 0..1, on the probed pictures.
        images: how many they were.
    """

    preset: str
    input: InputSpec
    metric: str
    score: float
    images: int


def list_ways(graph_file: Path, manifest: ModelManifest, stated: StatedInput, said: StatedInput) -> list[tuple[str, InputSpec]]:
    """Every distinct way to try: what is stated already, then each preset in both channel orders.

    Args:
        stated: by the user or the file; how pictures are brought to size stays as it says.
        said: by the user, means and stds for red, green, blue; no way contradicts it.
    """
    graph = load_graph(graph_file)
    channels = find_picture_input(graph)[1][0]
    sizes = StatedInput(
        resize=stated.resize, shrink=stated.shrink, crop_fraction=stated.crop_fraction, pad_value=stated.pad_value
    )
    colours: tuple[Colour | None, ...] = (None,) if channels == 1 else ("RGB", "BGR") if said.colour is None else (said.colour,)
    ways: dict[InputSpec, str] = {}
    if stated.colour is not None and stated.mean is not None and stated.std is not None:
        ways[make_input_spec(graph, stated, manifest.task)] = "as stated"
    for name in [PIXELS_AS_THEY_ARE] if takes_whole_numbers(graph) else PRESETS:
        for colour in colours:
            kept = merge_stated(orient_rgb(said, colour), sizes)
            way = merge_stated(kept, make_preset_input(name, colour, channels))
            plain = colour in (None, PRESETS[name].colour)
            ways.setdefault(make_input_spec(graph, way, manifest.task), name if plain else f"{name}, {colour}")
    return [(name, spec) for spec, name in ways.items()]


def probe_presets(
    folder: Path,
    manifest: ModelManifest,
    ways: Sequence[tuple[str, InputSpec]],
    version: DatasetVersion,
    seed: int,
    on_part: Callable[[float], None] = lambda part: None,
) -> list[ProbeRow]:
    """Score every way on the same labelled pictures, best first; those that are too near to tell apart on more pictures.

    Last, with 0, come those that make the network answer NaN on any of them.

    Args:
        folder: Model folder; only its graph and decode spec are used.
        ways: name and input spec of each.
        version: pictures labelled by people, those of its test split only where there are no others; at most 150, drawn with
            the seed, and 1,000 for those near the best.

    Raises: InvalidInput when the pictures carry no label of the network's categories, or the network answers NaN however fed.
    """
    drawn = (KnownItems(choose_items(version, count, seed)) for count in (PROBED, PROBED_AGAIN))
    few, many = ([item for item in known if item.annotations] for known in drawn)
    check_probe_labels(manifest, version, few)
    with closing(open_predictor(folder)) as predictor:
        rows, failed = _score_ways(predictor, manifest, ways, version, few, on_part)
        if not rows:
            raise failed[-1][1]
        best = max(row.score for row in rows)
        near, far = [row for row in rows if row.score >= best - NEAR], [row for row in rows if row.score < best - NEAR]
        if len(near) > 1 and len(many) > len(few):
            near, failed_now = _score_ways(predictor, manifest, [(row.preset, row.input) for row in near], version, many)
            failed += failed_now
    last = [msgspec.structs.replace(rows[0], preset=name, input=spec, score=0.0) for (name, spec), _ in failed]
    return [*sorted(near, key=lambda row: -row.score), *sorted(far, key=lambda row: -row.score), *last]


def _score_ways(
    predictor: Predictor,
    manifest: ModelManifest,
    ways: Sequence[tuple[str, InputSpec]],
    version: DatasetVersion,
    items: Sequence[Item],
    on_part: Callable[[float], None] = lambda part: None,
) -> tuple[list[ProbeRow], list[tuple[tuple[str, InputSpec], NotANumber]]]:
    """Every way of feeding on labelled pictures; apart, those that make the network answer NaN."""
    rows: list[ProbeRow] = []
    failed: list[tuple[tuple[str, InputSpec], NotANumber]] = []
    for place, (name, spec) in enumerate(ways, start=1):
        try:
            rows.append(_score_way(predictor, manifest, name, spec, version, items))
        except NotANumber as error:
            failed.append(((name, spec), error))
        on_part(place / len(ways))
    return rows, failed


def _score_way(
    predictor: Predictor, manifest: ModelManifest, name: str, spec: InputSpec, version: DatasetVersion, items: Sequence[Item]
) -> ProbeRow:
    """One way of feeding on labelled pictures."""
    predictor.input = spec
    shown = manifest.decode.confidence_threshold
    evaluator = make_evaluator(manifest.task, Categories(manifest.categories), version.manifest.unlabelled_pixels, shown)
    answers = predictor.predict_stream(read_contents(version, items), EVALUATION_THRESHOLDS[manifest.task])
    for item, answer in zip(items, answers, strict=True):
        evaluator.add(item.annotations, answer, item.width, item.height)
    metrics = evaluator.compute()
    return ProbeRow(preset=name, input=spec, metric=metrics.primary_name, score=metrics.primary, images=len(items))


def check_probe_labels(manifest: ModelManifest, version: DatasetVersion, items: Sequence[Item]) -> None:
    """Raises: InvalidInput unless the labels are among the network's categories and there are some."""
    if manifest.task in TENSOR_TASKS:
        raise InvalidInput("expected a network that annotates, got one of raw tensors or pictures; name its `head` to probe it")
    unknown = sorted(set(version.categories) - set(manifest.categories))
    if unknown:
        raise InvalidInput(
            f"expected pictures labelled with the network's {len(manifest.categories)} categories "
            f"({', '.join(manifest.categories[:3])}, ...), got {', '.join(unknown[:5])}; give its list as `categories`"
        )
    if not items:
        raise InvalidInput(f"expected labelled pictures to probe on, got none in {version.name!r}; label some")
