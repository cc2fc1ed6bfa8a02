"""Every verb through the command line, on generated data; training and compiling are the slow test at the end."""

import json
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from cli_fixtures import Run, write_brightness_artifact, write_brightness_model
from PIL import Image
from rich.console import Console

from sightline.cli.commands.import_ import make_format_options, make_name, read_names
from sightline.cli.commands.import_network import is_plain_folder
from sightline.cli.commands.train import make_model_name, make_recipe_of, parse_settings, show_model
from sightline.cli.options import parse_counts
from sightline.cli.terminal import Terminal, make_table
from sightline.core.errors import InvalidInput
from sightline.core.workspace import Workspace
from sightline.serving import saving
from sightline.training.tasks.table import check_task


@pytest.fixture
def sample(run: Run) -> dict[str, object]:
    ran = run("sample", "parts", "--count", "20", "--task", "classification", "--json")
    assert ran.code == 0, ran.err
    return ran.json


def test_a_sample_is_shown_in_the_workspace(run: Run, sample: dict[str, object]) -> None:
    shown = run("show", "--json").json
    assert [(entry["name"], entry["folder"]) for entry in shown["datasets"]] == [("parts", sample["folder"])]
    manifest = run("show", str(sample["folder"]), "--json").json["manifest"]
    assert manifest["kind"] == "dataset_version" and manifest["item_count"] == 20


@pytest.mark.parametrize("task", ["classification", "multilabel", "detection", "instance", "semantic"])
def test_a_sample_names_a_training_that_there_is(task: str, run: Run) -> None:
    ran = run("sample", "parts", "--count", "10", "--task", task)
    check_task(ran.out.partition("next: sightline train parts --task ")[2].split()[0])  # type: ignore[arg-type]


def test_pictures_that_nobody_labelled_show_so_before_and_after_a_model_looked(run: Run, tmp_path: Path) -> None:
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((20, 20, 3), number, np.uint8))
    (tmp_path / "in").mkdir()
    for path in sorted(tmp_path.glob("*.png")):
        path.rename(tmp_path / "in" / path.name)
    assert run("import", tmp_path / "in", "--name", "bare", "--split", "given").code == 0
    shown = run("show", "bare").out
    assert "only a model looked" in shown and "nobody looked" in shown
    assert "Category" not in shown  # there is none
    parts = run("show", "bare", "--json").json["statistics"]["splits"]
    assert {name: (part["unseen_images"], part["model_images"]) for name, part in parts.items()} == {"unsplit": (3, 0)}
    assert "nobody looked" not in run("show", run("sample", "parts", "--count", "10", "--json").json["folder"]).out


def test_a_version_from_our_own_zip_goes_by_the_name_it_was_imported_under(run: Run, tmp_path: Path) -> None:
    first = run("sample", "parts", "--count", "10", "--task", "classification", "--json").json
    assert run("export", "parts", "--format", "sightline", "--out", tmp_path / "parts.zip").code == 0
    copy = run("import", tmp_path / "parts.zip", "--name", "copy", "--json").json
    assert f"dataset copy@{first['id'][:8]}" in run("show", "copy").out
    assert f"dataset parts@{first['id'][:8]}" in run("show", first["folder"]).out
    assert run("export", "copy", "--format", "sightline", "--out", tmp_path / "copy.zip", "--json").json["dataset"] == "copy"
    assert make_model_name(Path(copy["folder"]), "timm/resnet18") == "copy-timm-resnet18"
    model = write_brightness_model(tmp_path / "model")
    ran = run("annotate", "copy", "--with", model, "--every-picture", "--json")
    assert ran.code == 0, ran.err
    assert ran.json["dataset"] == "copy"
    newest = {entry["name"]: entry["id"] for entry in run("show", "--json").json["datasets"]}
    assert first["id"].startswith(newest["parts"]) and ran.json["id"].startswith(newest["copy"])


