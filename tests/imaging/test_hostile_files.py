"""Every hostile or unusual file either becomes an upright RGB picture or is refused in one line, in a process that survives."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

# The child may use 2 GB and 10 s a file: a decoder that dies, hangs or eats memory ends it, and the test sees that.
CHILD = """
import json, resource, signal, sys, warnings
from pathlib import Path
warnings.simplefilter("error")
import numpy as np
from sightline.core.errors import SightlineError
from sightline.imaging.files.headers import probe_image
from sightline.imaging.files.reading import read_image, read_label_map
resource.setrlimit(resource.RLIMIT_DATA, (2 << 30, 2 << 30))
for path in sorted(Path(sys.argv[1]).rglob("*")):
    if not path.is_file():
        continue
    signal.alarm(10)
    try:
        image = read_image(path)
        assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3 and image.flags.c_contiguous
        header = probe_image(path.read_bytes())
        assert image.shape[:2] == (header.height, header.width), (image.shape, header)
        outcome = "picture"
    except SightlineError as error:
        assert str(error) and "\\n" not in str(error)
        outcome = type(error).__name__
    try:
        read_label_map(path)
    except SightlineError:
        pass
    print(json.dumps([str(path.relative_to(sys.argv[1])), outcome]), flush=True)
"""


def read_in_child(folder: Path) -> dict[str, str]:
    child = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder)], capture_output=True, text=True, timeout=240, check=False, errors="replace"
    )
    outcomes = dict(json.loads(line) for line in child.stdout.splitlines())
    assert child.returncode == 0, f"died with {child.returncode} after {len(outcomes)} files: {child.stderr[-2000:]}"
    assert len(outcomes) == sum(path.is_file() for path in folder.rglob("*"))
    return outcomes


@pytest.mark.parametrize(
    ("folder", "pictures"),
    [
        ("malformed/afl-testcases-jpeg", 1),
        ("malformed/go-fuzz-corpus", 20),
        ("malformed/jpeg-decoder-fuzz", 1),
        ("malformed/pillow-tests", 15),
        ("malformed/pngsuite-and-image-png", 1),
    ],
)
def test_a_malformed_file_is_a_picture_or_a_clear_refusal(shared_data, folder, pictures):
    outcomes = read_in_child(shared_data / folder)
    assert set(outcomes.values()) <= {"picture", "UnreadableImage", "ImageTooLarge"}
    assert sum(outcome == "picture" for outcome in outcomes.values()) >= pictures


def test_unusual_pictures_are_read_except_what_has_no_range(shared_data):
    outcomes = read_in_child(shared_data / "unusual-images")
    refused = {name for name, outcome in outcomes.items() if outcome != "picture" and "LICENSE" not in name}
    assert refused == {"libjpeg-turbo/monkey12.jpg"}  # 12 bits a sample


def test_medical_files_are_refused(shared_data):
    outcomes = read_in_child(shared_data / "medical")
    assert set(outcomes.values()) == {"UnreadableImage"}


def test_a_bomb_is_refused_before_it_is_decoded(shared_data):
    outcomes = read_in_child(shared_data / "malformed" / "jpeg-decoder-fuzz")
    assert outcomes["034.jpg"] == "ImageTooLarge"  # its header says 61472 x 32800
