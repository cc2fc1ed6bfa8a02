"""Write the HLS project of a fixed-point network with hls4ml, and compile its emulation into a library of this machine's own.

Trust is the idea here: a library is native code, so it is built on this machine, from C++ that was written from data, and kept
in the user's private cache under the hash of everything that went into it. Nothing that came with a network is ever loaded.
"""

import contextlib
import errno
import functools
import hashlib
import io
import os
import shutil
import signal
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

from sightline.core.errors import Conflict, Exhausted, MissingPackage, SightlineError, Unsupported
from sightline.core.folders import hash_files, make_private_folder
from sightline.core.manifests import FileHash
from sightline.runtime.backends.hls4ml.layers import Plan
from sightline.runtime.backends.hls4ml.network import FixedNetwork
from sightline.runtime.cache_room import MOST_BYTES, make_room, measure_bytes

RECIPE = 1  # raise it when the same network would give other C++
PROJECT_NAME = "network"  # of the top function
PART = "xcvu13p-flga2577-2-e"  # hls4ml's usual one; a vendor's project is easily set to another
CLOCK_NS = 5
PARALLEL_MULTIPLIERS = 512  # for each layer of a streamed network
COMPILER = "g++"
# -O1 emulates as fast as -O3 and compiles three times as fast; without -fno-gnu-unique two networks share their static buffers.
FLAGS = ("-O1", "-w", "-fPIC", "-shared", "-std=c++17", "-fno-gnu-unique")
COMPILE_SECONDS = 1800
LEFTOVER_SECONDS = 2 * COMPILE_SECONDS
HASHES = "hashes.json"


def find_library(network: FixedNetwork, graph: bytes, plan: Plan, cache: Path) -> Path:
    """The compiled emulation; built when the cache does not hold it whole.

    Args:
        network, graph, plan: the network, its ONNX file's bytes, its layers.
        cache: folder of the user's own.
    Raises: MissingPackage, Unsupported, Exhausted, Conflict.
    """
    make_private_folder(cache)
    entry = cache.absolute() / make_key(network, graph)
    with contextlib.suppress(OSError):  # not built yet, or a disk that is read only
        os.utime(entry)  # before it is looked at: what is in use is not removed
    if not _is_whole(entry):
        remove_leftovers(cache)
        shutil.rmtree(entry, ignore_errors=True)
        _build_entry(network, plan, entry)
        others = (path for path in cache.absolute().iterdir() if path != entry and not path.name.startswith("."))
        make_room(others, MOST_BYTES - measure_bytes(entry), shutil.rmtree)
    return entry / f"{PROJECT_NAME}.so"


def remove_leftovers(cache: Path) -> None:
    """Remove what killed processes were building; a build that still runs is younger."""
    for folder in cache.glob(".*"):
        with contextlib.suppress(FileNotFoundError):  # its build has just ended
            if time.time() - folder.stat().st_mtime > LEFTOVER_SECONDS:
                shutil.rmtree(folder)


def make_key(network: FixedNetwork, graph: bytes) -> str:
    """Hash of all that shapes the library."""
    facts = [str(RECIPE), metadata.version("hls4ml"), describe_compiler(), *FLAGS, str(PARALLEL_MULTIPLIERS)]
    content = msgspec.json.encode(msgspec.structs.replace(network, graph_file="")) + graph + "\0".join(facts).encode()
    return hashlib.sha256(content).hexdigest()[:32]