def test_a_dataset_shows_what_it_holds(run: Run, tmp_path: Path) -> None:
    sample = run("sample", "parts", "--count", "20", "--task", "detection", "--json").json
    plot = tmp_path / "plot.png"
    ran = run("show", "parts", "--plot", plot, "--json")
    assert ran.code == 0, ran.err
    assert cv2.imread(str(plot)) is not None
    statistics = ran.json["statistics"]
    assert {name: part["images"] for name, part in statistics["splits"].items()} == sample["splits"]
    table = pq.read_table(Path(str(sample["folder"])) / "items.parquet")
    counted = sum(len(annotations) for annotations in table["annotations"].to_pylist())
    assert sum(sum(part["annotations"].values()) for part in statistics["splits"].values()) == counted > 0
    text = run("show", "parts").out
    assert f"manifest: {sample['folder']}/manifest.json" in text
    for words in ("Pictures", "without annotation", "95 %", "Picture size", *statistics["box_sizes"]):
        assert words in text
    assert run("show", f"parts@{str(sample['id'])[:6]}").out == run("show", str(sample["folder"])).out == text


def test_a_pipe_has_long_paths_in_one_line(run: Run, tmp_path: Path) -> None:
    home = tmp_path / ("a-long-name-" * 12)
    folder = str(run("sample", "parts", "--count", "20", "--workspace", home, "--json").json["folder"])
    assert len(folder) > 150
    assert folder in run("show", "--workspace", home).out
    assert max(map(len, run("show", "parts", "--workspace", home).out.splitlines())) < 2 * len(folder)  # nothing is padded


def test_only_a_dataset_can_be_drawn(run: Run, sample: dict[str, object], tmp_path: Path) -> None:
    model = write_brightness_model(tmp_path / "model")
    assert json.loads(run("show", str(model)).out)["kind"] == "model"
    refused = run("show", str(model), "--plot", tmp_path / "x.png")
    assert refused.code == 2 and "the model" in refused.err
    assert run("show", "--plot", tmp_path / "x.png").code == 2
    assert run("show", "parts", "--plot", tmp_path / "x.doc").code == 2
    assert not list(tmp_path.glob("x.*"))
    (tmp_path / "x.png").write_bytes(b"mine")
    refused = run("show", "parts", "--plot", tmp_path / "x.png")
    assert refused.code == 4 and "exists already" in refused.err
    assert (tmp_path / "x.png").read_bytes() == b"mine"


def test_an_empty_workspace_says_how_to_begin(run: Run) -> None:
    assert "sightline sample" in run("show").out


def test_export_then_import_keeps_everything(run: Run, sample: dict[str, object], tmp_path: Path) -> None:
    exported = run("export", "parts", "--format", "class_folders", "--out", tmp_path / "folders", "--json")
    assert exported.code == 0, exported.err
    imported = run("import", tmp_path / "folders", "--name", "again", "--json")
    assert imported.code == 0, imported.err
    assert imported.json["items"] == 20
    assert imported.json["splits"] == sample["splits"]
    assert imported.json["report"]["dropped"] == {}
    assert run("export", "parts", "--format", "class_folders", "--out", tmp_path / "folders").code == 4  # it exists


def test_a_lossy_export_is_refused_until_it_is_allowed(run: Run, tmp_path: Path) -> None:
    assert run("sample", "shapes", "--count", "20", "--task", "instance").code == 0
    refused = run("export", "shapes", "--format", "yolo", "--out", tmp_path / "yolo")
    assert refused.code == 4 and "--allow-loss" in refused.err
    assert run("export", "shapes", "--format", "yolo", "--out", tmp_path / "yolo", "--allow-loss").code == 0


def test_only_the_wanted_categories_are_kept(run: Run, sample: dict[str, object], tmp_path: Path) -> None:
    run("export", "parts", "--format", "class_folders", "--out", tmp_path / "folders")
    (tmp_path / "names.txt").write_text("# kept\ngood\n\n")
    imported = run("import", tmp_path / "folders", "--name", "some", "--categories", tmp_path / "names.txt", "--json").json
    assert imported["categories"] == ["good"]


