"""Pictures that join a Dataset: imported as a version that nobody sees, whose items the next freeze appends.

The one idea: an addition is an import and a freeze. The import puts the pictures among the Dataset's blobs and cleans their
labels, whatever their format; the freeze decides against the present pictures what is new. What the import wrote is removed
at the end, also after a kill, by the next addition; blobs that no version names yet do no harm.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from sightline.core.progress import OnProgress, ignore_progress
from sightline.core.temporary import temporary_folder
from sightline.core.workspace import StrPath
from sightline.data.conversion import ConversionReport
from sightline.data.formats.format import SourceItem
from sightline.data.importing import Verify, import_dataset
from sightline.data.splits import check_rule
from sightline.data.versions import DatasetVersion
from sightline.store.datasets import Dataset, ItemChanges, check_author

PREFIX = ".adding-"


class Addition(msgspec.Struct, frozen=True, kw_only=True):
    """What became of pictures that were to be added.

    Attributes:
        version: the new version of the Dataset; the present one where all pictures were there already.
        report: what was kept, changed and dropped, and why.
        positions: of the new pictures in that version.
    """

    version: DatasetVersion
    report: ConversionReport
    positions: range


def add_pictures(
    dataset: Dataset,
    source: StrPath | Iterable[SourceItem],
    author: str,
    *,
    format: str = "auto",
    split: str = "auto",
    seed: int = 0,
    categories: Sequence[str] | None = None,
    verify: Verify = "decode",
    format_options: dict[str, Any] | None = None,
    on_progress: OnProgress = ignore_progress,
) -> Addition:
    """Add pictures, with or without labels, to a Dataset. One call writes one version: give it all pictures that there are.

    Args:
        source: folder, file or archive of any known format; or a list or stream of `SourceItem`.
        author: who adds them.
        split: "given" keeps the source's; shares such as "0.8/0.1/0.1" draw; "auto" keeps the source's, or draws in the shares
            that the Dataset has if the source has none. Frames of a video of the Dataset join its split.
        format, seed, categories, verify, format_options: as of `import_dataset`.
        on_progress: told of both stages, "importing" and "freezing".

    Raises: what `import_dataset` and `Dataset.revise` raise; then nothing has changed.
    """
    check_rule(split)
    check_author(author)
    with temporary_folder(dataset.workspace.root, PREFIX) as folder:
        version, report = import_dataset(
            source,
            folder / "added",
            dataset.name,
            blobs=dataset.version.blobs,
            format=format,
            split="given",
            categories=categories,
            verify=verify,
            format_options=format_options,
            on_progress=on_progress,
        )
        return add_version(dataset, version, author, report, split=split, seed=seed, on_progress=on_progress)


def add_version(
    dataset: Dataset,
    version: DatasetVersion,
    author: str,
    report: ConversionReport,
    *,
    split: str = "auto",
    seed: int = 0,
    on_progress: OnProgress = ignore_progress,
) -> Addition:
    """Add the pictures of a version that was imported with `blobs=dataset.version.blobs` and `split="given"`.

    Args: report: of that import; it goes on here. Others: as of `add_pictures`.
    """
    changes = ItemChanges(added=version, split_rule=split, seed=seed)
    revised = dataset.revise(changes, author, report, on_progress)
    end = revised.version.manifest.item_count
    return Addition(version=revised.version, report=report, positions=range(end - revised.added, end))
