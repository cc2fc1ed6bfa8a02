"""`sightline measure --iterations`: the inference sweep, twin of the tool of "Deep learning inferencing with TensorRT"."""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, get_args

import msgspec

from sightline.cli.commands.import_ import make_name
from sightline.cli.progress import show_progress
from sightline.cli.terminal import Terminal

if TYPE_CHECKING:
    from sightline.bench.inference_sweep.records import SweepContent
    from sightline.compiler.importing.import_network import Meaning
    from sightline.core.manifests import Precision
    from sightline.core.progress import OnProgress
    from sightline.core.workspace import Workspace
    from sightline.data.versions import DatasetVersion

DEFAULT_ITERATIONS = 20
SWEEPS_FOLDER = "sweeps"
MOST_MEAN_BYTES = 64 << 20


class SweepArguments(msgspec.Struct, frozen=True, kw_only=True):
    """The options only a sweep has, as they were typed; None means "not said"."""

    iterations: int | None = None
    dtype: str | None = None
    engine: str | None = None
    labels: Path | None = None
    mean: str | None = None
    preset: str | None = None
    csv: Path | None = None
    calibrate: str | None = None
    calibration_batches: int | None = None
    first_calibration_batch: int | None = None
    quiet: bool = False

    @property
    def wants_sweep(self) -> bool:
        """Whether one of the options was given that ask for a sweep."""
        return self.iterations is not None or self.dtype is not None


def run_sweep(
    terminal: Terminal,
    home: "Workspace",
    *,
    network: str,
    data: str,
    split: str | None,
    batch_sizes: Sequence[int],
    asked: SweepArguments,
    out: Path | None,
) -> None:
    """Measure, show the Final Stats, and keep them as a folder and, if wanted, a CSV file."""
    from sightline.bench.inference_sweep.measure import DEFAULT_CALIBRATION_BATCHES, SweepRequest
    from sightline.core.errors import Conflict

    for place in (out, asked.csv):
        if place is not None and place.exists():
            raise Conflict(f"{place} exists already; choose another name or remove it")
    request = SweepRequest(
        batch_sizes=batch_sizes,
        iterations=asked.iterations or DEFAULT_ITERATIONS,
        precisions=parse_precisions(asked.dtype) if asked.dtype is not None else (),
        engine=asked.engine,
        split=split,
        mean_rgb=read_mean(asked.mean) if asked.mean is not None else None,
        class_names=read_labels(asked.labels) if asked.labels is not None else None,
        calibration_batches=asked.calibration_batches or DEFAULT_CALIBRATION_BATCHES,
        first_calibration_batch=asked.first_calibration_batch or 0,
    )
    with watch_progress(asked.quiet) as on_progress, open_network(network, home, asked) as folder:
        content = measure_network(folder, home, data, asked.calibrate, request, on_progress)
    show_sweep(terminal, home, content, asked.csv, out)


@contextmanager
def open_network(reference: str, home: "Workspace", asked: SweepArguments) -> "Iterator[Path]":
    """The folder of the Model or Artifact that a name, a folder or a network's file stands for, for as long as the block runs.

    A network's file becomes a Model in a temporary folder, fed as the file, `--mean` and `--preset` say.

    Raises: NotFound, InvalidInput; Unsupported for a file of no framework.
    """
    from sightline.compiler.importers.table import find_importer
    from sightline.core.folders import MANIFEST_NAME
    from sightline.serving.loading import find_subject

    path = Path(reference)
    if not path.is_file() and ((path / MANIFEST_NAME).is_file() or not path.is_dir() or find_importer(path) is None):
        yield find_subject(reference, home)
        return
    from sightline.compiler.importing.import_network import import_network

    with TemporaryDirectory(prefix="sightline-network-") as temporary, watch_progress(asked.quiet) as on_progress:
        meaning = make_meaning(asked)
        yield import_network(path, Path(temporary) / "model", make_name(path), meaning=meaning, on_progress=on_progress).folder


def make_meaning(asked: SweepArguments) -> "Meaning":
    """What the options say of a network's file."""
    from sightline.compiler.importers.importer import StatedInput
    from sightline.compiler.importing.import_network import Meaning

    names = read_labels(asked.labels) if asked.labels is not None else None
    mean = read_mean(asked.mean) if asked.mean is not None else None
    return Meaning(stated=StatedInput(mean=mean), preset=asked.preset, categories=tuple(names) if names is not None else None)


def measure_network(
    folder: Path, home: "Workspace", data: str, calibrate: str | None, request: Any, on_progress: "OnProgress"
) -> "SweepContent":
    """Open the pictures and sweep. Args: request: a `SweepRequest`."""
    from sightline.bench.inference_sweep.measure import settle_class_names, sweep_inference
    from sightline.bench.inference_sweep.pictures import open_sweep_pictures
    from sightline.core.settings import read_settings
    from sightline.runtime.predictor import read_runnable_manifest

    manifest = read_runnable_manifest(folder)
    names = settle_class_names(manifest, request.class_names).names
    with ExitStack() as stack:

        def open_pictures(reference: str) -> "tuple[DatasetVersion, list[str]]":
            return stack.enter_context(open_sweep_pictures(reference, home, request.class_names, names, on_progress))

        version, notes = open_pictures(data)
        calibration = None if calibrate is None else open_pictures(calibrate)[0]
        threads = read_settings().threads
        return sweep_inference(
            folder, version, request, threads=threads, calibration=calibration, notes=notes, on_progress=on_progress
        )