def test_a_model_predicts_files_and_says_what_it_could_not_read(run: Run, tmp_path: Path) -> None:
    model = write_brightness_model(tmp_path / "model")
    cv2.imwrite(str(tmp_path / "bright.png"), np.full((20, 30, 3), 255, np.uint8))
    (tmp_path / "bad.jpg").write_bytes(b"broken")
    jsonl, drawn = tmp_path / "all.jsonl", tmp_path / "drawn"
    pictures = (tmp_path / "bright.png", tmp_path / "bad.jpg")
    ran = run("predict", model, *pictures, "--json", "--jsonl", jsonl, "--save", drawn)
    assert ran.code == 2 and ran.err.endswith("\n1 of 2 could not be read\n"), ran.err
    assert (ran.json["answered"], ran.json["failed"]) == (1, 1)
    assert ran.json["pictures"][0]["annotations"][0]["category"] == "bright"
    assert len(ran.out.splitlines()) == 1 and "not read: " in ran.err
    assert [json.loads(line)["name"] for line in jsonl.read_text().splitlines()] == [str(path) for path in pictures]
    image = cv2.imread(str(next(drawn.iterdir())))
    assert image.shape == (20, 30, 3)


def test_what_is_there_is_not_overwritten_by_predictions(run: Run, tmp_path: Path) -> None:
    model, folder = write_brightness_model(tmp_path / "model"), tmp_path / "in"
    folder.mkdir()
    picture, jsonl = folder / "a.png", tmp_path / "all.jsonl"
    cv2.imwrite(str(picture), np.full((20, 30, 3), 255, np.uint8))
    content = picture.read_bytes()
    for option, place, code in (
        ("--jsonl", picture, 4),
        ("--save", model, 4),
        ("--save", folder, 2),
        ("--save", folder / "d", 2),
    ):
        refused = run("predict", model, folder, option, place)
        assert refused.code == code and str(place) in refused.err and refused.out == ""
    assert picture.read_bytes() == content and [*folder.iterdir()] == [picture]
    (tmp_path / "bad.jpg").write_bytes(b"broken")
    assert run("predict", model, tmp_path / "bad.jpg", "--jsonl", jsonl).code == 2
    assert run("predict", model, picture, "--jsonl", jsonl).code == 0, "what answered nothing leaves no file"
    assert run("predict", model, picture, "--jsonl", jsonl).code == 4


