import os
import select
import signal

from sightline.core.processes import describe_exit, end_with_parent


def test_an_exit_says_its_signal_and_what_may_help() -> None:
    assert describe_exit(3, "batch_size") == "exit code 3"
    assert describe_exit(-signal.SIGSEGV, "batch_size") == "signal SIGSEGV"
    assert describe_exit(-signal.SIGKILL, "batch_size") == "signal SIGKILL; perhaps out of memory: lower batch_size"


def test_a_process_ends_with_its_parent() -> None:
    read_end, write_end = os.pipe()
    parent = os.fork()
    if parent == 0:
        if os.fork() == 0:
            end_with_parent()
            os.write(write_end, b"x")
        signal.pause()
    os.close(write_end)
    assert os.read(read_end, 1) == b"x"
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    assert select.select([read_end], [], [], 20)[0] == [read_end]  # nobody holds the other end any more
    assert os.read(read_end, 1) == b""
    os.close(read_end)
