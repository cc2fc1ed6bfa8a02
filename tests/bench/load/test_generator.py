"""The process that makes load, started as `generators` starts it."""

import subprocess
import sys
from pathlib import Path

import msgspec
from scripted_server import serve_script, write_answer

from sightline.bench.load.records import GeneratorJob, GeneratorResult

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def test_more_clients_than_the_soft_limit_of_open_files(tmp_path: Path) -> None:
    (tmp_path / "pack").write_bytes(REQUEST)
    with serve_script(lambda _: write_answer()) as server:
        job = GeneratorJob(
            host="127.0.0.1",
            port=server.port,
            pack=str(tmp_path / "pack"),
            sizes=(len(REQUEST),),
            result=str(tmp_path / "result"),
            duration_s=0.3,
            warm_up_s=0.0,
            drain_s=20.0,
            max_in_flight=64,
            seed=1,
            clients=60,
        )
        command = ["sh", "-c", 'ulimit -S -n 30 && exec "$@"', "sh", sys.executable, "-m", "sightline.bench.load.generator"]
        said = subprocess.run(command, input=msgspec.json.encode(job) + b"\ngo\n", stdout=subprocess.PIPE, check=True)
    assert said.stdout.split() == [b"ready", b"measuring", b"measured", b"done"]
    result = msgspec.json.decode((tmp_path / "result").read_bytes(), type=GeneratorResult)
    assert result.connections_opened == server.connections == 60
    assert set(result.status) == {200} and not result.shortages