def test_pictures_that_the_json_leaves_out_are_told(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = write_brightness_model(tmp_path / "model")
    for name in ("a.png", "b.png", "c.png"):
        cv2.imwrite(str(tmp_path / name), np.full((20, 30, 3), 255, np.uint8))
    pictures = (tmp_path / "a.png", tmp_path / "b.png", tmp_path / "c.png")
    assert "left out" not in run("predict", model, *pictures, "--json").err
    assert f"first {saving.KEPT_RESULTS} pictures" in run("predict", "--help").out
    monkeypatch.setattr(saving, "KEPT_RESULTS", 2)
    ran = run("predict", model, *pictures, "--json")
    assert len(ran.json["pictures"]) == 2 and "1 left out of --json" in ran.err and "--jsonl" in ran.err
    assert "left out" not in run("predict", model, *pictures).err


def test_predictions_go_into_a_pipe(run: Run, tmp_path: Path) -> None:
    model, pipe = write_brightness_model(tmp_path / "model"), tmp_path / "pipe"
    cv2.imwrite(str(tmp_path / "a.png"), np.full((20, 30, 3), 255, np.uint8))
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    assert run("predict", model, tmp_path / "a.png", "--jsonl", pipe).code == 0
    assert json.loads(os.read(reader, 4096))["name"] == str(tmp_path / "a.png")
    os.close(reader)


def test_pictures_whose_names_are_no_utf8_are_answered(run: Run, tmp_path: Path) -> None:
    model, latin = write_brightness_model(tmp_path / "model"), os.fsdecode(b"caf\xe9")
    folder, drawn, jsonl = tmp_path / latin, tmp_path / f"drawn {latin}", tmp_path / "all.jsonl"
    folder.mkdir()
    bright = cv2.imencode(".png", np.full((20, 30, 3), 255, np.uint8))[1].tobytes()
    for name, content in ((f"1 {latin}.png", bright), (f"2 {latin}.png", b"broken"), ("3.png", bright)):
        (folder / name).write_bytes(content)
    ran = run("predict", model, folder, "--json", "--jsonl", jsonl, "--save", drawn)
    assert ran.code == 2 and "1 of 3 could not be read" in ran.err, ran.err
    assert ran.out.encode() and (ran.json["answered"], ran.json["failed"]) == (2, 1)
    names = [Path(json.loads(line)["name"]).name for line in jsonl.read_text().splitlines()]
    assert names == ["1 caf\N{REPLACEMENT CHARACTER}.png", "2 caf\N{REPLACEMENT CHARACTER}.png", "3.png"]
    assert len(list(drawn.iterdir())) == 2
    shown = run("predict", model, folder)
    assert shown.code == 2 and "bright" in shown.out and shown.out.encode()
    refused = run("predict", model, folder / "absent", "--json")
    assert refused.code == 3 and refused.out.encode()


def test_predicting_nothing_is_a_failure_and_one_object(run: Run, tmp_path: Path) -> None:
    model = write_brightness_model(tmp_path / "model")
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.jpg").write_bytes(b"broken")
    for source, code in ((tmp_path / "empty", 3), (tmp_path / "bad.jpg", 2)):
        ran = run("predict", model, source, "--json")
        assert (ran.code, len(ran.out.splitlines())) == (code, 1)
        assert str(source) in ran.json["error"]["detail"]


def test_an_import_prints_the_name_that_finds_it(run: Run, tmp_path: Path) -> None:
    assert run("sample", "boxes", "--count", "20").code == 0
    assert run("export", "boxes", "--format", "sightline", "--out", tmp_path / "boxes.zip").code == 0
    made = run("import", tmp_path / "boxes.zip", "--name", "mine", "--json")
    assert made.json["dataset"] == "mine"
    reference = made.err.partition("dataset ")[2].partition(":")[0]
    assert reference == f"mine@{str(made.json['id'])[:8]}"
    assert run("show", reference, "--json").json["folder"] == made.json["folder"]


def test_an_import_says_as_what_it_read_the_files_and_which_categories_it_found(run: Run, tmp_path: Path) -> None:
    for name in ("cam1/1.png", "cam2/2.png", "cam2/3.png"):
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (len(name), int(name[5]), 0)).save(tmp_path / "set" / name)
    assert "read as class_folders; categories: cam2 2, cam1 1\n" in run("import", tmp_path / "set").out
    plain = run("import", tmp_path / "set", "--option", "labels=none").out
    assert "read as class_folders; categories: none; no picture has a label yet\n" in plain and "sightline up" in plain


def test_training_on_labels_of_another_task_is_refused_before_any_work(run: Run, tmp_path: Path) -> None:
    assert run("sample", "boxes", "--count", "20").code == 0
    refused = run("train", "boxes", "--task", "semantic", "--budget", "1it")
    assert refused.code == 2 and "expected masks or polygons" in refused.err
    refused = run("train", "boxes", "--task", "segmentation", "--budget", "1it")
    assert refused.code == 2 and "expected a task of classification, multilabel, detection, instance, semantic" in refused.err
    refused = run("train", "boxes", "--task", "detection", "--budget", "1it", "--val-split", "valid")
    assert refused.code == 3 and "there is train, val, test" in refused.err


def test_what_to_do_with_a_trained_model_names_what_can_be_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_brightness_model(tmp_path / "model")
    for is_shelved, reference in ((True, "brightness"), (False, folder)):
        show_model(Terminal(as_json=False), folder, "parts", is_shelved)
        assert f"next: sightline compile {reference} --data parts\n" in capsys.readouterr().out


def test_the_metric_that_counts_stands_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_brightness_model(tmp_path / "model")
    manifest = json.loads((folder / "manifest.json").read_bytes())
    metrics = {"best_step": 41, "macro_f1": 0.5, "primary": "top1", "top1": 0.75}
    (folder / "manifest.json").write_text(json.dumps({**manifest, "metrics": metrics}))
    show_model(Terminal(as_json=False), folder, "parts", is_shelved=True)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    rows = lines[lines.index(["Metric", "Value"]) + 2 :]
    assert rows[:3] == [["top1", "0.75"], ["best_step", "41"], ["macro_f1", "0.5"]]


