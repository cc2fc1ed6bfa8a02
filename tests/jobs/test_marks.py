import os
import subprocess
import sys
from pathlib import Path

import msgspec
import psutil

from sightline.jobs.marks import ProcessMark, is_alive, mark_own_process, mark_process


def test_this_process_is_alive_and_marked_by_when_it_began() -> None:
    mark = mark_own_process()
    assert mark.pid == os.getpid() and is_alive(mark)
    began = psutil.boot_time() + mark.start_ticks / os.sysconf("SC_CLK_TCK")
    assert abs(began - psutil.Process().create_time()) < 2


def test_another_process_of_the_same_number_is_another() -> None:
    mark = mark_own_process()
    assert not is_alive(msgspec.structs.replace(mark, start_ticks=mark.start_ticks - 1))
    assert not is_alive(msgspec.structs.replace(mark, boot="another start of the machine"))


def test_a_process_that_ended_is_not_alive_even_before_it_is_waited_for(tmp_path: Path) -> None:
    name = tmp_path / "a name) with 1 (2"
    name.symlink_to(sys.executable)
    with subprocess.Popen([str(name), "-S", "-c", "input()"], stdin=subprocess.PIPE) as child:
        mark = mark_process(child.pid)
        assert mark is not None and is_alive(mark)
        os.kill(child.pid, 9)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert not is_alive(mark)
    assert mark_process(child.pid) is None


def test_no_process_has_a_number_that_cannot_be() -> None:
    assert mark_process(2**22 + 1) is None
    assert not is_alive(ProcessMark(pid=2**22 + 1, start_ticks=0, boot=""))
