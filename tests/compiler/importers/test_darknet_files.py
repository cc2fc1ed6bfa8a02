import shutil

import numpy as np
import pytest
from darknet_making import DARKNET_19, REGION, TINY_YOLO_3, conv, maxpool, raw, route, write_network, yolo
from import_checks import assert_agrees

from sightline.compiler.importers.darknet.importer import DarknetImporter
from sightline.compiler.importers.importer import ImportOptions
from sightline.core.errors import InvalidInput, NotFound, SightlineError, Unsupported


def read(path, **options):
    return DarknetImporter().read(path, ImportOptions(**options))


def draw_batch(width: int = 64, height: int = 64) -> np.ndarray:
    return np.random.default_rng(1).uniform(size=(2, 3, height, width)).astype(np.float32)


@pytest.mark.parametrize(("version", "header_bytes"), [((0, 1), 16), ((0, 2), 20), ((1, 0), 20)])
def test_the_count_of_seen_pictures_has_32_bits_up_to_version_0_1(version, header_bytes, tmp_path):
    cfg = write_network(tmp_path, DARKNET_19, version=version)
    numbers = 8 * 4 + 8 * 27 + 5 + 5 * 8
    assert cfg.with_suffix(".weights").stat().st_size == header_bytes + 4 * numbers
    assert_agrees(read(cfg), draw_batch(), tmp_path, limit=1e-5)


def test_either_file_may_be_named_and_the_weights_may_lie_elsewhere(tmp_path):
    cfg = write_network(tmp_path, DARKNET_19)
    weights = cfg.with_suffix(".weights")
    assert read(cfg).files == (cfg, weights)
    assert read(weights).files == (weights, cfg)
    (tmp_path / "elsewhere").mkdir()
    moved = shutil.move(weights, tmp_path / "elsewhere" / "final.weights")
    with pytest.raises(NotFound, match=r"net\.weights"):
        read(cfg)
    assert read(cfg, weights=moved).files == (cfg, moved)
    with pytest.raises(NotFound, match=r"final\.cfg"):
        read(moved)


def test_files_are_told_by_their_first_bytes(tmp_path):
    importer = DarknetImporter()
    cfg = write_network(tmp_path, DARKNET_19)
    assert importer.detect(cfg) and importer.detect(cfg.with_suffix(".weights"))
    (tmp_path / "setup.cfg").write_text("[metadata]\nname = other\n")
    (tmp_path / "keras.weights").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    (tmp_path / "empty.weights").write_bytes(b"")
    for path in (
        tmp_path / "setup.cfg",
        tmp_path / "keras.weights",
        tmp_path / "empty.weights",
        tmp_path,
        tmp_path / "none.cfg",
    ):
        assert not importer.detect(path)
    assert importer.missing() is None


def test_weights_too_short_or_too_long_are_refused_with_numbers(tmp_path):
    cfg = write_network(tmp_path, DARKNET_19)
    weights = cfg.with_suffix(".weights")
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-8])
    with pytest.raises(InvalidInput, match=r"expected 40 more numbers .* layer 2 \[convolutional\].* got 38 of 291"):
        read(cfg)
    weights.write_bytes(whole + bytes(12))
    with pytest.raises(InvalidInput, match=r"expected 293 numbers .* got 296"):
        read(cfg)
    weights.write_bytes(whole[:-1])
    with pytest.raises(InvalidInput, match="cut or damaged"):
        read(cfg)
    for size in (0, 15, 19):
        weights.write_bytes(whole[:size])
        with pytest.raises(InvalidInput, match="header"):
            read(cfg)


