import itertools
from pathlib import Path

import msgspec
import numpy as np
import pytest
from sweep_fakes import NAMES, make_pictures, write_artifact, write_model

from sightline.bench.inference_sweep import timing
from sightline.bench.inference_sweep.measure import (
    SweepRequest,
    check_request,
    replace_mean,
    settle_class_names,
    sweep_inference,
)
from sightline.bench.inference_sweep.networks import settle_precisions
from sightline.bench.inference_sweep.records import SweepContent, choose_widest_rows, flatten_row
from sightline.bench.inference_sweep.tables import describe_sweep
from sightline.bench.records import LoadResult
from sightline.core.errors import InvalidInput, NotFound, Unsupported
from sightline.core.folders import read_manifest
from sightline.core.manifests import ArtifactManifest, InputSpec, ModelManifest
from sightline.core.progress import ProgressEvent
from sightline.runtime.backends.openvino import OpenVinoBackend
from sightline.runtime.backends.table import load_backend

COLOURS = ("red", "green", "blue", "dark")
RIGHT = [("test", colour, colour) for colour in COLOURS]


@pytest.fixture(autouse=True)
def quiet_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """What other programs do meanwhile adds a note; these tests are about the others."""
    monkeypatch.setattr("sightline.bench.inference_sweep.measure.QUIET_SHARE", 1e9)


def sweep(folder: Path, version, **request) -> SweepContent:
    options = {name: request.pop(name) for name in ("calibration", "on_progress") if name in request}
    given = {"batch_sizes": (1,), "iterations": 4} | request
    return sweep_inference(folder, version, SweepRequest(**given), threads=1, **options)


def test_top1_and_top5_are_those_of_the_pictures(tmp_path: Path) -> None:
    # Four right answers; a red picture called blue is wrong but among five; one called "other" is the sixth of six.
    rows = [*RIGHT, ("test", "red", "blue"), ("test", "red", "other"), ("test", "red", None), ("train", "red", "red")]
    content = sweep(write_model(tmp_path / "model"), make_pictures(tmp_path / "data", rows), iterations=7)
    (row,) = content.rows
    assert (row.predictions, row.pictures, row.labelled) == (7, 7, 6)
    assert (row.correct_top1, row.correct_top5) == (4, 5)
    assert row.top1 == pytest.approx(4 / 6) and row.top5 == pytest.approx(5 / 6)
    assert (content.dataset.split, content.dataset.images, content.dataset.images_in_split) == ("test", 7, 7)


def test_int8_is_made_by_a_quantiser_that_starts_from_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    version = make_pictures(tmp_path / "data", RIGHT)
    monkeypatch.setattr("sightline.compiler.quantisers.table.FIRST_QUANTISERS", ("nncf-whole", "ort-minmax"))
    content = sweep(write_model(tmp_path / "model"), version, precisions=("int8",), engine="onnxruntime")
    assert content.calibration is not None
    assert content.calibration.quantiser == "ort-minmax"


def test_without_a_quantiser_every_reason_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    version = make_pictures(tmp_path / "data", RIGHT)
    monkeypatch.setattr("sightline.compiler.quantisers.table.FIRST_QUANTISERS", ("nncf",))
    monkeypatch.setattr("sightline.compiler.quantisers.nncf.NncfQuantiser.missing", lambda _: "quantising needs nncf")
    with pytest.raises(Unsupported, match=r"has no INT8 in onnxruntime: quantising needs nncf; leave int8 out of `precisions`"):
        sweep(write_model(tmp_path / "model"), version, precisions=("int8",), engine="onnxruntime")


