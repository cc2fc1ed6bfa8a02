"""What the heap keeps, told by processes of their own: the settings are for good."""

import ctypes
import subprocess
import sys

import pytest

from sightline.serving.repository.memory import read_anonymous_bytes

# Blocks of 5 to 30 MB are freed and taken again in several threads, as buffers of pictures are.
CHILD = """
import sys, threading
import numpy as np
from sightline.serving.process.heap import return_large_blocks
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


# Twenty threads at once, each of which takes memory; the C library tells its arenas in XML.
ARENAS = """
import ctypes, sys, tempfile, threading
from sightline.serving.process.heap import limit_arenas
if sys.argv[1] == "limited" and not limit_arenas(1):
    sys.exit(3)
together = threading.Barrier(20)
def work():
    kept.append(bytearray(100_000))
    together.wait(60)
kept = []
threads = [threading.Thread(target=work) for _ in range(20)]
for thread in threads: thread.start()
for thread in threads: thread.join()
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
with tempfile.NamedTemporaryFile() as told:
    stream = ctypes.c_void_p(libc.fopen(told.name.encode(), b"w"))
    libc.malloc_info(0, stream)
    libc.fclose(stream)
    print(told.read().count(b"<heap nr="))
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_info"), reason="another C library")
def test_threads_share_a_few_arenas() -> None:
    def count_arenas(how: str) -> int:
        child = subprocess.run([sys.executable, "-c", ARENAS, how], capture_output=True, text=True, timeout=60, check=True)
        return int(child.stdout)

    assert count_arenas("limited") == 2
    assert count_arenas("free") > 4