def show_sweep(terminal: Terminal, home: "Workspace", content: "SweepContent", csv: Path | None, out: Path | None) -> None:
    """The Final Stats, and where the page and the rows lie."""
    from sightline.bench.inference_sweep.pages import render_csv, save_sweep
    from sightline.bench.inference_sweep.records import flatten_row
    from sightline.bench.inference_sweep.tables import build_sweep_table
    from sightline.core.folders import write_file_atomic

    terminal.show(build_sweep_table(content))
    folder = out or choose_new_folder(home, SWEEPS_FOLDER, content.name, content.created_at)
    page = save_sweep(content, folder)
    if csv is not None:
        write_file_atomic(csv, render_csv(content).encode())
        terminal.say(f"rows: {csv}")
    terminal.say(f"page: {page}")
    rows = [flatten_row(content, row) for row in content.rows]
    terminal.finish({"sweep": content.name, "folder": folder, "page": page, "csv": csv, "rows": rows, "content": content})


def choose_new_folder(home: "Workspace", shelf: str, name: str, created_at: str) -> Path:
    """A new place in the workspace, named by what was measured and the moment (ISO 8601)."""
    from sightline.bench.reports import make_report_name

    folder = home.root / shelf / make_report_name(name)
    stamp = created_at.partition("+")[0].replace(":", "").replace("-", "")
    names = (stamp if number == 1 else f"{stamp}-{number}" for number in itertools.count(1))
    return next(folder / name for name in names if not (folder / name).exists())


@contextmanager
def watch_progress(quiet: bool) -> "Iterator[OnProgress]":
    """A bar with the time left, or nothing."""
    from sightline.core.progress import ignore_progress

    if quiet:
        yield ignore_progress
        return
    with show_progress() as on_progress:
        yield on_progress


def parse_precisions(text: str) -> "tuple[Precision, ...]":
    """Read "fp32,int8". Raises: InvalidInput."""
    from sightline.core.errors import InvalidInput
    from sightline.core.manifests import Precision

    names = tuple(part.strip().lower() for part in text.split(","))
    known = get_args(Precision)
    if not set(names) <= set(known) or len(set(names)) != len(names):
        raise InvalidInput(f"expected --dtype as some of {', '.join(known)}, each once, with commas, got {text!r}")
    return names  # type: ignore[return-value]  # checked above


def read_labels(path: Path) -> list[str]:
    """Names of the classes, one a line, as labels.txt or Caffe's synset_words.txt have them. Raises: NotFound, InvalidInput."""
    from sightline.core.errors import InvalidInput, NotFound
    from sightline.data.conversion import ConversionReport
    from sightline.data.formats.lmdb.format import read_class_names
    from sightline.data.formats.picture_files import make_unique_names

    if not path.is_file():
        raise NotFound(f"no file of labels {path}; check the path")
    names = make_unique_names(read_class_names(path), ConversionReport())
    if not names:
        raise InvalidInput(f"expected a name a line in {path}, got none; list the network's classes in order")
    return names


def read_mean(text: str) -> tuple[float, ...]:
    """A mean as red, green, blue (or one gray value) of pixel values 0..255.

    Args:
        text: "R,G,B" or one number; or a file: `.npy` or `.binaryproto` with a mean image `(C, H, W)`, or `(C,)` in `.npy`,
            channels in BGR order as Caffe keeps them. A mean image becomes one value a channel.

    Raises: InvalidInput, NotFound.
    """
    import numpy as np

    from sightline.core.errors import InvalidInput, NotFound

    path = Path(text)
    if path.suffix in (".npy", ".binaryproto"):
        if not path.is_file():
            raise NotFound(f"no file of a mean {path}; check the path")
        if path.stat().st_size > MOST_MEAN_BYTES:
            raise InvalidInput(f"expected a mean image of at most {MOST_MEAN_BYTES >> 20} MB, got {path}; check the file")
        values = read_mean_file(path)
        values = values[None] if values.ndim == 2 else values
        per_channel = np.asarray(values, np.float64).reshape(len(values), -1).mean(axis=1)[::-1]  # BGR -> RGB
        mean = tuple(float(value) for value in per_channel)
    else:
        try:
            mean = tuple(float(part) for part in text.split(","))
        except ValueError:
            mean = ()
    if len(mean) not in (1, 3) or not np.isfinite(mean).all():
        raise InvalidInput(
            f"expected --mean as R,G,B such as 123,117,104 or a .npy or .binaryproto of 1 or 3 channels, got {text}"
        )
    return mean


def read_mean_file(path: Path) -> Any:
    """The array of a `.npy` or `.binaryproto`. Raises: InvalidInput."""
    import numpy as np

    from sightline.core.errors import InvalidInput
    from sightline.data.formats.lmdb.datum import read_blob

    if path.suffix == ".binaryproto":
        return read_blob(path.read_bytes())
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)  # a map is as long as the file, whatever its header says
    except (ValueError, OSError, EOFError, SyntaxError) as error:
        raise InvalidInput(f"expected an array of numbers in {path}, got {' '.join(str(error).split())}") from error
    if array.dtype.kind not in "fiu" or array.ndim not in (1, 2, 3) or not array.size:
        raise InvalidInput(f"expected a mean image (C, H, W) in {path}, got {array.dtype} {array.shape}; check the file")
    return array
