"""The commands of the tutorial about serving run as they stand, on fewer pictures and in less time."""

import os
import random
import re
import shutil
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

TUTORIAL = Path(__file__).resolve().parents[2] / "docs/tutorials/serve-many-models.md"
BASH_BLOCK = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)
SMALLER = {
    "--count 200": "--count 20",
    "--budget 60cpu-s": "--budget 4it",
    "--precision auto": "--precision fp32",
    "[:25]": "[:5]",
    "--duration-s 2": "--duration-s 0.5",
}


def find_free_ports(count: int) -> list[int]:
    """Below those that Linux gives to whoever asks for any, as tests beside this one do."""
    ports: list[int] = []
    for port in random.sample(range(20_000, 32_000), 100):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            ports.append(port)
    return ports[:count]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="the tutorial asks with curl, which is not installed here")
def test_the_commands_of_the_serving_tutorial_run(tmp_path: Path) -> None:
    script = "\n".join(BASH_BLOCK.findall(TUTORIAL.read_text()))
    for shown, smaller in SMALLER.items():
        assert shown in script
        script = script.replace(shown, smaller)
    for shown_port, port in zip(("8000", "8001"), find_free_ports(2), strict=True):
        script = script.replace(shown_port, str(port))
    result = subprocess.run(
        ["bash", "-eu", "-c", f"trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n{script}"],
        cwd=tmp_path,
        env={
            "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(tmp_path),
            "PYTHONPATH": os.environ["PYTHONPATH"],  # quick_timing's
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert result.returncode == 0, f"{result.stdout[-3000:]}\n{result.stderr[-3000:]}"
    assert result.stdout.count("[[-1.5  1.5]]") == 1  # white, by hand: 3 means of 1 times the gain, less 1.5
    assert '"deployment":"tone","version":2' in result.stdout  # the swap
    assert '{"name":"tone","version":"3","state":"UNAVAILABLE","reason":"OpenVINO cannot open' in result.stdout
    assert "model 'tone' is used by inspect; unload that first" in result.stdout
    assert 'nv_inference_request_success{model="tone",version="2"} 1.0' in result.stdout
    assert "the key 'line-3' may not use the model 'parts'" in result.stdout
    assert (tmp_path / "drawn.png").read_bytes().startswith(b"\x89PNG")
