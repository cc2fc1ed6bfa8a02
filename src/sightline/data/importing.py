"""Import: a folder, file or archive of any known format becomes a DatasetVersion, with a report of every loss.

One stream: the format yields a picture with its labels, the picture is read once, hashed, decoded (a broken one is dropped and
reported, never fatal) and put among the blobs, the labels are cleaned, and the item goes into the version. Pictures are
prepared by a few threads ahead of the writer; the order, and so the version's id, stays that of the source. What is remembered
of each picture (its name, hash and labels as numbers) takes about 0.2 KB: benchmarks/data_scale.py.
"""

import os
import tempfile
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any, Literal, get_args

import msgspec
import numpy as np
from msgspec.structs import replace

from sightline.core.annotations import read_annotation
from sightline.core.categories import Categories
from sightline.core.errors import Conflict, ImageTooLarge, InvalidInput, NotFound, SightlineError, UnreadableDataset
from sightline.core.folders import explain_disk_errors
from sightline.core.manifests import UnlabelledPixels
from sightline.core.progress import OnProgress, ProgressEvent, ignore_progress
from sightline.core.settings import read_settings
from sightline.core.workspace import StrPath, Workspace, check_name, make_place
from sightline.data.archives import extract_archive, is_archive
from sightline.data.blobs import BlobStore
from sightline.data.cleaning import clean_annotations, clean_attributes, turn_annotations
from sightline.data.conversion import ConversionReport, replace_surrogates
from sightline.data.formats.format import SourceDataset, SourceItem
from sightline.data.formats.sightline_zip import install_archive, is_version_archive
from sightline.data.formats.table import detect_format, load_format
from sightline.data.items import Item, ItemWriter, Viewer, read_file_names, read_items, read_viewer
from sightline.data.splits import DEFAULT_FRACTIONS, DuplicateFinder, SplitDrawer, check_rule, parse_fractions
from sightline.data.truth import find_viewer, note_viewer
from sightline.data.unique_names import UniqueNames
from sightline.data.versions import ITEMS_NAME, DatasetVersion, VersionWriter, check_split, choose_blobs
from sightline.imaging.files.headers import ImageHeader, check_pixel_limit, probe_image
from sightline.imaging.files.reading import decode_image, encode_image, limit_pixels
from sightline.imaging.preprocessing import check_picture

Verify = Literal["decode", "header"]
# Threads mostly wait for the disk to make a blob durable (see `BlobQueue`); only two at a time hold a decoded or large picture.
THREADS = 24
DECODERS = 2
LARGE_BYTES = 4 << 20
PICTURES_AHEAD = 64
BYTES_AHEAD = 128 << 20  # of pictures that come as their content: frames of a large video are some 25 MB each
UNKNOWN_TURN = (
    "turned by EXIF, and no size tells whether its labels were drawn before or after: taken as drawn on the upright picture; "
    "look at one"
)
UNSAID = "no annotation, and nothing says whether anybody looked: counts as a picture that shows nothing"
FEW_VIDEOS = "all frames of a video lie in one split, and there are too few videos for each split: import more, or set splits"
DARK = 15  # what 4095, the largest value of a 12-bit camera, becomes where 16 bits are kept as their high byte
PROGRESS_EVERY = 100