def test_serving_a_workspace_names_its_repository(run: Run, tmp_path: Path) -> None:
    (tmp_path / "home" / "deployments").mkdir(parents=True)
    ran = run("serve", tmp_path / "home")
    assert ran.code == 2 and str(tmp_path / "home" / "deployments") in ran.err


def test_a_deployment_is_removed(run: Run, workspace: Path, tmp_path: Path) -> None:
    artifact = write_brightness_artifact(tmp_path / "artifact", "artifact")
    assert run("deploy", artifact, "--name", "net").code == 0
    assert run("undeploy", "net", "--json").json == {"removed": "net", "repository": str(workspace / "deployments")}
    assert run("show", "--json").json["deployments"] == []
    assert run("undeploy", "net").code == 3
    assert artifact.is_dir()


def test_an_artifact_answers_under_the_name_it_was_compiled_under(run: Run, workspace: Path, tmp_path: Path) -> None:
    shelved = write_brightness_artifact(workspace / "artifacts" / "lowlat" / "the-first", "artifact")
    Workspace(workspace).set_latest(shelved)
    assert run("deploy", "lowlat", "--json").json["deployment"] == "lowlat"  # its manifest has the model's name
    assert run("deploy", shelved, "--json").json["deployment"] == "lowlat"
    elsewhere = write_brightness_artifact(tmp_path / "elsewhere", "artifact")
    assert run("deploy", elsewhere, "--json").json["deployment"] == "brightness"
    assert run("deploy", "lowlat", "--name", "other", "--json").json["deployment"] == "other"


def test_a_deployment_that_cannot_be_read_hides_no_other(run: Run, workspace: Path, tmp_path: Path) -> None:
    artifact = write_brightness_artifact(tmp_path / "artifact", "artifact")
    for name in ("broken", "gone", "whole"):
        assert run("deploy", artifact, "--name", name).code == 0
    (workspace / "deployments" / "broken" / "manifest.json").write_text("{")
    shutil.rmtree(workspace / "deployments" / "gone" / "1")
    shown = run("show", "--json")
    assert shown.code == 0, shown.err
    assert [(one["name"], one["id"]) for one in shown.json["deployments"]] == [
        ("broken", None),
        ("gone", None),
        ("whole", "version 1"),
    ]
    assert all(one["detail"] for one in shown.json["deployments"][:2])
    assert "whole" in run("show").out


def test_a_narrow_terminal_wraps_sentences_between_words_and_cuts_no_cell(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal(as_json=False)
    terminal.console = Console(width=40, highlight=False)
    terminal.tell("careful: [twelve] validation pictures give a wide interval")
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines == ["careful: [twelve] validation pictures", "give a wide interval"]
    terminal.show(make_table(["Engine", "Device", "Precision", "Probe"], [["onnxruntime", "cpu", "int8", "gemm 1024"]]))
    assert "onnxruntime cpu    int8      gemm 1024" in capsys.readouterr().out


def test_deploying_a_model_names_the_remedy(run: Run, tmp_path: Path) -> None:
    ran = run("deploy", write_brightness_model(tmp_path / "model"))
    assert ran.code == 2 and "sightline compile" in ran.err


def test_reports_are_measured_and_compared(run: Run, tmp_path: Path) -> None:
    model = write_brightness_model(tmp_path / "model")
    for name in ("dark", "bright"):
        for number in range(4):
            path = tmp_path / "folders" / "test" / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), np.full((20, 30, 3), number + 250 * (name == "bright"), np.uint8))
    imported = run("import", tmp_path / "folders", "--name", "tones")
    assert imported.code == 0 and imported.out.endswith("next: sightline show tones\n")
    options = ("--data", "tones", "--batch", "1", "--streams", "1", "--point-s", "0.1", "--json")
    first = run("measure", model, *options, "--out", tmp_path / "first")
    second = run("measure", model, *options, "--out", tmp_path / "second")
    assert (first.code, second.code) == (0, 0), first.err
    assert first.json["content"]["accuracy"]["values"]["top1"] == 1.0
    assert (tmp_path / "first" / "report.html").is_file()
    compared = run("measure", "--compare", tmp_path / "first", tmp_path / "second", "--json")
    assert compared.code == 0, compared.err
    top1 = next(number for number in compared.json["comparison"]["numbers"] if number["name"] == "top1")
    reach = 1.959964 * (2 / 10 / 10) ** 0.5  # matched pairs: one gained and one lost of 8 + 2, by hand
    assert (top1["difference"], top1["difference_interval"]) == (0.0, pytest.approx([-reach, reach], abs=1e-6))
    assert "<table>" in Path(compared.json["page"]).read_text()
    to_file = ("measure", "--compare", tmp_path / "first", tmp_path / "second", "--out", tmp_path / "page.html")
    assert [run(*to_file).code for _ in range(2)] == [0, 4]  # the second time it exists
    assert (tmp_path / "page.html").is_file()


