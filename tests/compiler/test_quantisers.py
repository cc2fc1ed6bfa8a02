import errno
import os
import shutil
from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnxruntime
import pytest
from toy import make_version
from toy_quantisers import ChannelQuantiser

from sightline.compiler.graphs import load_graph
from sightline.compiler.openvino_files import make_model_info, write_ir
from sightline.compiler.pictures import PreparedSamples, choose_pictures, draw_noise
from sightline.compiler.quantisers.nncf_control import run_batches
from sightline.compiler.quantisers.quantiser import Guide
from sightline.compiler.quantisers.ranges import collect_statistics
from sightline.compiler.quantisers.table import QUANTISERS, load_quantiser
from sightline.core.errors import InvalidInput, NotFound, Unsupported
from sightline.core.folders import read_manifest
from sightline.core.manifests import ModelManifest
from sightline.data.versions import DatasetVersion, VersionWriter
from sightline.runtime.backend import SessionOptions
from sightline.runtime.backends.table import load_backend


def make_samples(version: DatasetVersion, model: Path, count: int) -> PreparedSamples:
    items = list(version.items("train"))[:count]
    return PreparedSamples(version, items, read_manifest(model, ModelManifest).input)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in QUANTISERS if load_quantiser(name).guided_by is None])
def test_a_quantised_file_is_int8_per_channel_with_the_same_names_and_any_batch(
    name: str, model: Path, version: DatasetVersion, tmp_path: Path
) -> None:
    samples = make_samples(version, model, 20)
    out = tmp_path / "int8.onnx"
    facts = load_quantiser(name).quantise(model / "model.onnx", out, "images", samples)
    assert (facts.quantiser, facts.images) == (name, 20)
    graph = onnx.load(out)
    assert graph.ir_version <= 10
    assert [path.name for path in tmp_path.iterdir()] == ["int8.onnx"]  # one file
    int8_weights = [
        tensor for tensor in graph.graph.initializer if tensor.data_type == onnx.TensorProto.INT8 and len(tensor.dims) == 4
    ]
    shapes = {tuple(tensor.dims) for tensor in int8_weights}
    assert name == "nncf" or shapes == {(16, 3, 3, 3), (32, 16, 3, 3)}
    batch = np.concatenate([samples[index] for index in range(5)])
    expected = load_backend("reference").open(model / "model.onnx", SessionOptions()).infer({"images": batch})["logits"]
    for engine in ("openvino", "onnxruntime"):
        logits = load_backend(engine).open(out, SessionOptions("int8")).infer({"images": batch})["logits"]
        assert np.abs(logits - expected).mean() < 0.08 * np.abs(expected).max()


def test_the_same_samples_give_the_same_file(model: Path, version: DatasetVersion, tmp_path: Path) -> None:
    samples = make_samples(version, model, 6)
    for name in ("a", "b"):
        load_quantiser("ort-minmax").quantise(model / "model.onnx", tmp_path / name, "images", samples)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("name", ["ort-minmax", "ort-percentile", "ort-symmetric", "nncf"])
