from pathlib import Path

import msgspec
import pytest

from sightline.compiler.comparison import Judged
from sightline.compiler.report.flips import MOST_FLIPS, describe_flips
from sightline.core.annotations import Annotation
from sightline.core.folders import read_manifest
from sightline.core.manifests import ModelManifest
from sightline.data.versions import DatasetVersion
from sightline.metrics.agreement import Agreement


def test_of_a_segmentation_the_pictures_that_changed_most_are_shown_though_none_flipped(
    model: Path, version: DatasetVersion
) -> None:
    """Of 100 pixels, picture n of 14 changed n: below the 5 % of a flip, or more; picture 0 did not change."""
    manifest = msgspec.structs.replace(read_manifest(model, ModelManifest), task="semantic")
    items = version.load_items()[:14]
    nothing = Judged([[] for _ in items])
    agreement = Agreement(
        images=14, label_agreement=0.9, mean_iou=None, flipped=[], parts=[(100 - place, 100) for place in range(14)]
    )
    flips = describe_flips(manifest, items, nothing, nothing, agreement)
    assert [flip.place for flip in flips] == list(range(13, 13 - MOST_FLIPS, -1))
    assert [flip.changed_share for flip in flips] == pytest.approx([place / 100 for place in range(13, 1, -1)])


def test_of_a_classification_only_what_flipped_is_shown_the_surest_first(model: Path, version: DatasetVersion) -> None:
    manifest, items = read_manifest(model, ModelManifest), version.load_items()[:3]
    before = Judged([[Annotation(category=manifest.categories[0], confidence=sure)] for sure in (0.6, 0.7, 0.9)])
    agreement = Agreement(images=3, label_agreement=1 / 3, mean_iou=None, flipped=[0, 2], parts=[(0, 1), (1, 1), (0, 1)])
    flips = describe_flips(manifest, items, before, before, agreement)
    assert [(flip.place, flip.changed_share) for flip in flips] == [(2, None), (0, None)]