@functools.cache
def describe_compiler() -> str:
    """Version and target of the C++ compiler. Raises: MissingPackage."""
    if shutil.which(COMPILER) is None:
        raise MissingPackage(f"the FPGA emulation needs the C++ compiler {COMPILER}; install it (Debian: apt install g++)")
    done = subprocess.run([COMPILER, "-dumpfullversion", "-dumpmachine"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _is_whole(entry: Path) -> bool:
    """Whether every file of an entry still has the hash that it was built with."""
    listed = entry / HASHES
    if not listed.is_file():
        return False
    try:
        recorded = msgspec.json.decode(listed.read_bytes(), type=dict[str, FileHash])
    except msgspec.DecodeError:
        return False  # built again
    found = hash_files(entry)
    found.pop(HASHES, None)
    return found == recorded


def _build_entry(network: FixedNetwork, plan: Plan, entry: Path) -> None:
    """Build beside the entry and rename: another process may be building the same."""
    with tempfile.TemporaryDirectory(dir=entry.parent, prefix=f".{entry.name}.") as work:
        made = Path(work) / entry.name
        project = made / "project"
        write_project(network, plan, project)
        compile_project(project, made / f"{PROJECT_NAME}.so", entry / "project" / "firmware" / "weights")
        (made / HASHES).write_bytes(msgspec.json.encode(hash_files(made)))
        with contextlib.suppress(OSError):  # the other one was quicker, and built the same
            made.rename(entry)
    if not _is_whole(entry):
        raise Conflict(f"expected a whole emulation at {entry}, got another; remove that folder and try again")


def write_project(network: FixedNetwork, plan: Plan, folder: Path) -> None:
    """The HLS project: C++, weights, and the scripts of the vendor's tools (`vitis-run --mode hls --tcl build_prj.tcl`).

    Raises: Unsupported when hls4ml cannot convert the network.
    """
    with quiet_conversion():
        from hls4ml.model import ModelGraph
        from hls4ml.writer.vitis_writer import VitisWriter

        try:
            graph = ModelGraph.from_layer_list(
                make_settings(network, plan, folder), plan.layers, list(plan.inputs), [one.layer for one in plan.outputs]
            )
            _check_types(graph, plan)
            writer = VitisWriter()
            writer.write_yml = lambda model: None  # it imports keras and holds this machine's paths
            folder.mkdir(parents=True)
            writer.write_hls(graph)
        except SightlineError:
            raise
        except Exception as error:  # hls4ml raises this very class for what it cannot convert
            raise Unsupported(f"hls4ml cannot convert this network: {' '.join(str(error).split())}") from error


def make_settings(network: FixedNetwork, plan: Plan, folder: Path) -> dict[str, Any]:
    """hls4ml's configuration: every type stated by layer, none left for it to choose."""
    is_streamed = network.io_type == "io_stream"
    layers = {
        layer["name"]: {"Precision": plan.precisions[layer["name"]], "ReuseFactor": find_reuse(layer) if is_streamed else 1}
        for layer in plan.layers
    }
    default = network.inputs[0].type.text
    strategy = "Resource" if is_streamed else "Latency"
    return {
        "OutputDir": str(folder),
        "ProjectName": PROJECT_NAME,
        "Backend": "Vitis",
        "Part": PART,
        "ClockPeriod": CLOCK_NS,
        "ClockUncertainty": "27%",
        "IOType": network.io_type,
        "Stamp": "emulation",
        "HLSConfig": {
            "Model": {"Precision": {"default": default}, "ReuseFactor": 1, "Strategy": strategy},
            "LayerName": layers,
        },
        "WriterConfig": {
            "Namespace": None,
            "WriteWeightsTxt": True,  # weights inside the C++ take g++ minutes
            "WriteTar": False,
            "TBOutputStream": "both",
            "WriteEmulationConstants": False,
        },
    }


def find_reuse(layer: dict[str, Any]) -> int:
    """How often a layer uses each of its multipliers, so that it needs no more than `PARALLEL_MULTIPLIERS` of them."""
    weight = layer.get("weight_data", layer.get("depthwise_data"))
    return 1 if weight is None else max(1, -(-weight.size // PARALLEL_MULTIPLIERS))


def _check_types(graph: Any, plan: Plan) -> None:
    """hls4ml's passes may rewrite layers; the numbers are ours only while it keeps our types. Raises: Unsupported."""
    found = {node.name: str(node.get_output_variable().type.precision) for node in graph.get_layers()}
    for name in plan.names.values():
        stated = str(graph.config.backend.convert_precision_string(plan.precisions[name]["result"]))
        if found.get(name, stated) != stated:
            raise Unsupported(f"hls4ml turned the result of {name} from {stated} into {found[name]}; no other type is right")


def compile_project(project: Path, library: Path, weights: Path) -> None:
    """Compile a project into a shared library.

    Args:
        project: folder of `write_project`.
        library: file to write.
        weights: folder where the library will find its weights when it runs.
    Raises: Exhausted after `COMPILE_SECONDS` or when the disk is full, Unsupported with the compiler's first error.
    """
    describe_compiler()
    quoted = str(weights).replace("\\", "\\\\").replace('"', '\\"')
    sources = [f"firmware/{PROJECT_NAME}.cpp", f"{PROJECT_NAME}_bridge.cpp"]
    command = [COMPILER, *FLAGS, "-Ifirmware/ap_types", f'-DWEIGHTS_DIR="{quoted}"', *sources, "-o", str(library.absolute())]
    try:
        _run_compiler(command, project)
    except subprocess.TimeoutExpired as error:
        raise Exhausted(f"{COMPILER} did not end within {COMPILE_SECONDS} s; take a smaller network") from error
    except subprocess.CalledProcessError as error:
        if os.strerror(errno.ENOSPC) in error.stderr:
            places = "SIGHTLINE_CACHE and for temporary files (TMPDIR)"
            raise Exhausted(f"no room left on the disk to compile the emulation; make room for {places}") from error
        first = next((line for line in error.stderr.splitlines() if "error" in line), error.stderr.strip()[:200])
        raise Unsupported(f"{COMPILER} cannot compile the emulation: {first}") from error


def _run_compiler(command: list[str], folder: Path) -> None:
    """Run the compiler in a group of its own: a time-out or Ctrl-C ends all that it started, not the driver alone.

    Raises: TimeoutExpired, CalledProcessError.
    """
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            _, errors = process.communicate(timeout=COMPILE_SECONDS)
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, stderr=errors)


@contextlib.contextmanager
def quiet_conversion() -> Iterator[None]:
    """Hold back what hls4ml prints and warns of: it speaks to people who call it by hand."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
