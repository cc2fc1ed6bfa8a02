"""Which pictures calibrate and which judge: never the same, and never those of the test split."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from msgspec.structs import replace

from sightline.compiler.pictures import ChosenPictures, choose_pictures, draw_noise
from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput
from sightline.core.manifests import InputSpec
from sightline.data.blobs import BlobStore
from sightline.data.items import Item
from sightline.data.versions import DatasetVersion, VersionWriter


def make_split_version(
    folder: Path, splits: dict[str | None, int], labels: Sequence[tuple[Annotation, ...]] = ((),)
) -> DatasetVersion:
    """Small pictures of noise, all different, with these labels in turn."""
    rng, blobs = np.random.default_rng(0), BlobStore(folder / "blobs")
    writer = VersionWriter(folder / "version", "noise", Categories(("a",)), blobs)
    for split, count in splits.items():
        for index in range(count):
            content = cv2.imencode(".png", rng.integers(0, 256, (4, 4, 3), np.uint8))[1].tobytes()
            name, said = f"{split}/{index}", labels[index % len(labels)]
            writer.add(Item(blob=blobs.put_bytes(content), file_name=name, width=4, height=4, split=split, annotations=said))
    return writer.close()


def find_splits(chosen: ChosenPictures) -> tuple[set[str | None], set[str | None]]:
    return {item.split for item in chosen.calibration}, {item.split for item in chosen.validation}


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_training_calibrates_and_validation_judges(name: str, tmp_path: Path) -> None:
    chosen = choose_pictures(make_split_version(tmp_path, {"train": 6, name: 5, "test": 9}), 4, 9, seed=0)
    assert find_splits(chosen) == ({"train"}, {name})
    assert (len(chosen.calibration), len(chosen.validation)) == (4, 5)
    assert (chosen.calibration_split, chosen.validation_split) == ("train", name)


@pytest.mark.parametrize("rest", ["train", "trainval", "val", "folds", None])
def test_what_is_no_test_split_is_divided_when_there_is_one_other(rest: str | None, tmp_path: Path) -> None:
    chosen = choose_pictures(make_split_version(tmp_path, {"test": 9, rest: 8}), 100, 100, seed=0)
    assert find_splits(chosen) == ({rest}, {rest})
    assert chosen.validation_split == f"{rest or 'unsplit'} (divided by seed)"
    names = [item.file_name for item in (*chosen.calibration, *chosen.validation)]
    assert len(names) == len(set(names)) == 8


@pytest.mark.parametrize("splits", [{"test": 9}, {"test": 9, "train": 1}])
def test_a_test_split_does_not_stand_in(splits: dict[str | None, int], tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="outside its test split"):
        choose_pictures(make_split_version(tmp_path, splits), 4, 4, seed=0)


@pytest.mark.parametrize("splits", [{"train": 100, "val": 100}, {"train": 200}])
def test_the_first_of_the_chosen_pictures_are_a_sample_of_all(splits: dict[str | None, int], tmp_path: Path) -> None:
    version = make_split_version(tmp_path, splits)
    names = [item.file_name for item in version.items()]  # as a folder for each category is imported: sorted by category
    for chosen in (choose_pictures(version, 100, 100, seed=0), choose_pictures(version, 60, 60, 0, calibrate_on=version)):
        for items in (chosen.calibration, chosen.validation):
            places = sorted(names.index(item.file_name) for item in items)
            first = [names.index(item.file_name) for item in items[:20]]
            assert min(first) < places[len(places) // 4] and max(first) > places[3 * len(places) // 4]
            assert first != sorted(first)
    assert choose_pictures(version, 100, 100, seed=3) == choose_pictures(version, 100, 100, seed=3)


SAID, GUESSED = Annotation(category="a"), Annotation(category="a", confidence=0.9, origin="model")


def test_where_people_labelled_some_pictures_those_that_a_model_labelled_do_not_judge(tmp_path: Path) -> None:
    version = make_split_version(tmp_path, {"train": 6, "val": 6}, [(SAID,), (GUESSED,), (SAID, GUESSED)])
    chosen = choose_pictures(version, 6, 6, seed=0)
    assert [item.annotations for item in chosen.validation] == [(SAID,)] * 4
    assert (len(chosen.calibration), chosen.labelled_by_models) == (6, 2)
    apart = choose_pictures(version, 6, 6, seed=0, calibrate_on=make_split_version(tmp_path / "other", {"train": 2, "x": 1}))
    assert apart.labelled_by_models == 2


def test_where_a_model_alone_labelled_the_pictures_count_as_unlabelled(tmp_path: Path) -> None:
    version = make_split_version(tmp_path, {"train": 6, "val": 6}, [(GUESSED,), ()])
    chosen = choose_pictures(version, 6, 6, seed=0)
    assert [item.annotations for item in chosen.validation] == [()] * 6
    assert chosen.labelled_by_models == 3


def test_pictures_that_nobody_looked_at_stay_and_those_in_which_a_model_found_nothing_go(tmp_path: Path) -> None:
    version = make_split_version(tmp_path, {"train": 6, "val": 6}, [(SAID,), (), ()])
    viewers = {f"val/{index}": viewer for index, viewer in enumerate((None, "model", "nobody") * 2)}
    with VersionWriter(tmp_path / "seen", "seen", version.categories, version.blobs) as writer:
        for item in version.items():
            writer.add(replace(item, seen_by=viewers.get(item.file_name)))
        chosen = choose_pictures(writer.close(), 6, 6, seed=0)
    assert sorted((item.file_name, item.seen_by) for item in chosen.validation) == [
        ("val/0", None),
        ("val/2", "nobody"),
        ("val/3", None),
        ("val/5", "nobody"),
    ]
    assert chosen.labelled_by_models == 2


def test_noise_lies_where_the_networks_pictures_lie() -> None:
    spec = InputSpec(name="images", width=32, height=32, mean=(100.0,) * 3, std=(2.0,) * 3, resize="stretch")
    noise = np.concatenate(draw_noise(spec, 4, seed=0))
    assert noise.shape == (4, 3, 32, 32) and noise.dtype == np.float32
    assert (noise.min(), noise.max()) == (-50.0, 77.5)  # pixels 0 and 255