def test_every_precision_at_every_batch_size_is_a_row_and_the_same_pictures_are_judged(tmp_path: Path) -> None:
    version = make_pictures(tmp_path / "data", [("train", colour, colour) for colour in COLOURS * 2] + RIGHT * 3)
    content = sweep(write_model(tmp_path / "model"), version, batch_sizes=(1, 3), iterations=4, precisions=("fp32", "int8"))
    assert [(row.precision, row.batch_size) for row in content.rows] == [("fp32", 1), ("fp32", 3), ("int8", 1), ("int8", 3)]
    assert all(row.ms.count == row.iterations == len(row.iterations_ms) == 4 for row in content.rows)
    assert [row.predictions for row in content.rows] == [4, 12, 4, 12]
    assert [row.correct_top1 for row in content.rows] == [4, 12, 4, 12]  # one of each colour, then all
    assert content.calibration is not None
    assert (content.calibration.images, content.calibration.source) == (8, "colours, split train")
    assert content.notes == ()
    assert msgspec.json.decode(msgspec.json.encode(content), type=SweepContent) == content
    assert {precision: row.batch_size for precision, row in choose_widest_rows(content).items()} == {"fp32": 3, "int8": 3}


def test_the_device_of_the_engine_is_named_with_the_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OpenVinoBackend, "describe_device", lambda self: {"gpu": "A GPU"})
    content = sweep(write_model(tmp_path / "model"), make_pictures(tmp_path / "data", RIGHT))
    assert content.host["gpu"] == "A GPU"
    assert describe_sweep(content)[0].endswith(" cores, A GPU")


def test_pictures_that_are_gone_through_twice_count_twice_and_it_is_said(tmp_path: Path) -> None:
    version = make_pictures(tmp_path / "data", [*RIGHT, ("test", "red", "blue")])
    content = sweep(write_model(tmp_path / "model"), version, batch_sizes=(5,), iterations=2)
    (row,) = content.rows
    assert (row.predictions, row.pictures, row.correct_top1) == (10, 5, 8)
    assert "again and again" in content.notes[0]


def test_only_the_timed_inferences_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(step=0.002)  # every look at it takes two milliseconds
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(clock))
    version = make_pictures(tmp_path / "data", RIGHT)
    (row,) = sweep(write_model(tmp_path / "model"), version, batch_sizes=(2,), iterations=3).rows
    assert row.iterations_ms == (2.0, 2.0, 2.0)
    assert row.inference_s == pytest.approx(0.006)
    assert (row.ms.p50, row.range_ms, row.ms.std) == (pytest.approx(2.0), pytest.approx(0.0), pytest.approx(0.0))
    assert row.picture_ms == pytest.approx(1.0)
    assert row.pictures_per_s == row.median_pictures_per_s == pytest.approx(1000)