def import_dataset(
    source: StrPath | Iterable[SourceItem],
    target: StrPath | Workspace,
    name: str,
    *,
    blobs: StrPath | BlobStore | None = None,
    format: str = "auto",
    split: str = "auto",
    seed: int = 0,
    categories: Sequence[str] | None = None,
    verify: Verify = "decode",
    max_pixels: int | None = None,
    format_options: dict[str, Any] | None = None,
    on_progress: OnProgress = ignore_progress,
) -> tuple[DatasetVersion, ConversionReport]:
    """Import a dataset.

    Args:
        source: folder, file or archive (.zip, .tar, .tar.gz ...); or your own pictures and labels, as a list or stream of
            `SourceItem`.
        target: a Workspace, or the new folder of the version (then `blobs` says where its pictures go).
        name: name of the Dataset.
        blobs: folder or URL for the pictures; by default the Workspace's own.
        format: name of a format; "auto" finds it.
        split: "given" keeps the source's splits; shares such as "0.8/0.1/0.1" draw stratified ones; "auto" keeps the source's,
            or draws 0.8/0.1/0.1 if it has none.
        seed: seed of drawn splits.
        categories: keep only these, in this order. None keeps the source's; for your own pictures, all that they name, sorted
            (a stream is then held in memory).
        verify: "decode" decodes every picture to find broken ones; "header" reads only its header, which takes a hundredth of
            the time but does not show that the rest is cut off.
        max_pixels: larger pictures are dropped, and so are the labels of larger masks; None takes the settings' limit.
        format_options: options of the format's reader; the reference of formats lists them. For your own pictures,
            `unlabelled_pixels` says whether a pixel that no mask covers is "background" (the default) or to "ignore".
        on_progress: called with how many pictures are done.

    Returns: the version, and what was kept, changed and dropped, with reasons.

    Raises: NotFound; UnreadableDataset, also when no picture can be kept; InvalidInput; Conflict when `target` exists. A
        broken picture or label raises nothing: it is reported.
    """
    target = make_place(target)
    wanted = None if categories is None else _check_list(categories)
    _check_request(target, name, split, wanted, verify)
    running = _Import(
        target=target,
        name=name,
        blobs=choose_blobs(target, blobs),
        format=format,
        split=split,
        seed=seed,
        categories=wanted,
        verify=verify,
        max_pixels=max_pixels or read_settings().max_image_pixels,
        format_options=format_options or {},
        on_progress=on_progress,
        report=ConversionReport(),
    )
    place = target.root if isinstance(target, Workspace) else target
    with explain_disk_errors(place), limit_pixels(running.max_pixels):
        if isinstance(source, (str, os.PathLike)):
            return running.read_path(Path(source))
        return running.write(running.gather(source), "items", "the list")


