from pathlib import Path

from sightline.jobs.folder import End, JobFolder, Made, Order
from sightline.jobs.leases import Lease
from sightline.jobs.marks import mark_own_process

ORDER = Order(id="1", kind="count", arguments={"steps": 3}, author="me", lease=Lease(cores=(0,)))


def test_records_come_back_as_they_were(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path, "1")
    assert (folder.read_order(), folder.read_mark(), folder.read_end()) == (None, None, None)
    folder.write_mark(mark_own_process())
    assert folder.read_mark() == mark_own_process()
    folder.write_order(ORDER)
    assert folder.read_order() == ORDER
    assert folder.read_mark() is None  # of the process of another start
    end = End(made=Made(shelf="models", name="a", id="b", facts={"map": 0.5, "task": "detection"}))
    folder.write_end(end)
    assert folder.read_end() == end
    folder.remove()
    assert not folder.path.exists()


def test_one_holds_the_lock_at_a_time(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path, "1")
    with folder.locked() as first, JobFolder(tmp_path, "1").locked() as second:
        assert (first, second) == (True, False)
    with folder.locked() as again:
        assert again


def test_a_log_is_read_in_parts_that_break_no_character(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path, "1")
    assert folder.read_log(0, 10) == ("", 0, True)
    folder.path.mkdir(parents=True)
    folder.log.write_bytes("abcä def\xff".encode() + b"\xfe!")
    text, offset, is_end = folder.read_log(0, 4)
    assert (text, offset, is_end) == ("abc", 3, False)
    text, offset, is_end = folder.read_log(offset, 100)
    assert (text, is_end) == ("ä defÿ\ufffd!", True)
    assert folder.read_log(offset, 100) == ("", offset, True)
    assert folder.read_log(10_000, 100)[0] == ""