def test_packages_calibrate_with_as_many_threads_as_the_setting_says(
    name: str, model: Path, version: DatasetVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGHTLINE_THREADS", "3")
    usual, opened, options = onnxruntime.InferenceSession.__init__, [], onnxruntime.SessionOptions

    def open_session(self, path, sess_options=None, *others, **named):
        opened.append(sess_options.intra_op_num_threads)
        usual(self, path, sess_options, *others, **named)

    monkeypatch.setattr(onnxruntime.InferenceSession, "__init__", open_session)
    load_quantiser(name).quantise(model / "model.onnx", tmp_path / "int8.onnx", "images", make_samples(version, model, 4))
    assert opened and set(opened) == {3}
    assert onnxruntime.SessionOptions is options


def test_a_graph_that_cannot_be_quantised_is_refused_in_one_line(tmp_path: Path, model: Path, version: DatasetVersion) -> None:
    broken = tmp_path / "broken.onnx"
    shutil.copyfile(model / "model.onnx", broken)
    with pytest.raises(Unsupported, match="another quantiser may"):
        load_quantiser("ort-minmax").quantise(broken, tmp_path / "out.onnx", "no such input", make_samples(version, model, 2))


def test_an_unknown_quantiser_is_named_with_the_known_ones() -> None:
    with pytest.raises(NotFound, match="ort-minmax, nncf, nncf-whole, ort-percentile"):
        load_quantiser("magic")


def test_openvino_files_carry_what_model_api_reads(model: Path, tmp_path: Path) -> None:
    manifest = read_manifest(model, ModelManifest)
    write_ir(model / "model.onnx", tmp_path / "model.xml", manifest)
    import openvino

    info = openvino.Core().read_model(tmp_path / "model.xml").get_rt_info("model_info")
    assert info["model_type"] == "Classification"
    assert info["labels"] == "bars blobs plain"
    assert info["resize_type"] == "standard"
    assert info["mean_values"] == "127.5 127.5 127.5"
    assert make_model_info(manifest)["reverse_input_channels"] == "True"  # Model API is fed BGR


def test_openvino_files_that_find_no_room_are_told_by_the_system_s_error(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenVINO's own says no more than "iostream error", which a path that cannot be written gives as well."""

    def allocate(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    manifest = read_manifest(model, ModelManifest)
    (tmp_path / "model.bin").symlink_to("/dev/full")
    with pytest.raises(InvalidInput, match=r"OpenVINO cannot write .*iostream error"):
        write_ir(model / "model.onnx", tmp_path / "model.xml", manifest)
    monkeypatch.setattr(os, "posix_fallocate", allocate)
    (tmp_path / "model.bin").unlink(missing_ok=True)
    (tmp_path / "model.bin").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        write_ir(model / "model.onnx", tmp_path / "model.xml", manifest)


def test_openvino_files_keep_outputs_names_and_values(model: Path, tmp_path: Path) -> None:
    write_ir(model / "model.onnx", tmp_path / "model.xml", read_manifest(model, ModelManifest))
    batch = np.concatenate(draw_noise(read_manifest(model, ModelManifest).input, 3, 0))
    expected = load_backend("reference").open(model / "model.onnx", SessionOptions()).infer({"images": batch})
    outputs = load_backend("openvino").open(tmp_path / "model.xml", SessionOptions()).infer({"images": batch})
    np.testing.assert_allclose(outputs["logits"], expected["logits"], rtol=1e-4, atol=1e-4)


def test_calibration_and_validation_never_share_a_picture(version: DatasetVersion) -> None:
    chosen = choose_pictures(version, 10, 20, seed=1)
    assert (len(chosen.calibration), len(chosen.validation)) == (10, 20)
    assert (chosen.calibration_split, chosen.validation_split) == ("train", "val")
    assert not {item.file_name for item in chosen.calibration} & {item.file_name for item in chosen.validation}
    again = choose_pictures(version, 10, 20, seed=1)
    assert [item.file_name for item in again.validation] == [item.file_name for item in chosen.validation]
    other = choose_pictures(version, 10, 20, seed=2)
    assert [item.file_name for item in other.calibration] != [item.file_name for item in chosen.calibration]


def test_samples_are_prepared_as_at_inference_and_slice_lazily(model: Path, version: DatasetVersion) -> None:
    samples = make_samples(version, model, 4)
    assert len(samples) == 4
    assert len(samples[1:3]) == 2
    first = version.read_image(next(version.items("train")))
    expected = ((first.astype(np.float64) - 127.5) / 64).transpose(2, 0, 1)[None]  # the spec of toy.py, by hand
    np.testing.assert_allclose(samples[0], expected, atol=1e-5)


def test_noise_is_seeded(model: Path) -> None:
    spec = read_manifest(model, ModelManifest).input
    np.testing.assert_array_equal(draw_noise(spec, 2, 7)[1], draw_noise(spec, 2, 7)[1])


def test_a_version_with_one_split_is_divided(tmp_path: Path) -> None:
    chosen = choose_pictures(make_version(tmp_path, train=9, val=0), 100, 100, seed=0)
    assert (len(chosen.calibration), len(chosen.validation)) == (4, 5)
    assert not {item.file_name for item in chosen.calibration} & {item.file_name for item in chosen.validation}


def test_too_few_pictures_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="at least two different pictures"):
        choose_pictures(make_version(tmp_path, train=1, val=0), 1, 1, seed=0)


def test_the_same_picture_under_two_names_validates_nothing(tmp_path: Path) -> None:
    version = make_version(tmp_path, train=6, val=6)
    twin = VersionWriter(tmp_path / "twin", "twin", version.categories, version.blobs)
    train, val = list(version.items("train")), list(version.items("val"))
    for item in [*train, *val[:4], msgspec.structs.replace(train[0], file_name="val/twin.png", split="val")]:
        twin.add(item)
    chosen = choose_pictures(twin.close(), 100, 100, seed=0)
    assert {item.file_name for item in chosen.validation} == {item.file_name for item in val[:4]}


def test_only_the_training_split_is_divided_beside_splits_of_other_names(tmp_path: Path) -> None:
    version = make_version(tmp_path, train=8, val=4)
    renamed = VersionWriter(tmp_path / "renamed", "renamed", version.categories, version.blobs)
    for item in version.items():
        renamed.add(msgspec.structs.replace(item, split="secret" if item.split == "val" else item.split))
    chosen = choose_pictures(renamed.close(), 100, 100, seed=0)
    assert {item.split for item in (*chosen.calibration, *chosen.validation)} == {"train"}
    assert chosen.validation_split == "train (divided by seed)"


def test_ranges_are_seen_in_files_that_one_engine_refuses(model: Path, version: DatasetVersion, tmp_path: Path) -> None:
    samples, int8 = make_samples(version, model, 4), tmp_path / "int8.onnx"
    ChannelQuantiser().quantise(model / "model.onnx", int8, "images", samples)
    with pytest.raises(InvalidInput, match="zero point must be a scalar"):
        load_backend("onnxruntime").open(int8, SessionOptions("int8")).infer({"images": samples[0]})
    graph = load_graph(int8)
    last = [node for node in graph.graph.node if node.op_type == "Conv"][-1].output[0]
    seen = collect_statistics(graph, "images", samples, [last])[last]
    assert seen.values.shape[0] == len(seen.low) == 32
    assert (seen.low <= seen.high).all()


def test_accuracy_control_validates_in_an_engine_that_runs_the_file(
    model: Path, version: DatasetVersion, tmp_path: Path
) -> None:
    """ONNX Runtime has no kernel for activations of a scale for each channel, and says so only when it runs."""
    samples = make_samples(version, model, 4)
    ChannelQuantiser().quantise(model / "model.onnx", tmp_path / "int8.onnx", "images", samples)
    guide = Guide([samples[0]], lambda outputs: 1.0, 0.01, lambda: False)
    ((place, outputs),) = run_batches(onnx.load(tmp_path / "int8.onnx"), "images", [0], guide)
    assert (place, outputs["logits"].shape) == (0, (1, 3))
    unreadable = onnx.load(tmp_path / "int8.onnx")
    unreadable.graph.node[0].op_type = "NoSuchOperator"
    with pytest.raises(Unsupported, match="no engine runs what accuracy control tries"):
        list(run_batches(unreadable, "images", [0], guide))