class _Import(msgspec.Struct, frozen=True, kw_only=True):
    """One import: where it goes, the options as `import_dataset` explains them, and what is told of it."""

    target: Workspace | Path
    name: str
    blobs: BlobStore
    format: str
    split: str
    seed: int
    categories: tuple[str, ...] | None
    verify: Verify
    max_pixels: int
    format_options: dict[str, Any]
    on_progress: OnProgress
    report: ConversionReport

    def read_path(self, source: Path) -> tuple[DatasetVersion, ConversionReport]:
        """Import a folder, file or archive."""
        if not source.exists():
            raise NotFound(f"expected a folder, file or archive at {source}, got nothing there; check the path")
        unchanged = self.format in ("auto", "sightline") and self.split in ("auto", "given") and self.categories is None
        if unchanged and is_version_archive(source):
            return install_archive(source, self.target, self.name, self.blobs, self.max_pixels)
        if not is_archive(source) or is_version_archive(source):
            return self._read_folder(source)
        with tempfile.TemporaryDirectory(prefix="sightline-import-") as unpacked:
            folder = Path(unpacked) / source.name  # messages name the folder: let them name the archive
            folder.mkdir()
            extract_archive(source, folder)
            return self._read_folder(_find_top_folder(folder))

    def _read_folder(self, source: Path) -> tuple[DatasetVersion, ConversionReport]:
        chosen = detect_format(source) if self.format == "auto" else load_format(self.format)
        dataset = chosen.read(source, self.report, self.format_options)
        return self.write(dataset, chosen.name, source.resolve().name)

    def gather(self, source: Iterable[SourceItem]) -> SourceDataset:
        """A program's own pictures as a source; without categories it has all that they name, sorted.

        Raises: InvalidInput for anything but a list or stream of `SourceItem`, and for options of a format.
        """
        if not isinstance(source, Iterable):
            raise InvalidInput(f"expected a path or a list of SourceItem, got {type(source).__name__}; pass one of them")
        unlabelled, known = self.format_options.get("unlabelled_pixels", "background"), get_args(UnlabelledPixels)
        if self.format != "auto" or self.format_options.keys() - {"unlabelled_pixels"} or unlabelled not in known:
            raise InvalidInput(
                f"expected of SourceItems no format and no option but unlabelled_pixels ({' or '.join(known)}), got "
                f"{self.format!r} and {self.format_options}; leave them out"
            )
        categories: Sequence[str] | None = self.categories
        if categories is None:
            source = list(_check_items(source))
            categories = sorted({annotation.category for item in source for annotation in item.annotations})
        return SourceDataset(categories=Categories(categories), items=_check_items(source), unlabelled_pixels=unlabelled)

    def write(self, dataset: SourceDataset, format: str, source: str) -> tuple[DatasetVersion, ConversionReport]:
        """Write what was read. Args: format, source: what the manifest and messages call it."""
        categories = self._choose_categories(dataset.categories)
        with tempfile.TemporaryDirectory(prefix="sightline-staging-") as staging:
            staged = Path(staging) / ITEMS_NAME
            splits = self._stage(staged, dataset, categories)
            _check_kept(source, self.report)
            with VersionWriter(
                self.target,
                self.name,
                categories,
                self.blobs,
                unlabelled_pixels=dataset.unlabelled_pixels,
                source=self._describe_source(format, drawn=splits is not None),
                seed=self.seed if splits is not None else None,
            ) as writer:
                duplicates = DuplicateFinder()
                for position, item in enumerate(read_items(staged)):
                    placed = item if splits is None else replace(item, split=splits[position])
                    duplicates.add(placed.blob, placed.split)
                    writer.add(placed)
                _report_duplicates(duplicates, staged, self.report)
                return writer.close(), self.report

    def _choose_categories(self, found: Categories) -> Categories:
        """The wanted categories, else the source's; told are those that a source with categories does not know: misspelt."""
        if self.categories is None:
            spelt: dict[str, str] = {}
            for name in found:
                other = spelt.setdefault(name.casefold(), name)
                if other != name:
                    self.report.warn(
                        "category", "differs from another only in the case of letters; both are kept", f"{other}, {name}"
                    )
            return found
        for name in self.categories:
            if len(found) and name not in found:
                self.report.warn("category", "asked for, but the source has no such category", name)
        return Categories(self.categories)

    def _describe_source(self, format: str, drawn: bool) -> dict[str, Any]:
        """What the manifest says of where the version came from: no paths and no times, so that the id is the same anywhere."""
        described: dict[str, Any] = {"format": format}
        if drawn:
            described["split"] = DEFAULT_FRACTIONS if self.split == "auto" else self.split
        if self.format_options:
            described["options"] = self.format_options
        return described

    def _stage(self, staged: Path, dataset: SourceDataset, categories: Categories) -> list[str] | None:
        """Write all items with the source's splits; returns the drawn split of each, or None when the source's stay."""
        writer, drawer, names = ItemWriter(staged), SplitDrawer(), UniqueNames()
        any_given = False
        with closing(self._prepare_all(dataset.items)) as prepared:
            for count, (source_item, picture) in enumerate(prepared, start=1):
                if isinstance(picture, _Refusal):
                    self.report.drop("image", picture.reason, source_item.file_name + picture.found)
                    if source_item.annotations:
                        reason = "its picture was dropped"
                        self.report.drop("annotation", reason, source_item.file_name, count=len(source_item.annotations))
                    continue
                item = self._make_item(source_item, picture, categories, names)
                any_given = any_given or item.split is not None
                writer.add(item)
                labels = (categories.index(annotation.category) for annotation in item.annotations)
                drawer.add(item.blob, labels, item.source_video)
                self.report.keep("image")
                picture.warn(self.report, source_item.file_name)
                if source_item.warning is not None:
                    self.report.warn("image", source_item.warning, source_item.file_name)
                if not item.annotations and item.seen_by is None:
                    self.report.warn("image", UNSAID, source_item.file_name)
                self.report.keep("annotation", len(item.annotations))
                if count % PROGRESS_EVERY == 0:
                    self.on_progress(ProgressEvent(stage="importing", metrics={"images": count}))
        writer.close()
        self.on_progress(ProgressEvent(stage="importing", progress=1.0, metrics={"images": self.report.kept.get("image", 0)}))
        if self.split == "given" or (self.split == "auto" and any_given) or not self.report.kept.get("image"):
            return None
        fractions = parse_fractions(DEFAULT_FRACTIONS if self.split == "auto" else self.split)
        drawn = drawer.draw(fractions, self.seed)
        if drawer.has_frames and (lacking := fractions.keys() - set(drawn)):
            self.report.warn("image", FEW_VIDEOS, f"none in {', '.join(sorted(lacking))}")
        return drawn

    def _prepare_all(self, items: Iterator[SourceItem]) -> Generator[tuple[SourceItem, "_Picture | _Refusal"], None, None]:
        """Each item with its stored picture, or why it has none; in order, a few pictures ahead."""
        waiting: deque[tuple[SourceItem, Future[_Picture | _Refusal]]] = deque()
        held = 0  # bytes of the content of those that wait
        decoders = BoundedSemaphore(DECODERS)
        with ThreadPoolExecutor(THREADS, "sightline-import") as pool:
            try:
                for item in items:
                    waiting.append((item, pool.submit(self._prepare_picture, item, decoders)))
                    held += _count_bytes(item)
                    while len(waiting) >= PICTURES_AHEAD or held > BYTES_AHEAD:
                        first, future = waiting.popleft()
                        held -= _count_bytes(first)
                        yield first, future.result()
                while waiting:
                    first, future = waiting.popleft()
                    yield first, future.result()
            finally:
                for _, future in waiting:
                    future.cancel()

    def _prepare_picture(self, item: SourceItem, decoders: BoundedSemaphore) -> "_Picture | _Refusal":
        path = None if item.path is None else Path(item.path)
        if item.content is None and (path is None or not path.is_file()):
            return _Refusal("picture is missing")
        with decoders:
            try:
                content = item.content if path is None else path.read_bytes()
                assert content is not None
                if isinstance(content, np.ndarray):
                    content = encode_image(content, "png")
                header = probe_image(content, item.file_name)
                check_pixel_limit(header.width, header.height, self.max_pixels, item.file_name)
                is_dark = False
                if self.verify == "decode":
                    pixels = decode_image(content, self.max_pixels, item.file_name)
                    is_dark = header.is_deep and int(pixels.max()) <= DARK
            except OSError as error:
                return _Refusal(f"picture cannot be read: {error.strerror}")
            except ImageTooLarge:
                return _Refusal("picture with more pixels than SIGHTLINE_MAX_IMAGE_PIXELS allows")
            except SightlineError as error:
                found = str(error).partition(", got ")[2].partition(";")[0]
                return _Refusal("broken picture", f": {found}" if found else "")
            if len(content) >= LARGE_BYTES:
                return _Picture(self.blobs.put_bytes(content), header, is_dark)
        return _Picture(self.blobs.put_bytes(content), header, is_dark)

    def _make_item(self, source: SourceItem, picture: "_Picture", categories: Categories, names: UniqueNames) -> Item:
        header, annotations = picture.header, source.annotations
        upright = (header.width, header.height)
        if source.declared_size is not None and source.declared_size != upright and annotations:
            example = f"{source.file_name}: {source.declared_size} against {upright}"
            if header.orientation >= 5 and source.declared_size == upright[::-1]:
                annotations = turn_annotations(annotations, header.orientation, *source.declared_size)
                reason = "drawn on the picture as stored, turned upright with it"
                self.report.change("annotation", reason, source.file_name, count=len(annotations))
            else:
                self.report.warn("image", "the labels state another size than the picture has", example)
        if any(one.geometry != "image" for one in annotations) and not _is_turn_known(source, header):
            self.report.warn("image", UNKNOWN_TURN, source.file_name)
        check_split(source.split)
        readable = replace_surrogates(source.file_name)
        if readable != source.file_name:
            self.report.change("image", "file name is no UTF-8, its odd bytes replaced", readable)
        file_name = names.take(readable, source.split)
        if file_name != readable:
            self.report.change("image", "file name used twice, renamed", f"{readable} -> {file_name}")
        kept = clean_annotations(annotations, header.width, header.height, categories, self.report, file_name)
        return Item(
            blob=picture.blob,
            file_name=file_name,
            width=header.width,
            height=header.height,
            orientation=header.orientation,
            split=source.split,
            source_video=source.source_video,
            frame_pts=source.frame_pts,
            seen_by=note_viewer(find_viewer(annotations, source.seen_by), kept),
            attributes=clean_attributes(source.attributes, self.report, file_name),
            annotations=kept,
        )


