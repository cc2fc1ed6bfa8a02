import csv
from pathlib import Path

import numpy as np
import pytest
from cli_fixtures import Run
from sweep_fakes import COLOURS, NAMES, SIDE, make_pictures, write_artifact, write_model

from sightline.cli.commands.measure_sweep import parse_precisions, read_labels, read_mean
from sightline.core.errors import InvalidInput, NotFound
from sightline.core.workspace import Workspace
from sightline.data.exporting import export_version
from sightline.data.formats.lmdb.datum import read_blob
from sightline.data.importing import import_dataset
from sightline.imaging.files.reading import encode_image


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model")


@pytest.fixture
def lmdb(tmp_path: Path) -> Path:
    """Databases `train_lmdb` and `test_lmdb`: each colour twice, every label right."""
    rows = [(split, colour, colour) for split in ("train", "test") for colour in COLOURS for _ in range(2)]
    export_version(make_pictures(tmp_path / "data", rows), tmp_path / "lmdb", "lmdb")
    return tmp_path / "lmdb"


def test_a_sweep_over_an_lmdb(run: Run, model: Path, lmdb: Path, workspace: Path, tmp_path: Path) -> None:
    options = ("--batch", "1,4", "--iterations", "2", "--dtype", "fp32,int8", "--csv", tmp_path / "out.csv", "--json")
    ran = run("measure", model, "--data", lmdb, *options)
    assert ran.code == 0, ran.err
    rows = ran.json["rows"]
    assert [(row["data_type"], row["batch_size"]) for row in rows] == [("fp32", 1), ("fp32", 4), ("int8", 1), ("int8", 4)]
    assert [row["top1"] for row in rows] == [1.0] * 4
    assert ran.json["content"]["dataset"]["split"] == "test"
    assert ran.json["content"]["calibration"]["source"] == "lmdb, split train"
    assert Path(ran.json["page"]).is_file() and Path(ran.json["folder"]).parent == workspace / "sweeps" / "colours"
    with (tmp_path / "out.csv").open() as file:
        assert [row["batch_size"] for row in csv.DictReader(file)] == ["1", "4", "1", "4"]
    assert len(ran.out.splitlines()) == 1
    assert "Final Stats" in ran.err and "measuring 100 %" in ran.err


def test_quiet_prints_the_final_stats_only(run: Run, model: Path, lmdb: Path, tmp_path: Path) -> None:
    ran = run("measure", model, "--data", lmdb, "--batch", "1", "--iterations", "1", "--quiet", "--out", tmp_path / "sweep")
    assert ran.code == 0, ran.err
    assert ran.err == ""
    assert "Final Stats" in ran.out and str(tmp_path / "sweep" / "sweep.html") in ran.out


def test_folders_versions_and_lists_are_measured_too(run: Run, model: Path, workspace: Path, tmp_path: Path) -> None:
    for name in ("red", "blue"):
        (tmp_path / "set" / name).mkdir(parents=True)
        (tmp_path / "set" / name / "1.png").write_bytes(encode_image(np.full((SIDE, SIDE, 3), COLOURS[name], np.uint8), "png"))
    import_dataset(tmp_path / "set", Workspace(workspace), "known", split="given")
    rows = ["path,label", "red/1.png,red", "blue/1.png,green"]  # the second is wrong
    (tmp_path / "set" / "labels.csv").write_text("\n".join(rows))
    for data, split, top1 in (("known", "all", 1.0), (str(tmp_path / "set"), "all", 0.5)):
        ran = run("measure", model, "--data", data, "--split", split, "--batch", "2", "--iterations", "1", "--json")
        assert ran.code == 0, ran.err
        assert ran.json["rows"][0]["top1"] == top1


def test_an_artifact_is_measured_and_refuses_other_precisions(run: Run, lmdb: Path, tmp_path: Path) -> None:
    artifact = write_artifact(tmp_path / "artifact")
    ran = run("measure", artifact, "--data", lmdb, "--batch", "1", "--iterations", "1", "--json")
    assert (ran.json["rows"][0]["engine"], ran.json["rows"][0]["data_type"]) == ("onnxruntime", "fp32")
    refused = run("measure", artifact, "--data", lmdb, "--dtype", "bf16")
    assert refused.code == 5 and "compiled to fp32" in refused.err and len(refused.err.strip().splitlines()[-1]) > 0


def test_a_precision_the_engine_lacks_is_one_line(run: Run, model: Path, lmdb: Path) -> None:
    refused = run("measure", model, "--data", lmdb, "--dtype", "fp32,bf16", "--engine", "onnxruntime", "--quiet")
    assert refused.code == 5
    (line,) = refused.err.splitlines()
    assert "onnxruntime runs int8, fp32 on this machine, got bf16" in line


def test_options_of_another_mode_are_refused_and_not_ignored(run: Run, model: Path, lmdb: Path, tmp_path: Path) -> None:
    data = ("--data", lmdb)
    for options, named in (
        (("--iterations", "1", "--streams", "2"), "--streams"),
        (("--iterations", "1", "--seed", "7"), "--seed"),
        (("--dtype", "fp32", "--point-s", "1", "--max-images", "3"), "--max-images, --point-s"),
        (("--mean", "1,2,3", "--csv", tmp_path / "x.csv"), "--mean, --csv"),
        (("--first-calibration-batch", "0"), "--first-calibration-batch"),
        (("--compare", "a", "b", "--iterations", "1"), "a subject, --data, --iterations"),
        (("--compare", "a", "b", "--split", "val", "--batch", "3", "--seed", "7"), "--split, --batch, --seed"),
    ):
        refused = run("measure", model, *data, *options)
        assert refused.code == 2 and named in refused.err, refused.err