def test_weights_that_are_no_numbers_are_refused(tmp_path):
    cfg = write_network(tmp_path, DARKNET_19)
    weights = cfg.with_suffix(".weights")
    whole = np.fromfile(weights, "<f4")
    for index, value, message in ((5, np.nan, "NaN"), (40, np.inf, "infinity"), (5 + 3 * 8, -1.0, "variances")):
        damaged = whole.copy()
        damaged[index] = value
        damaged.tofile(weights)
        with pytest.raises(InvalidInput, match=message):
            read(cfg)
    damaged = whole.copy()
    damaged[5 + 8 : 5 + 16], damaged[5 + 24 : 5 + 32] = 1e38, 1e-12  # scales, variances
    damaged.tofile(weights)
    with pytest.raises(InvalidInput, match="float32"):
        read(cfg)
    np.array([2000, 0, 0, 0, 0], "<i4").tofile(weights)
    with pytest.raises(Unsupported, match="transposed"):
        read(cfg)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (conv(8) + "[lstm]\n[crop]\nflip=1\n" + conv(8, activation="stair"), r"\[lstm\].*\[crop\].*activation=stair"),
        (conv(8, more="dilation=2") + conv(8, more="xnor=1"), "dilation=2.*xnor=1"),
        (conv(8) + conv(8, stride=2) + "[shortcut]\nfrom=-2\n", "different sizes"),
        (conv(8) + conv(8) + conv(8) + "[shortcut]\nfrom=-2,-3\n", "adds 2 layers"),
        (conv(8) + conv(8) + route("-1,-2", "groups=2"), "groups of several layers"),
        (raw(14) + yolo("0,1") + conv(8), "goes on from a detection layer"),
        (raw(14) + REGION.replace("coords=4", "coords=5").replace("softmax=1", ""), "coords=5.*softmax=0"),
        (raw(14) + yolo("0,1") + route("0") + raw(14) + yolo("2,3", "new_coords=1"), "differ"),
        (raw(14) + yolo("0,1") + route("0") + conv(8) + "[scale_channels]\nfrom=-1\n", "scale_channels"),
    ],
)
def test_layers_we_cannot_carry_over_are_all_named(layers, message, tmp_path):
    with pytest.raises(Unsupported, match=message):
        read(write_network(tmp_path, layers))


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ("", "1 to"),
        (conv(8) + route("3"), "only 1 layers stand before it"),
        (conv(8) + "[route]\n", "name layers"),
        (conv(8) + conv(8, stride=2) + route("-1,-2"), "one size"),
        (conv(8) + route("-1", "groups=3"), "do not divide"),
        (conv(8) + conv(8, more="groups=3"), "do not divide"),
        (conv(8) + conv(8).replace("stride=1", "stride=0"), "stride"),
        (conv(8) + conv(8).replace("size=3", "size=three"), "'three'"),
        (conv(8) + "[reorg]\nstride=3\n", "divide by 3"),
        (conv(8) + maxpool(2, 2, "padding=4"), "no pixel"),
        (conv(8) + maxpool(1000, 1, "padding=0"), "shape"),
        (conv(8) + maxpool(999999999, 1), "999999999"),
        (conv(8) + "[upsample]\nstride=1000\n", "values a picture"),
        (conv(8) + "[sam]\nfrom=-9\n", "layers stand before it"),
        ("filters=3\n" + conv(8) + "nonsense\n", "key=value"),
        (conv(8) + "[maxpool\n", "section"),
        (conv(8) + "[softmax]\n" + conv(8), "without place"),
    ],
)
def test_a_cfg_that_contradicts_itself_is_refused_in_one_line(layers, message, tmp_path):
    cfg = write_network(tmp_path, conv(8))
    cfg.write_text(f"[net]\nwidth=64\nheight=64\nchannels=3\n{layers}")
    rng = np.random.default_rng(0)
    cfg.with_suffix(".weights").write_bytes(np.array([0, 2, 5, 0, 0], "<i4").tobytes() + rng.random(4000, np.float32).tobytes())
    with pytest.raises(InvalidInput, match=message) as caught:
        read(cfg)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (raw(15) + yolo("0,1"), "expected 14 channels"),
        (raw(14) + yolo("0,4"), "mask"),
        (raw(14) + yolo("0,1").replace("num=4", "num=5"), "anchors"),
        (raw(14) + yolo("0,1").replace("10,14", "-10,14"), "anchors"),
        (raw(14) + yolo("0,1").replace("classes=2", "classes="), "classes"),
    ],
)
def test_a_detection_layer_that_does_not_fit_is_refused(layers, message, tmp_path):
    with pytest.raises(InvalidInput, match=message):
        read(write_network(tmp_path, layers))


def test_pictures_have_one_or_three_channels(tmp_path):
    cfg = write_network(tmp_path, maxpool(2, 2))
    with pytest.raises(InvalidInput, match="3 input channels"):
        read(cfg, channels=1)
    cfg.write_text(cfg.read_text().replace("channels=3", "channels=1"))
    stated = read(cfg).stated
    assert (stated.colour, stated.mean, stated.std, stated.resize) == ("GRAY", (0,), (255,), None)
    cfg.write_text(cfg.read_text().replace("channels=1", "channels=4"))
    with pytest.raises(Unsupported, match="4 channels"):
        read(cfg)
    with pytest.raises(InvalidInput, match="pixels a side"):
        read(cfg, width=0)


def test_a_network_that_computes_nothing_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match="compute something"):
        read(write_network(tmp_path, "[dropout]\n"))


def test_a_cfg_that_claims_huge_layers_costs_no_memory(tmp_path):
    cfg = write_network(tmp_path, conv(8))
    for text in (
        "[net]\nwidth=64\nheight=64\nchannels=3\n" + conv(1000000),
        "[net]\nwidth=64\nheight=64\nchannels=3\n" + conv(8) + route("0,0") + "".join(route("-1,-1") for _ in range(40)),
        "[net]\nwidth=64\nheight=64\nchannels=3\n" + conv(8).replace("filters=8", "filters=8\nfilters=999999999") + conv(99999),
        "[net]\nwidth=99999999\nheight=64\nchannels=3\n" + conv(8),
        "[net]\nwidth=64\nheight=64\nchannels=3\n" + "[dropout]\n" * 5000,
    ):
        cfg.write_text(text)
        with pytest.raises(InvalidInput):
            read(cfg)


def test_of_a_key_given_twice_the_first_counts_for_both_engines(tmp_path):
    cfg = write_network(tmp_path, TINY_YOLO_3)
    cfg.write_text(cfg.read_text().replace("stride=1\n", "stride=1\nstride=2\n", 1).replace("size=3", "size = 3 # small", 1))
    assert_agrees(read(cfg), draw_batch(), tmp_path, limit=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_flipped_bytes_and_cut_files_give_one_line_or_a_network(seed, tmp_path):
    cfg = write_network(tmp_path, TINY_YOLO_3, 32, 32)
    weights = cfg.with_suffix(".weights")
    originals = {path: path.read_bytes() for path in (cfg, weights)}
    rng = np.random.default_rng(seed)
    refused = 0
    for turn in range(40):
        for path, content in originals.items():
            path.write_bytes(content)
        path = cfg if turn % 2 else weights
        content = bytearray(originals[path])
        if turn % 5 == 0:
            del content[rng.integers(len(content)) :]
        else:
            for place in rng.integers(len(content), size=3):
                content[place] ^= 1 << rng.integers(8)
        path.write_bytes(content)
        try:
            read(cfg).source.close()
        except SightlineError as error:
            assert "\n" not in str(error) and len(str(error)) < 600
            refused += 1
    assert refused > 5