class _Refusal(msgspec.Struct, frozen=True):
    """Why a picture is dropped, and what was found in its place, to follow its name."""

    reason: str
    found: str = ""


class _Picture(msgspec.Struct, frozen=True):
    """A good picture that is among the blobs."""

    blob: str
    header: ImageHeader
    is_dark: bool = False

    def warn(self, report: ConversionReport, file_name: str) -> None:
        """Tell what is odd about the file."""
        if self.is_dark:
            reason = "16 bits a channel, but no value above 4095: it becomes almost black; scale the values to 0..65535 first"
            report.warn("image", reason, file_name)
        if self.header.pages > 1:
            reason = "only the first page of a TIFF is kept; save the others as files of their own"
            report.warn("image", reason, f"{file_name}: {self.header.pages:,} pages")
        if self.header.is_animated:
            report.warn("image", "only the first frame of an animation is shown to networks", file_name)


def _count_bytes(item: SourceItem) -> int:
    """What a picture's content takes while it waits."""
    return item.content.nbytes if isinstance(item.content, np.ndarray) else len(item.content or b"")


def _check_list(categories: Sequence[str]) -> tuple[str, ...]:
    if isinstance(categories, str):  # whose letters would be taken for categories
        raise InvalidInput(f"expected a list of categories, got the text {categories!r}; write [{categories!r}]")
    return tuple(categories)