@pytest.mark.parametrize(
    ("text", "name"), [("My Parts.tar.gz", "My-Parts"), ("a.zip", "a"), ("ünïts.zip", "n-ts"), ("___.zip", "dataset")]
)
def test_a_name_is_made_from_a_file(tmp_path: Path, text: str, name: str) -> None:
    (tmp_path / text).touch()
    assert make_name(tmp_path / text) == name


def test_counts_and_settings_are_parsed() -> None:
    assert parse_counts("1,8", "--batch") == (1, 8)
    assert parse_settings(["batch_size=8", "optimiser=sgd", "width=null"]) == {
        "batch_size": 8,
        "optimiser": "sgd",
        "width": None,
    }
    assert parse_settings(["learning_rate=Infinity"]) == {"learning_rate": "Infinity"}  # no number: the recipe refuses it
    parts = ["augmentation.flip_y=0.5", 'augmentation={"mosaic":0}', "augmentation.quarter_turns=true"]
    assert parse_settings(parts) == {"augmentation": {"flip_y": 0.5, "mosaic": 0, "quarter_turns": True}}
    for text in ("", "0", "1,x"):
        with pytest.raises(InvalidInput):
            parse_counts(text, "--batch")
    with pytest.raises(InvalidInput):
        parse_settings(["batch_size"])


@pytest.mark.parametrize(
    ("setting", "option"),
    [
        ("network=resnet18", "--model"),
        ("task=semantic", "--task"),
        ("budget=9it", "--budget"),
        ("validation_split=x", "--val-split"),
    ],
)
def test_a_field_that_has_an_option_is_no_setting(setting: str, option: str) -> None:
    with pytest.raises(InvalidInput, match=f"as {option}, got --set {setting}"):
        make_recipe_of("classification", "fast", [setting], "1it", 0, None, "train", "val")


def test_a_field_of_the_augmentation_is_set_alone_and_a_wrong_one_names_the_list() -> None:
    fields = ["augmentation.flip_y=0.5", "augmentation.quarter_turns=true"]
    augmentation = make_recipe_of("detection", "fast", fields, "1it", 0, None, "train", "val").augmentation
    assert (augmentation.flip_y, augmentation.quarter_turns, augmentation.mosaic) == (0.5, True, 0.4)
    for wrong in ("augmentation.flip_z=1", "batch_size.x=1"):
        with pytest.raises(InvalidInput, match=rf"{wrong.split('.')[0]}.*help\(sightline\.AugmentationSettings\)"):
            make_recipe_of("detection", "fast", [wrong], "1it", 0, None, "train", "val")


