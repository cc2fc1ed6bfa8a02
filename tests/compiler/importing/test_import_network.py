"""A network file becomes a Model: what is stated, found out, compared and refused."""

from pathlib import Path

import cv2
import msgspec
import numpy as np
import onnx
import pytest
from toy import NAMES, SPEC, write_version

from sightline.compiler.importers.importer import ImportOptions, StatedInput
from sightline.compiler.importing import preset_probe
from sightline.compiler.importing.import_network import Meaning, check_corners, import_network
from sightline.compiler.importing.pictures import choose_items
from sightline.compiler.importing.preset_probe import ProbeRow, probe_presets
from sightline.core.annotations import Annotation
from sightline.core.errors import Conflict, Exhausted, InvalidInput, NotFound, Unsupported
from sightline.core.folders import compute_file_hash, read_manifest, verify_files
from sightline.core.manifests import InputSpec, ModelManifest
from sightline.core.progress import ProgressEvent
from sightline.core.workspace import Workspace
from sightline.data.versions import DatasetVersion, VersionWriter
from sightline.imaging.heads.decoding import NotANumber
from sightline.runtime.predictor import open_predictor

STATED = StatedInput(colour="RGB", mean=SPEC.mean, std=SPEC.std, resize="stretch")


def test_an_imported_network_answers_as_the_model_it_came_from(model: Path, version: DatasetVersion, tmp_path: Path) -> None:
    meaning = Meaning(stated=STATED, categories=NAMES)
    result = import_network(model / "model.onnx", tmp_path / "out", "textures", meaning=meaning, pictures=version)
    manifest = read_manifest(result.folder, ModelManifest)
    verify_files(result.folder, manifest.files)
    assert (manifest.task, manifest.categories, manifest.network) == ("classification", NAMES, "onnx/model.onnx")
    with open_predictor(model) as one, open_predictor(result.folder) as other:
        for item in list(version.items("val"))[:8]:
            image = version.read_image(item)
            first, second = one.predict([image])[0][0], other.predict([image])[0][0]
            assert first.category == second.category
            assert first.confidence == pytest.approx(second.confidence, abs=1e-5)


def test_the_manifest_says_where_all_came_from(model: Path, version: DatasetVersion, tmp_path: Path) -> None:
    meaning = Meaning(stated=STATED, categories=NAMES)
    result = import_network(model / "model.onnx", tmp_path / "out", "textures", meaning=meaning, pictures=version)
    source, check = result.manifest.source, result.manifest.export_check
    expected = compute_file_hash(model / "model.onnx")
    assert source["framework"] == "onnx"
    assert source["files"] == [{"name": "model.onnx", "sha256": expected.sha256, "size_bytes": expected.size_bytes}]
    assert check["pictures"] == 16
    assert check["picture_source"] == "pictures of textures"
    assert check["max_relative_error"] < 1e-4
    assert check["top1_agreement"] == 1


def test_without_pictures_generated_ones_are_compared_and_said(model: Path, tmp_path: Path) -> None:
    result = import_network(model / "model.onnx", tmp_path / "out", "net", meaning=Meaning(stated=STATED, categories=NAMES))
    assert result.verification.picture_source == "generated pictures (none were given)"