def _check_request(target: Workspace | Path, name: str, split: str, categories: tuple[str, ...] | None, verify: Verify) -> None:
    """Find what cannot work before any work is done."""
    check_name(name)
    check_rule(split)
    if verify not in get_args(Verify):
        raise InvalidInput(f"expected verify {' or '.join(get_args(Verify))}, got {verify!r}; choose one of these")
    if categories is not None:
        if not categories:
            raise InvalidInput("expected at least one category to keep, got none; leave the list out to keep all")
        Categories(categories)
    if isinstance(target, Path) and target.exists():
        raise Conflict(f"{target} exists already; choose another name or remove it")


def _find_top_folder(folder: Path) -> Path:
    """Archives often hold one folder that holds everything."""
    inside = [path for path in folder.iterdir() if path.name not in ("__MACOSX", ".DS_Store")]
    return _find_top_folder(inside[0]) if len(inside) == 1 and inside[0].is_dir() and _is_wrapper(inside[0]) else folder


def _is_wrapper(folder: Path) -> bool:
    """A folder named like a part of a layout is no wrapper around it."""
    return folder.name.lower() not in ("images", "annotations", "train", "val", "test", "data", "jpegimages")


def _check_items(source: Iterable[SourceItem]) -> Iterator[SourceItem]:
    for item in source:
        if not isinstance(item, SourceItem):
            raise InvalidInput(f"expected SourceItems, got {type(item).__name__}; make each with sightline.SourceItem(...)")
        if not isinstance(item.file_name, str):
            raise InvalidInput(f"expected a file name as text, got {item.file_name!r}; set file_name")
        if item.seen_by is not None and read_viewer(item.seen_by) is None:
            known = ", ".join(get_args(Viewer))
            raise InvalidInput(f"{item.file_name}: expected seen_by None, {known}, got {item.seen_by!r}; choose one of these")
        if not all(isinstance(text, str) for pair in dict(item.attributes).items() for text in pair):
            raise InvalidInput(
                f"{item.file_name}: expected attributes from text to text, got {item.attributes!r:.100}; correct it"
            )
        try:
            annotations = tuple(read_annotation(one) for one in item.annotations)
            if isinstance(item.content, np.ndarray):
                check_picture(item.content)
        except InvalidInput as error:
            raise InvalidInput(f"{item.file_name}: {error}") from error
        yield replace(item, annotations=annotations)


def _check_kept(source: str, report: ConversionReport) -> None:
    """Raises: UnreadableDataset when no picture was kept: an empty version would stand for the name from then on."""
    if not report.kept.get("image"):
        reasons = " ".join((report.reasons("dropped") or "it names none").split())
        raise UnreadableDataset(f"expected pictures in {source}, got none that can be kept: {reasons}; check the path")


def _is_turn_known(source: SourceItem, header: ImageHeader) -> bool:
    """Whether it is known how the labels lie: the size they state tells, where EXIF exchanges unequal width and height."""
    tells = source.declared_size is not None and header.orientation >= 5 and header.width != header.height
    return source.is_upright or header.orientation == 1 or tells


def _report_duplicates(duplicates: DuplicateFinder, staged: Path, report: ConversionReport) -> None:
    leaks, twins = duplicates.find()
    for reason, pairs in (("the same picture is in two splits", leaks), ("the same picture under two names", twins)):
        if not pairs:
            continue
        wanted = {position for pair in pairs[:5] for position in pair}
        names = {n: name for n, name in enumerate(read_file_names(staged)) if n in wanted}
        for first, later in pairs[:5]:
            report.warn("image", reason, f"{names[first]} = {names[later]}")
        report.warn("image", reason, count=len(pairs) - min(5, len(pairs)))
