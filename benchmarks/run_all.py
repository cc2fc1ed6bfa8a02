"""Run every benchmark, one after the other, and keep each log and result in benchmarks/out/.

The last line printed is one JSON object: name -> the benchmark's own JSON object, or its exit code when it failed.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
BENCHMARKS = (
    "data_roundtrip",
    "data_scale",
    "frame_sizes",
    "smart_mask",
    "bccd",
    "int8_speed",
    "trashnet",
    "large_batches",
    "swapping",
    "camvid",
    "gated_scnn",
    "instances",
    "import_models",
    "compile_time",
    "compile_networks",
    "shared_batches",
)


def run_benchmark(name: str, out: Path) -> Any:
    """Run one script in a process of its own; returns the JSON object of its last line."""
    log = out / f"{name}.log"
    print(f"{name}: running, log in {log}", file=sys.stderr, flush=True)
    with log.open("w") as file:
        code = subprocess.run(
            [sys.executable, FOLDER / f"{name}.py"], stdout=file, stderr=subprocess.STDOUT, check=False
        ).returncode
    lines = log.read_text().strip().splitlines()
    try:
        result = json.loads(lines[-1])
    except (IndexError, json.JSONDecodeError):
        result = {"exit_code": code}
    (out / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n")
    return result


def main() -> None:
    """Run the named benchmarks, all of them by default."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(BENCHMARKS), help="which; all by default")
    names = parser.parse_args().names
    out = FOLDER / "out"
    out.mkdir(exist_ok=True)
    print(json.dumps({name: run_benchmark(name, out) for name in names}))


if __name__ == "__main__":
    main()