def test_a_folder_of_pictures_is_compared_on(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in range(3):
        cv2.imwrite(str(folder / f"{index}.png"), np.full((30, 40, 3), 40 * index, np.uint8))
    meaning = Meaning(stated=STATED, categories=NAMES)
    result = import_network(model / "model.onnx", tmp_path / "out", "net", meaning=meaning, pictures=folder)
    assert (result.verification.pictures, result.verification.picture_source) == (3, "real pictures")
    with pytest.raises(NotFound, match="no picture in"):
        import_network(model / "model.onnx", tmp_path / "b", "net", meaning=meaning, pictures=tmp_path / "out")


def test_a_probe_takes_the_way_that_scores_best(model: Path, version: DatasetVersion, tmp_path: Path) -> None:
    meaning = Meaning(stated=StatedInput(resize="stretch"))
    result = import_network(model / "model.onnx", tmp_path / "out", "net", meaning=meaning, probe=version)
    scores = {row.preset: row.score for row in result.probe}
    assert result.probe[0].score == max(scores.values()) > scores["0-1"]
    assert result.manifest.input == result.probe[0].input
    assert result.manifest.categories == NAMES
    assert any("categories taken from 'textures'" in note for note in result.notes)
    kept = result.manifest.source["probe"]
    assert [row["preset"] for row in kept] == [row.preset for row in result.probe]


def test_nothing_is_tried_beside_a_way_that_the_user_states_whole(model: Path, version: DatasetVersion, tmp_path: Path) -> None:
    result = import_network(model / "model.onnx", tmp_path / "out", "net", meaning=Meaning(stated=STATED), probe=version)
    assert [row.preset for row in result.probe] == ["as stated"]
    assert result.manifest.input.std == SPEC.std


def test_a_network_nobody_says_how_to_feed_is_refused_and_nothing_is_left(model: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="give `preset`"):
        import_network(model / "model.onnx", tmp_path / "out", "net", meaning=Meaning(categories=NAMES))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("full_disk")
def test_a_full_disk_is_one_clear_line_and_nothing_is_left(model: Path, tmp_path: Path) -> None:
    with pytest.raises(Exhausted, match=r"no room left on the disk while writing .*out; make room"):
        import_network(model / "model.onnx", tmp_path / "out", "net", meaning=Meaning(stated=STATED, categories=NAMES))
    assert list(tmp_path.iterdir()) == []


def test_a_preset_fills_what_nobody_states(model: Path, tmp_path: Path) -> None:
    meaning = Meaning(stated=StatedInput(std=(64.0,)), preset="imagenet-tf", categories=NAMES)
    result = import_network(model / "model.onnx", tmp_path / "out", "net", meaning=meaning)
    assert (result.manifest.input.mean, result.manifest.input.std) == ((127.5,) * 3, (64.0,) * 3)


def test_a_list_of_categories_of_another_length_is_refused(model: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="expected 3 categories for the network's outputs, got 2"):
        import_network(model / "model.onnx", tmp_path / "out", "net", meaning=Meaning(stated=STATED, categories=("a", "b")))


def test_a_file_of_no_framework_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no network")
    with pytest.raises(Unsupported, match="network of none of onnx, "):
        import_network(tmp_path / "notes.txt", tmp_path / "out", "net")
    with pytest.raises(NotFound, match="no network file"):
        import_network(tmp_path / "absent.onnx", tmp_path / "out", "net")


def test_paths_may_be_text(model: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "one.png"), np.zeros((30, 40, 3), np.uint8))
    meaning = Meaning(stated=STATED, categories=NAMES)
    result = import_network(str(model / "model.onnx"), str(tmp_path / "out"), "net", meaning=meaning, pictures=str(tmp_path))
    assert result.folder == tmp_path / "out" and result.verification.picture_source == "real pictures"


def test_a_network_imported_into_a_workspace_is_found_by_its_name(model: Path, tmp_path: Path) -> None:
    home, meaning = Workspace(tmp_path), Meaning(stated=STATED, categories=NAMES)
    result = import_network(model / "model.onnx", home, "net", meaning=meaning)
    assert home.find("models", "net") == result.folder
    assert read_manifest(result.folder, ModelManifest) == result.manifest
    assert sorted(path.name for path in result.folder.parent.iterdir()) == sorted([result.folder.name, "latest"])