def test_lists_name_a_split_and_a_file(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("a\n")
    assert make_format_options(["train=t.txt"], ["task=instances"]) == {"task": "instances", "lists": {"train": "t.txt"}}
    assert make_format_options([], []) == {}
    with pytest.raises(InvalidInput):
        make_format_options(["train"], [])
    assert read_names(tmp_path / "t.txt") == ["a"]
    (tmp_path / "bom.txt").write_bytes("a\nü\n".encode("utf-8-sig"))
    assert read_names(tmp_path / "bom.txt") == ["a", "ü"]
    (tmp_path / "utf16.txt").write_bytes("a\n".encode("utf-16"))
    with pytest.raises(InvalidInput, match="UTF-8"):
        read_names(tmp_path / "utf16.txt")


def test_the_limit_of_pixels_is_the_setting_on_import_and_names_with_colons_stay_text(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, width in ((":x:", 30), ("dog", 30), ("small one", 3)):
        (tmp_path / "set" / name).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "set" / name / "1.png"), np.full((20, width, 3), len(name), np.uint8))
    monkeypatch.setenv("SIGHTLINE_MAX_IMAGE_PIXELS", "599")
    refused = run("import", tmp_path / "set", "--name", "small")
    assert "dropped 2 images: picture with more pixels than SIGHTLINE_MAX_IMAGE_PIXELS allows" in refused.out
    assert ":x:/1.png" in refused.out
    monkeypatch.setenv("SIGHTLINE_MAX_IMAGE_PIXELS", "600")
    assert run("import", tmp_path / "set", "--name", "whole", "--json").json["items"] == 3
    monkeypatch.setenv("SIGHTLINE_MAX_IMAGE_PIXELS", "59")
    nothing = run("import", tmp_path / "set", "--name", "whole")
    assert nothing.code == 2
    assert "dropped 3 images: picture with more pixels than SIGHTLINE_MAX_IMAGE_PIXELS allows (:x:/1.png, ...)" in nothing.err


def test_a_datasets_name_means_the_dataset_also_beside_a_folder_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a folder that happens to lie there, such as the import's own source, would be read without its labels."""
    home = Workspace(tmp_path / "workspace")
    version = home.root / "datasets" / "cats" / "0123456789abcdef"
    version.mkdir(parents=True)
    (version / "manifest.json").write_text("{}")
    for name in ("cats", "dogs"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    assert not is_plain_folder(home, "cats")
    assert is_plain_folder(home, "dogs") and is_plain_folder(home, "./cats")


@pytest.mark.slow
def test_the_whole_way_from_sample_to_answer(run: Run, tmp_path: Path) -> None:
    """Sample, train, compile, deploy, predict through a server, annotate; the weights learn little, the path is tested."""
    from sightline.cli.server_process import serve_in_child

    assert run("sample", "parts", "--count", "40").code == 0
    trained = run("train", "parts", "--task", "detection", "--budget", "4it", "--name", "net", "--set", "size=64", "--json")
    assert trained.code == 0, trained.err
    compiled = run("compile", "net", "--data", "parts", "--precision", "auto", "--calibration-images", "16", "--json")
    assert compiled.code == 0, compiled.err
    deployed = run("deploy", "net", "--json")
    assert deployed.json["version"] == 1, deployed.err
    repository = Path(deployed.json["folder"]).parents[1]
    cv2.imwrite(str(tmp_path / "a.png"), np.full((90, 120, 3), 128, np.uint8))
    with serve_in_child(repository, tmp_path / "server.log") as url:
        remote = run("predict", "net", tmp_path / "a.png", "--url", url, "--confidence", "0", "--json")
        local = run("predict", "net", tmp_path / "a.png", "--confidence", "0", "--json")
    assert remote.code == local.code == 0, remote.err + local.err
    assert remote.json["pictures"] == local.json["pictures"]
    annotated = run(
        "annotate", "parts", "--with", "net", "--every-picture", "--confidence", "0.01", "--name", "labelled", "--json"
    )
    assert annotated.code == 0, annotated.err
    assert {entry["name"] for entry in run("show", "--json").json["datasets"]} == {"parts", "labelled"}


@pytest.mark.parametrize(
    ("options", "ignored"),
    [
        (("--data", "parts", "--calibrate", "7", "--calibration-images", "50"), "--calibration-images"),
        (("--data", "parts", "--calibrate-random"), "--data"),
        (("--calibrate", "parts", "--calibrate-random"), "--calibrate"),
        (("--data", "parts", "--out", "new", "--name", "other"), "--name"),
    ],
)
def test_options_of_compile_of_which_one_would_be_ignored_are_refused(
    run: Run, tmp_path: Path, options: tuple[str, ...], ignored: str
) -> None:
    refused = run("compile", write_brightness_model(tmp_path / "model"), *options)
    assert refused.code == 2 and f"got {ignored} too; leave one out" in refused.err
