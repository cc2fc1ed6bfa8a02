"""What stays of large blocks after they were freed, told by a process of its own: the setting is for good."""

import subprocess
import sys

import pytest

from sightline.serving.repository.memory import read_anonymous_bytes

# Blocks of 5 to 30 MB are freed and taken again in several threads, as buffers of pictures are.
CHILD = """
import sys, threading
import numpy as np
from sightline.serving.large_blocks import return_large_blocks
from sightline.serving.repository.memory import read_anonymous_bytes
if sys.argv[1] == "returned" and not return_large_blocks():
    sys.exit(3)
before = read_anonymous_bytes()
together = threading.Barrier(4)
def work():
    for size in range(5, 31):
        blocks = [np.ones(size << 20, np.uint8) for _ in range(2)]
        pin = np.ones(50_000, np.uint8)  # what a thread keeps above them in its arena
        del blocks
    pins.append(pin)
    together.wait(60)
pins = []
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print((read_anonymous_bytes() - before) >> 20)
"""


def measure_left(how: str) -> int:
    child = subprocess.run([sys.executable, "-c", CHILD, how], capture_output=True, text=True, timeout=60, check=False)
    if child.returncode == 3:
        pytest.skip("another C library")
    assert child.returncode == 0, child.stderr
    return int(child.stdout)


def test_large_blocks_leave_nothing_behind() -> None:
    if not read_anonymous_bytes():
        pytest.skip("this system does not tell")
    assert measure_left("returned") <= 8
    assert measure_left("kept") >= 16  # else there would be nothing to do