def test_a_slow_iteration_moves_the_mean_and_not_the_median(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    version = make_pictures(tmp_path / "data", RIGHT)
    (row,) = sweep(write_model(tmp_path / "model"), version, iterations=3).rows
    slow = msgspec.structs.replace(row, ms=timing.compute_spread([1.0, 1.0, 28.0]))
    assert slow.pictures_per_s == pytest.approx(100)
    assert slow.median_pictures_per_s == pytest.approx(1000)


def test_precisions_take_turns_in_a_rotating_order_with_warm_ups_that_do_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sightline.bench.inference_sweep.pictures.BLOCK_BATCHES", 2)
    calls: list[tuple[str, int]] = []
    backend = type(load_backend("onnxruntime"))
    really_open = backend.open

    def open_watched(self, graph, options):
        session = really_open(self, graph, options)
        really_infer = session.infer

        def infer(inputs):
            calls.append((options.precision, len(inputs["images"])))
            return really_infer(inputs)

        session.infer = infer
        return session

    monkeypatch.setattr(backend, "open", open_watched)
    version = make_pictures(tmp_path / "data", RIGHT * 2)
    model = write_model(tmp_path / "model")
    content = sweep(model, version, batch_sizes=(2,), iterations=4, precisions=("fp32", "int8"), engine="onnxruntime")
    # Two blocks of two batches: 3 warm-ups and 2 timed by each new session, then 1 and 2, the second precision first.
    order = ["fp32"] * 5 + ["int8"] * 5 + ["int8"] * 3 + ["fp32"] * 3
    assert calls[-16:] == [(precision, 2) for precision in order]
    assert (content.plan.warm_ups, content.plan.turn_warm_ups) == (3, 1)


def test_a_network_of_another_task_is_timed_and_not_judged(tmp_path: Path) -> None:
    version = make_pictures(tmp_path / "data", RIGHT)
    content = sweep(write_model(tmp_path / "model", task="detection"), version)
    (row,) = content.rows
    assert (row.labelled, row.correct_top1, row.top1, row.top5) == (0, None, None, None)
    assert row.ms.count == 4
    assert "without --iterations" in content.notes[0]


def test_five_categories_or_fewer_have_no_top5(tmp_path: Path) -> None:
    version = make_pictures(tmp_path / "data", RIGHT, NAMES[:4])
    content = sweep(write_model(tmp_path / "model", names=NAMES[:4]), version)
    assert (content.rows[0].top1, content.rows[0].top5) == (1.0, None)
    assert "top-5 is left out: the network knows 4 categories" in content.notes


def test_calibrating_with_the_measured_pictures_is_said(tmp_path: Path) -> None:
    model, version = write_model(tmp_path / "model"), make_pictures(tmp_path / "data", RIGHT)
    content = sweep(model, version, precisions=("int8",))
    assert any("may look too good" in note for note in content.notes)
    others = make_pictures(tmp_path / "others", [("val", colour, colour) for colour in COLOURS])
    content = sweep(model, version, precisions=("int8",), calibration=others)
    assert content.calibration is not None and content.calibration.source == "colours, all pictures"
    assert content.notes == ()


def test_an_artifact_runs_in_its_own_precision_only(tmp_path: Path) -> None:
    artifact, version = write_artifact(tmp_path / "artifact"), make_pictures(tmp_path / "data", RIGHT)
    content = sweep(artifact, version)
    assert (content.subject.kind, content.subject.engine, content.subject.precision) == ("artifact", "onnxruntime", "fp32")
    assert content.rows[0].top1 == 1.0
    with pytest.raises(Unsupported, match="compiled to fp32 and runs in no other precision, got int8"):
        sweep(artifact, version, precisions=("fp32", "int8"))


def test_precisions_that_are_not_there_are_refused_in_one_line(tmp_path: Path) -> None:
    model = read_manifest(write_model(tmp_path / "model"), ModelManifest)
    with pytest.raises(Unsupported, match="onnxruntime runs int8, fp32 on this machine, got bf16"):
        settle_precisions(model, "onnxruntime", ("fp32", "bf16"))
    with pytest.raises(NotFound, match="engine"):
        settle_precisions(model, "absent", ())
    quantised = msgspec.structs.replace(model, precision="int8")
    assert settle_precisions(quantised, None, ()) == ("openvino", ("int8",))
    with pytest.raises(Unsupported, match="imported in int8"):
        settle_precisions(quantised, None, ("fp32",))
    artifact = read_manifest(write_artifact(tmp_path / "artifact", engine="openvino"), ArtifactManifest)
    assert settle_precisions(artifact, "onnxruntime", ()) == ("onnxruntime", ("fp32",))
    assert settle_precisions(artifact, None, ("fp32",)) == ("openvino", ("fp32",))


def test_an_emulated_device_is_not_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = read_manifest(write_model(tmp_path / "model"), ModelManifest)
    monkeypatch.setattr(type(load_backend("onnxruntime")), "device", "fpga-emulator")
    with pytest.raises(Unsupported, match="not how fast"):
        settle_precisions(model, "onnxruntime", ("int8",))


@pytest.mark.parametrize(
    "wrong",
    [
        {"batch_sizes": ()},
        {"batch_sizes": (0,)},
        {"batch_sizes": (1, 1)},
        {"iterations": 0},
        {"calibration_batches": 0},
        {"first_calibration_batch": -1},
        {"precisions": ("fp32", "fp32")},
    ],
)
def test_requests_that_cannot_work_are_refused(wrong: dict) -> None:
    with pytest.raises(InvalidInput):
        check_request(SweepRequest(**({"batch_sizes": (1,), "iterations": 1} | wrong)))


def test_pictures_without_a_category_of_the_network_are_refused(tmp_path: Path) -> None:
    version = make_pictures(tmp_path / "data", [("test", "red", "rouge")], ("rouge",))
    with pytest.raises(InvalidInput, match="rouge"):
        sweep(write_model(tmp_path / "model"), version)
    named = sweep(write_model(tmp_path / "named"), version, class_names=("rouge", "b", "c", "d", "e", "f"))
    assert named.rows[0].top1 == 1.0


def test_other_names_need_one_a_class(tmp_path: Path) -> None:
    manifest = read_manifest(write_model(tmp_path / "model"), ModelManifest)
    assert settle_class_names(manifest, None).names == NAMES
    with pytest.raises(InvalidInput, match="expected 6 names"):
        settle_class_names(manifest, ("a", "b"))


def test_a_mean_is_given_as_red_green_blue_whatever_the_network_wants() -> None:
    rgb = InputSpec(width=2, height=2)
    assert replace_mean(rgb, None) is rgb
    assert replace_mean(rgb, (1, 2, 3)).mean == (1.0, 2.0, 3.0)
    assert replace_mean(msgspec.structs.replace(rgb, colour="BGR"), (1, 2, 3)).mean == (3.0, 2.0, 1.0)
    assert replace_mean(rgb, (7,)).mean == (7.0, 7.0, 7.0)
    gray = InputSpec(width=2, height=2, colour="GRAY", mean=(0.0,), std=(1.0,))
    assert replace_mean(gray, (7,)).mean == (7.0,)
    with pytest.raises(InvalidInput, match="1 values for GRAY"):
        replace_mean(gray, (1, 2, 3))


def test_a_wrong_mean_changes_the_answers(tmp_path: Path) -> None:
    version = make_pictures(tmp_path / "data", [("test", "dark", "dark")])
    model = write_model(tmp_path / "model")
    assert sweep(model, version).rows[0].top1 == 1.0
    content = sweep(model, version, mean_rgb=(-255.0, 0.0, 0.0))  # everything is red
    assert (content.rows[0].top1, content.input.mean) == (0.0, (-255.0, 0.0, 0.0))


def test_a_busy_machine_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sightline.bench.inference_sweep.measure.QUIET_SHARE", 0.1)
    watch = type("Watch", (), {"close": lambda self: LoadResult(average_before=1, average_after=1, other_cores=1000.0)})
    monkeypatch.setattr("sightline.bench.inference_sweep.measure.LoadWatch", watch)
    content = sweep(write_model(tmp_path / "model"), make_pictures(tmp_path / "data", RIGHT))
    assert "other programs kept 1000.0 of" in content.notes[-1]


def test_progress_ends_whole_and_tells_the_time_left(tmp_path: Path) -> None:
    events: list[ProgressEvent] = []
    version = make_pictures(tmp_path / "data", RIGHT)
    sweep(write_model(tmp_path / "model"), version, batch_sizes=(1, 2), iterations=3, on_progress=events.append)
    measured = [event for event in events if event.stage == "measuring"]
    assert measured[-1].progress == pytest.approx(1.0) and measured[-1].remaining_s == 0.0
    assert np.all(np.diff([event.progress for event in measured]) > 0)


def test_a_row_is_flat_for_a_table(tmp_path: Path) -> None:
    content = sweep(write_model(tmp_path / "model"), make_pictures(tmp_path / "data", RIGHT))
    flat = flatten_row(content, content.rows[0])
    assert flat["network"] == "colours" and flat["data_type"] == "fp32" and flat["host"] == content.host_name
    assert {"date", "time", "total_run_s", "std_ms", "median_ms", "range_ms", "pictures_per_s", "top1", "top5"} <= set(flat)
