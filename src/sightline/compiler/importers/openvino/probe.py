"""Read a network with OpenVINO in a process of its own, to see whether OpenVINO survives it.

OpenVINO 2026.4 crashes on some SavedModels whose `variables.index` is damaged, and a crash takes the whole process along. So
TensorFlow's files are tried here first; what OpenVINO's parsers print of a damaged one stays here too.

Run as: python -m sightline.compiler.importers.openvino.probe NETWORK
"""

import subprocess
import sys
from pathlib import Path

from sightline.compiler.importers.openvino.importer import read_model
from sightline.core.errors import InvalidInput

TIMEOUT_S = 300.0


def check_readable(path: Path) -> None:
    """Have another process read the network. Raises: InvalidInput with OpenVINO's reason, or when it crashed or never ended."""
    command = [sys.executable, "-P", "-m", "sightline.compiler.importers.openvino.probe", str(path.resolve())]
    try:
        done = subprocess.run(command, capture_output=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise InvalidInput(f"OpenVINO did not finish reading {path.name} in {TIMEOUT_S:.0f} s; it may be damaged") from error
    if done.returncode < 0:
        raise InvalidInput(f"OpenVINO crashes while reading {path.name}; it is damaged")
    if done.returncode != 0:
        raise InvalidInput(done.stdout.decode("utf-8", "replace").strip() or f"OpenVINO cannot read {path.name}")


def main() -> int:
    """Exit status 0 for a network that can be read; else 1, with the reason on the standard output."""
    try:
        read_model(Path(sys.argv[1]))
    except InvalidInput as error:
        sys.stdout.write(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
