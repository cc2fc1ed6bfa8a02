from contextlib import closing

import numpy as np
import pytest

from sightline.compiler.importers.source_process import SourceProcess, find_version
from sightline.core.errors import Exhausted, InvalidInput, Unsupported

BATCH = np.arange(6, dtype=np.float64).reshape(2, 3)
SERVE = """
import sys, time
from sightline.compiler.importers.messages import answer_requests

def answer(head, batch):
    if head["wanted"] == "double":
        return {"type": str(batch.dtype)}, [2 * batch, batch[:1]]
    if head["wanted"] == "refusal":
        raise ValueError("odd")
    if head["wanted"] == "silence":
        time.sleep(600)
    print("no such thing")  # as libraries do
    sys.exit(3)

answer_requests(lambda: ({"how": "loaded"}, answer))
"""
HALF = """
import sys
from sightline.compiler.importers.messages import send
send(sys.stdout.buffer, {"how": "loaded"})
sys.stdin.buffer.readline()
sys.stdout.buffer.write(b'{"arrays": 1}' + bytes([10]) + b"no array")
sys.stdout.flush()
sys.exit("broke off")
"""


def start(code: str, **limits: float) -> SourceProcess:
    return SourceProcess("Toy", "net.toy", ["-c", code], "save it again", **limits)


def test_a_batch_is_answered_and_a_refusal_does_not_end_the_process() -> None:
    with closing(start(SERVE)) as process:
        assert process.greeting["how"] == "loaded"
        with pytest.raises(InvalidInput, match=r"Toy cannot run this batch \(2, 3\): ValueError: odd"):
            process.ask({"wanted": "refusal"}, BATCH)
        head, (doubled, first) = process.ask({"wanted": "double"}, BATCH)
        assert head["type"] == "float32"
        assert doubled.tolist() == [[0, 2, 4], [6, 8, 10]]
        assert first.tolist() == [[0, 1, 2]]


@pytest.mark.parametrize(("code", "words"), [(SERVE, "code 3; its last words: no such thing"), (HALF, "broke off")])
def test_a_process_that_dies_is_told_with_its_last_words(code: str, words: str) -> None:
    with closing(start(code)) as process:
        with pytest.raises(Exhausted, match=f"runs Toy ended with .*{words}"):
            process.ask({"wanted": "death"}, BATCH)
        with pytest.raises(Exhausted, match="runs Toy ended"):
            process.ask({"wanted": "double"}, BATCH)


def test_silence_is_ended() -> None:
    with closing(start(SERVE, run_timeout_s=0.2)) as process, pytest.raises(Exhausted, match="code -9; its last words: none"):
        process.ask({"wanted": "silence"}, BATCH)
    with pytest.raises(Exhausted, match="code -9"):
        start("import time; time.sleep(600)", start_timeout_s=0.2)


def test_a_network_that_cannot_be_loaded_is_refused() -> None:
    refusing = """
from sightline.compiler.importers.messages import answer_requests
def load():
    raise ValueError("too old")
answer_requests(load)
"""
    with pytest.raises(Unsupported, match=r"installed Toy cannot run net\.toy: ValueError: too old; save it again"):
        start(refusing)
    with pytest.raises(Exhausted, match="ended with code 1; its last words: cannot begin"):
        start("import sys; sys.exit('cannot begin')")


def test_the_version_is_that_of_the_first_package_installed() -> None:
    assert find_version(("no-such-package", "numpy")) == np.__version__
    assert find_version(("no-such-package",)) == "of unknown version"
