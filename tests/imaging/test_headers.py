import os
import select
import signal
import threading

from sightline.imaging.headers import quiet_pillow


def test_a_process_forked_while_another_thread_silences_pillow_can_do_so_too() -> None:
    done = threading.Event()

    def silence() -> None:
        while not done.is_set():
            with quiet_pillow():
                pass

    thread = threading.Thread(target=silence)
    thread.start()
    try:
        for _ in range(50):
            child = os.fork()
            if child == 0:
                with quiet_pillow():
                    os._exit(0)
            ending = os.pidfd_open(child)
            has_ended = select.select([ending], [], [], 20)[0] == [ending]
            os.close(ending)
            if not has_ended:
                os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            assert has_ended
    finally:
        done.set()
        thread.join()