def test_a_place_that_is_taken_stays_untouched(model: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(Conflict, match="exists already"):
        import_network(model / "model.onnx", tmp_path / "out", "net", meaning=Meaning(stated=STATED, categories=NAMES))


def test_progress_never_goes_back_and_ends(model: Path, version: DatasetVersion, tmp_path: Path) -> None:
    events: list[ProgressEvent] = []
    meaning = Meaning(stated=STATED)
    import_network(model / "model.onnx", tmp_path / "out", "net", meaning=meaning, probe=version, on_progress=events.append)
    progress = [event.progress for event in events if event.progress is not None]
    assert progress == sorted(progress)
    assert list(dict.fromkeys(event.stage for event in events)) == [
        "reading the network",
        "probing presets",
        "comparing with the source",
        "writing",
    ]


@pytest.mark.parametrize(("colour", "mean"), [("RGB", (1.0, 2.0, 3.0)), ("BGR", (3.0, 2.0, 1.0))])
def test_means_are_said_for_red_green_blue_and_follow_the_channels(
    colour: str, mean: tuple[float, ...], model: Path, tmp_path: Path
) -> None:
    stated = StatedInput(colour=colour, mean=(1.0, 2.0, 3.0), std=(64.0,))  # type: ignore[arg-type]
    result = import_network(model / "model.onnx", tmp_path / "out", "net", meaning=Meaning(stated=stated, categories=NAMES))
    assert result.manifest.input.mean == mean


def test_a_probe_does_not_contradict_what_the_user_says(model: Path, version: DatasetVersion, tmp_path: Path) -> None:
    meaning = Meaning(stated=StatedInput(colour="RGB"))
    result = import_network(model / "model.onnx", tmp_path / "out", "net", meaning=meaning, probe=version)
    assert {row.input.colour for row in result.probe} == {"RGB"}


def test_a_probe_turns_what_the_user_says_round_with_the_channels(model: Path, version: DatasetVersion, tmp_path: Path) -> None:
    meaning = Meaning(stated=StatedInput(mean=(1.0, 2.0, 3.0), std=(4.0, 5.0, 6.0)))
    result = import_network(model / "model.onnx", tmp_path / "out", "net", meaning=meaning, probe=version)
    assert {(row.input.colour, row.input.mean, row.input.std) for row in result.probe} == {
        ("RGB", (1.0, 2.0, 3.0), (4.0, 5.0, 6.0)),
        ("BGR", (3.0, 2.0, 1.0), (6.0, 5.0, 4.0)),
    }


@pytest.mark.parametrize(
    ("meaning", "message"),
    [
        (Meaning(head="softmax", head_parameters={"tops": 3}), "expected only top for the head softmax, got 'tops'"),
        (Meaning(head_parameters={"top": 3}), "head parameters without a head; name it as `head`"),
    ],
)
def test_parameters_that_nothing_would_read_are_refused(model: Path, tmp_path: Path, meaning: Meaning, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        import_network(model / "model.onnx", tmp_path / "out", "net", meaning=meaning)


def test_weights_and_an_architecture_that_nothing_would_read_are_refused(model: Path, tmp_path: Path) -> None:
    (tmp_path / "tuned.pth").touch()
    for options in (ImportOptions(weights=tmp_path / "tuned.pth"), ImportOptions(architecture="torchvision/resnet18")):
        with pytest.raises(InvalidInput, match=r"expected no `\w+` for model\.onnx of onnx"):
            import_network(model / "model.onnx", tmp_path / "out", "x", options=options, meaning=Meaning(preset="0-1"))
    assert not (tmp_path / "out").exists()


def test_offsets_that_pose_as_corners_are_refused_with_the_remedy() -> None:
    corners = np.array([[[0.1, 0.1, 0.4, 0.5], [0.2, 0.3, 0.9, 0.8], [0.5, 0.5, 0.4, 0.6]]])  # one of three is inverted
    check_corners(corners, "xyxy")
    with pytest.raises(InvalidInput, match=r"got 100 % that are inverted.*`head` prior_boxes"):
        check_corners(-corners, "xyxy")
    check_corners(-corners, "cxcywh")


def test_ways_that_few_pictures_cannot_tell_apart_are_tried_on_more(
    model: Path, version: DatasetVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sightline.compiler.importing.preset_probe.PROBED", 30)
    monkeypatch.setattr("sightline.compiler.importing.preset_probe.NEAR", 1.0)
    result = import_network(model / "model.onnx", tmp_path / "a", "net", probe=version)
    assert {row.images for row in result.probe} == {210}  # all there are
    monkeypatch.setattr("sightline.compiler.importing.preset_probe.NEAR", 0.0)
    result = import_network(model / "model.onnx", tmp_path / "b", "net", probe=version)
    assert 30 in {row.images for row in result.probe}


def test_a_models_own_labels_tell_nothing_of_how_to_feed(model: Path, version: DatasetVersion, tmp_path: Path) -> None:
    writer = VersionWriter(tmp_path / "guessed", "guessed", version.categories, version.blobs)
    for item in version.items():
        guesses = tuple(msgspec.structs.replace(one, confidence=0.9, origin="model") for one in item.annotations)
        writer.add(msgspec.structs.replace(item, annotations=guesses))
    with pytest.raises(InvalidInput, match="expected labelled pictures to probe on, got none in 'guessed'"):
        probe_presets(model, read_manifest(model, ModelManifest), [], writer.close(), seed=0)


def test_names_that_no_head_can_carry_are_told(model: Path, tmp_path: Path) -> None:
    raw = Meaning(stated=STATED, categories=NAMES, head="raw")
    result = import_network(model / "model.onnx", tmp_path / "raw", "net", meaning=raw)
    assert result.manifest.categories == ()
    assert any(note.startswith("3 categories are named (bars, blobs, plain), but a head raw") for note in result.notes)
    known = import_network(model / "model.onnx", tmp_path / "known", "net", meaning=Meaning(stated=STATED, categories=NAMES))
    assert not any("are named" in note for note in known.notes)


def test_names_in_the_file_of_a_network_without_a_known_head_are_told(tmp_path: Path) -> None:
    nodes = [
        onnx.helper.make_node("Conv", ["images", "w"], ["a"], "a", kernel_shape=[4, 4], strides=[4, 4]),
        onnx.helper.make_node("Conv", ["images", "v"], ["b"], "b", kernel_shape=[4, 4], strides=[4, 4]),
        onnx.helper.make_node("Sigmoid", ["b"], ["c"], "c"),
        onnx.helper.make_node("Concat", ["a", "c"], ["joined"], "joined", axis=1),
        onnx.helper.make_node("Reshape", ["joined", "flat"], ["output0"], "output0"),
    ]
    rng = np.random.default_rng(0)
    weights = {name: rng.normal(size=(count, 3, 4, 4)).astype(np.float32) for name, count in (("w", 4), ("v", 11))}
    weights["flat"] = np.array([0, 15, -1], np.int64)  # a box, 5 names and 6 numbers of something else
    ends = ("images", ["N", 3, 16, 16]), ("output0", ["N", 15, 16])
    graph = onnx.helper.make_graph(
        nodes,
        "yolo",
        *([onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)] for name, shape in ends),
        [onnx.numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    names = {"names": "{0: 'cat', 1: 'dog', 2: 'cow', 3: 'hen', 4: 'pig'}", "author": "Ultralytics", "task": "pose"}
    onnx.helper.set_model_props(model, names)
    onnx.save(model, tmp_path / "yolo.onnx")
    result = import_network(tmp_path / "yolo.onnx", tmp_path / "out", "net")
    assert result.manifest.task == "raw"
    assert any(note.startswith("5 categories are named (cat, dog, cow, ...), but a head raw") for note in result.notes)


def write_whole(folder: Path, kind: str) -> Path:
    """A network of three textures whose input is of whole numbers."""
    text = f"""<ir_version: 8, opset_import: ["" : 17]> net ({kind}[N, 3, 16, 16] x) => (float[N, 3] y) {{
        f = Cast <to = 1> (x)
        c = Conv <kernel_shape = [8, 8], strides = [8, 8]> (f, w)
        p = GlobalAveragePool (c)
        l = Flatten (p)
        y = Softmax <axis = 1> (l)
    }}"""
    graph = onnx.parser.parse_model(text)
    weights = np.random.default_rng(0).normal(size=(3, 3, 8, 8)).astype(np.float32) / 1000
    graph.graph.initializer.append(onnx.numpy_helper.from_array(weights, "w"))
    onnx.save(graph, folder / "whole.onnx")
    return folder / "whole.onnx"


@pytest.mark.parametrize("kind", ["uint8", "int32"])
def test_a_network_of_whole_numbers_is_fed_pixels_whatever_the_preset(kind: str, tmp_path: Path) -> None:
    source = write_whole(tmp_path, kind)
    spec = import_network(source, tmp_path / "out", "net", meaning=Meaning(preset="imagenet-caffe")).manifest.input
    assert (spec.colour, spec.mean, spec.std) == ("BGR", (0.0,) * 3, (1.0,) * 3)
    with pytest.raises(InvalidInput, match="expected mean 0 for a network that takes whole numbers"):
        import_network(source, tmp_path / "b", "net", meaning=Meaning(preset="0-1", stated=StatedInput(mean=(104.0,))))


def test_a_probe_feeds_whole_numbers_as_pixels_only(version: DatasetVersion, tmp_path: Path) -> None:
    result = import_network(write_whole(tmp_path, "uint8"), tmp_path / "out", "net", probe=version)
    assert {row.preset for row in result.probe} == {"0-255", "0-255, BGR"}
    assert {(row.input.mean, row.input.std) for row in result.probe} == {((0.0,) * 3, (1.0,) * 3)}


def write_root(path: Path, sign: float) -> Path:
    """Two classes from the square root of a picture's mean, times `sign`: NaN where that is below 0."""
    nodes = [
        onnx.helper.make_node("GlobalAveragePool", ["x"], ["means"]),
        onnx.helper.make_node("Flatten", ["means"], ["flat"]),
        onnx.helper.make_node("Mul", ["flat", "sign"], ["signed"]),
        onnx.helper.make_node("Sqrt", ["signed"], ["roots"]),
        onnx.helper.make_node("MatMul", ["roots", "weights"], ["y"]),
    ]
    constants = {"sign": np.float32(sign), "weights": np.array([[-1, 1]] * 3, np.float32)}
    value_info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        nodes,
        "root",
        [value_info("x", onnx.TensorProto.FLOAT, ["N", 3, 8, 8])],
        [value_info("y", onnx.TensorProto.FLOAT, ["N", 2])],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_a_way_that_makes_the_network_answer_nan_scores_nothing_and_the_probe_goes_on(tmp_path: Path) -> None:
    def draw(place: int) -> tuple[np.ndarray, tuple[Annotation, ...]]:
        bright = bool(place % 2)
        return np.full((8, 8, 3), 30 + 180 * bright, np.uint8), (Annotation(category="bright" if bright else "dark"),)

    version = write_version(tmp_path / "v", "v", ("dark", "bright"), {"train": 6}, draw)
    meaning = Meaning(head="softmax")
    result = import_network(write_root(tmp_path / "root.onnx", 1), tmp_path / "out", "net", meaning=meaning, probe=version)
    scores = {row.preset: row.score for row in result.probe}
    assert scores["imagenet-torch"] == 0.0 < scores["0-255"] == result.probe[0].score  # the first takes a mean off
    with pytest.raises(InvalidInput, match="the network fails on this input"):
        import_network(write_root(tmp_path / "never.onnx", -1), tmp_path / "none", "net", meaning=meaning, probe=version)


def test_ways_that_fail_only_on_more_pictures_come_last(
    model: Path, version: DatasetVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preset_probe, "PROBED", 4)

    def score(
        predictor: object, manifest: object, name: str, spec: InputSpec, version: object, items: list[object]
    ) -> ProbeRow:
        if name in ("0-255", "0-1") and len(items) > 4:
            raise NotANumber("expected numbers in the output y of the network, got NaN")
        return ProbeRow(preset=name, input=spec, metric="top1", score=0.3 if "-torch" in name else 0.9, images=len(items))

    monkeypatch.setattr(preset_probe, "_score_way", score)
    ways = [(name, SPEC) for name in ("0-255", "imagenet-torch", "0-1")]
    rows = probe_presets(model, read_manifest(model, ModelManifest), ways, version, seed=0)
    assert [(row.preset, row.score) for row in rows] == [("imagenet-torch", 0.3), ("0-255", 0.0), ("0-1", 0.0)]


def test_a_preset_and_a_probe_for_another_are_refused_together(model: Path, version: DatasetVersion, tmp_path: Path) -> None:
    meaning = Meaning(preset="imagenet-caffe", categories=NAMES)
    with pytest.raises(InvalidInput, match=r"expected `preset` or `probe`, got both.*leave imagenet-caffe out"):
        import_network(model / "model.onnx", tmp_path / "out", "net", meaning=meaning, probe=version)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("splits", "chosen"),
    [
        ({"train": 3, "test": 9}, {"train"}),
        ({None: 2, "test": 9}, {None}),
        ({"val": 4, "train": 4}, {"val", "train"}),
        ({"test": 5}, {"test"}),
    ],
)
def test_a_probe_leaves_the_test_split_for_measuring(
    splits: dict[str | None, int], chosen: set[str | None], tmp_path: Path
) -> None:
    counts = {name or "none": count for name, count in splits.items()}
    made = write_version(tmp_path / "v", "v", NAMES, counts, lambda place: (np.zeros((8, 8, 3), np.uint8), ()))
    with VersionWriter(tmp_path / "w", "w", made.categories, made.blobs) as writer:
        for item in made.items():
            writer.add(msgspec.structs.replace(item, split=None if item.split == "none" else item.split))
        version = writer.close()
    items = choose_items(version, 5, seed=0)
    assert {item.split for item in items} == chosen
    assert len(items) == min(5, sum(count for name, count in splits.items() if name in chosen))


def test_a_network_that_one_engine_alone_reads_is_imported(tmp_path: Path) -> None:
    """A QLinearConv with a scale for each filter, which OpenVINO 2026.4 does not read."""
    text = """<ir_version: 8, opset_import: ["" : 17]> net (float[N, 3, 8, 8] x) => (float[N, 4] y) {
        q = QuantizeLinear (x, xs, xz)
        c = QLinearConv <kernel_shape = [3, 3]> (q, xs, xz, w, ws, wz, ys, xz)
        f = DequantizeLinear (c, ys, xz)
        p = GlobalAveragePool (f)
        y = Flatten (p)
    }"""
    graph = onnx.parser.parse_model(text)
    rng = np.random.default_rng(0)
    weights: dict[str, np.ndarray] = {
        "xs": np.array(1 / 255, np.float32),
        "xz": np.array(0, np.uint8),
        "w": rng.integers(-100, 100, (4, 3, 3, 3)).astype(np.int8),
        "ws": np.full(4, 0.01, np.float32),
        "wz": np.zeros(4, np.int8),
        "ys": np.array(0.02, np.float32),
    }
    graph.graph.initializer.extend(onnx.numpy_helper.from_array(value, name) for name, value in weights.items())
    onnx.save(graph, tmp_path / "net.onnx")
    result = import_network(tmp_path / "net.onnx", tmp_path / "out", "net", meaning=Meaning(preset="0-1"))
    assert result.manifest.precision == "int8"
    with pytest.raises(InvalidInput, match="OpenVINO cannot open"):
        open_predictor(result.folder)
    with open_predictor(result.folder, "onnxruntime") as predictor:
        assert len(predictor.predict([np.zeros((8, 8, 3), np.uint8)])) == 1