def test_what_exists_is_not_written_over(run: Run, model: Path, lmdb: Path, tmp_path: Path) -> None:
    (tmp_path / "out.csv").write_text("precious")
    for option in (("--csv", tmp_path / "out.csv"), ("--out", tmp_path)):
        refused = run("measure", model, "--data", lmdb, "--iterations", "1", *option)
        assert refused.code == 4 and "exists already" in refused.err
    assert (tmp_path / "out.csv").read_text() == "precious"


def test_labels_and_mean_reach_the_network(run: Run, model: Path, lmdb: Path, tmp_path: Path) -> None:
    (lmdb / "labels.txt").unlink()
    (tmp_path / "names.txt").write_text("".join(f"n0000000{place} {name}\n" for place, name in enumerate(reversed(NAMES))))
    options = ("--data", lmdb, "--batch", "4", "--iterations", "2", "--json", "--quiet")
    named = run("measure", model, *options, "--labels", tmp_path / "names.txt")
    assert named.code == 0, named.err
    assert named.json["content"]["subject"]["categories"] == list(reversed(NAMES))
    assert named.json["rows"][0]["top1"] == 1.0  # class numbers of LMDB and network still agree
    fed_wrong = run("measure", model, *options, "--mean=-255,0,0")
    assert fed_wrong.json["rows"][0]["top1"] == 0.25 and fed_wrong.json["content"]["input"]["mean"] == [-255.0, 0.0, 0.0]


def test_precisions_are_parsed() -> None:
    assert parse_precisions("fp32, INT8,fp16") == ("fp32", "int8", "fp16")
    for text in ("", "fp8", "fp32,fp32", "fp32,"):
        with pytest.raises(InvalidInput, match="--dtype"):
            parse_precisions(text)


def test_labels_are_read_and_made_unique(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("crane\ncrane\n\n")
    assert read_labels(tmp_path / "a.txt") == ["crane", "crane (2)"]
    (tmp_path / "a.txt").write_text("\n")
    with pytest.raises(InvalidInput):
        read_labels(tmp_path / "a.txt")
    with pytest.raises(NotFound):
        read_labels(tmp_path / "absent.txt")


def write_blob(values: np.ndarray) -> bytes:
    """A BlobProto of `(C, H, W)` float32, by the published schema: sizes in fields 2 to 4, packed floats in field 5."""
    content = values.astype("<f4").tobytes()
    assert len(content) < 128
    sizes = b"".join(bytes([number << 3, size]) for number, size in zip((2, 3, 4), values.shape, strict=True))
    return sizes + bytes([5 << 3 | 2, len(content)]) + content


def test_a_mean_is_numbers_or_a_file_in_caffe_s_order(tmp_path: Path) -> None:
    assert read_mean("123.7,116.8,103.9") == (123.7, 116.8, 103.9)
    assert read_mean("127") == (127.0,)
    blue, green, red = 104.0, 117.0, 123.0
    image = np.stack([np.array([[value - 1, value + 1]]) for value in (blue, green, red)])  # (3, 1, 2) BGR
    np.save(tmp_path / "image.npy", image)
    np.save(tmp_path / "values.npy", np.array([blue, green, red]))
    np.save(tmp_path / "gray.npy", np.full((4, 4), 9, np.float32))
    (tmp_path / "mean.binaryproto").write_bytes(write_blob(image))
    assert np.array_equal(read_blob(write_blob(image)), image)
    for name in ("image.npy", "values.npy", "mean.binaryproto"):
        assert read_mean(str(tmp_path / name)) == (red, green, blue)
    assert read_mean(str(tmp_path / "gray.npy")) == (9.0,)


def test_means_that_are_none_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "pickle.npy", np.array([{}], object), allow_pickle=True)
    np.save(tmp_path / "text.npy", np.array(["a"]))
    np.save(tmp_path / "four.npy", np.zeros((4, 2, 2)))
    np.save(tmp_path / "nan.npy", np.full(3, np.nan))
    whole = (tmp_path / "four.npy").read_bytes()
    (tmp_path / "cut.npy").write_bytes(whole[:-8])
    (tmp_path / "huge.npy").write_bytes(whole.replace(b"(4, 2, 2)", b"(3, 9**9)") + b" ")
    (tmp_path / "head.npy").write_bytes(whole[:20])
    (tmp_path / "noise.binaryproto").write_bytes(b"\xff" * 50)
    files = [str(path) for path in tmp_path.iterdir()]
    for text in (*files, "1,2", "a,b,c", "nan,1,2", ""):
        with pytest.raises(InvalidInput) as caught:
            read_mean(text)
        assert "\n" not in str(caught.value)
    with pytest.raises(NotFound):
        read_mean("absent.npy")


def test_a_networks_file_is_imported_for_the_sweep(run: Run, model: Path, lmdb: Path, workspace: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(NAMES) + "\n")
    network = tmp_path / "colours.onnx"
    network.write_bytes((model / "model.onnx").read_bytes())
    options = ("--data", lmdb, "--batch", "2", "--iterations", "2", "--labels", labels, "--json")
    refused = run("measure", network, *options)
    assert refused.code == 2 and "--preset" in refused.err
    ran = run("measure", network, *options, "--preset", "0-1")
    assert ran.code == 0, ran.err
    assert ran.json["content"]["subject"]["network"] == "onnx/colours.onnx"
    assert not (workspace / "models").exists()


def test_options_of_pictures_are_refused_for_a_network(run: Run, model: Path, tmp_path: Path) -> None:
    network = tmp_path / "colours.onnx"
    network.write_bytes((model / "model.onnx").read_bytes())
    refused = run("import", network, "--preset", "0-1", "--split", "0.8/0.1/0.1")
    assert refused.code == 2
    assert "got --split, which only pictures have" in refused.err
