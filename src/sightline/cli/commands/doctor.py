"""`sightline doctor`: what is here, what is missing and how to get it, and how fast this machine is."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sightline.cli.options import JsonOption, WorkspaceOption, open_workspace
from sightline.cli.progress import show_progress
from sightline.cli.terminal import Terminal, format_size, make_table
from sightline.core.extras import COMPILING_PACKAGES, TRAINING_PACKAGES, find_missing, tell_remedy

if TYPE_CHECKING:
    from sightline.core.progress import OnProgress

# What each part of Sightline needs beyond the base install: package to look for, and the extra that brings it.
NEEDS = {
    "train": (TRAINING_PACKAGES, "train"),
    "compile": (COMPILING_PACKAGES, "compile"),
    "serve, predict, measure": (("openvino", "onnxruntime", "cv2", "starlette", "uvicorn", "httpx"), ""),
    "import video": (("av",), ""),
}
LITTLE_SPACE_BYTES = 2_000_000_000
UNTIMED_ENGINES = ("reference", "inductor", "hls4ml", "hetero")
EXTRAS_OF_OTHERS = ("all", "dev")  # all of them together; what work on Sightline itself needs


def doctor_command(
    quick: Annotated[bool, typer.Option("--quick", help="Leave out the speed probes, which take about ten seconds.")] = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what is installed, what is missing and how to install it, and how fast this machine is."""
    from sightline.core.host import describe_host

    terminal, home = Terminal(as_json), open_workspace(workspace)
    host = describe_host()
    facts: dict[str, Any] = {
        "host": host,
        "parts": check_parts(),
        "engines": check_engines(),
        "importers": check_importers(),
        "extras": check_extras(),
        "workspace": check_workspace(home.root),
        "speed": None,
        "ceilings": None,
    }
    if not quick:
        facts["speed"] = probe_speed()
        with show_progress() as on_progress:
            facts["ceilings"] = probe_ceilings(facts["engines"], on_progress)
    facts["advice"] = list(give_advice(facts))
    show_facts(terminal, facts)
    terminal.finish({**facts, "healthy": not facts["advice"]})


def check_parts() -> list[dict[str, Any]]:
    """For each part of Sightline, the packages it lacks and the command that installs them."""
    parts = []
    for part, (packages, extra) in NEEDS.items():
        missing = find_missing(packages)
        parts.append({"part": part, "missing": missing, "remedy": tell_remedy(extra) if missing else None})
    return parts


def check_engines() -> list[dict[str, Any]]:
    """Engines with their device and precisions, or what they miss; `absent` is a device that is not here, which is no fault."""
    from sightline.core.errors import MissingPackage, Unsupported
    from sightline.runtime.backends.table import BACKENDS, load_backend

    engines: list[dict[str, Any]] = []
    for name in BACKENDS:
        found: dict[str, Any] = {"engine": name, "device": None, "precisions": [], "missing": None, "absent": None}
        try:
            backend = load_backend(name)
            found |= {"device": backend.device, "precisions": list(backend.precisions)}
        except MissingPackage as error:
            found["missing"] = str(error)
        except Unsupported as error:
            found["absent"] = str(error)
        engines.append(found)
    return engines


def check_importers() -> list[dict[str, Any]]:
    """Frameworks whose networks can be imported, or what their importers miss."""
    from importlib import import_module
    from importlib.util import find_spec

    remedy = "needs {}: pip install 'sightline[compile]'"
    try:
        from sightline.compiler.importers.table import IMPORTERS
    except ModuleNotFoundError as error:
        return [{"framework": "all frameworks", "missing": remedy.format(error.name)}]
    rows = []
    for name, place in IMPORTERS.items():
        module_name, _, class_name = place.partition(":")
        if find_spec(module_name) is None:
            continue  # not part of this build
        try:
            missing = getattr(import_module(module_name), class_name)().missing()
        except ModuleNotFoundError as error:
            missing = remedy.format(error.name)
        rows.append({"framework": name, "missing": missing})
    return rows


def check_extras() -> list[dict[str, Any]]:
    """Extras of the installed package, and which of their packages are not installed."""
    import re
    from importlib import metadata

    needs: dict[str, list[str]] = {}
    for requirement in metadata.requires("sightline") or []:
        found = re.match(r"([\w.-]+).*extra\s*==\s*['\"]([\w-]+)['\"]", requirement)
        if found and found.group(2) not in EXTRAS_OF_OTHERS:
            packages = needs.setdefault(found.group(2), [])
            packages += [found.group(1)] if found.group(1) != "sightline" else []
    return [
        {"extra": extra, "missing": [one for one in packages if not is_installed(one)]} for extra, packages in needs.items()
    ]


def is_installed(distribution: str) -> bool:
    """Whether a distribution of this name is installed, whatever its version."""
    from importlib import metadata

    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True


def check_workspace(root: Path) -> dict[str, Any]:
    """Where the workspace is, whether it can be written, and the free space of its disk."""
    import os
    import shutil

    there = root.resolve()
    while not there.exists():
        there = there.parent
    return {
        "folder": str(root),
        "exists": root.is_dir(),
        "writable": os.access(there, os.W_OK),
        "free_bytes": shutil.disk_usage(there).free,
    }


def probe_speed() -> dict[str, float]:
    """A second of work: megapixels of JPEG decoded per second on one thread, and billions of float32 operations per second."""
    import time

    import numpy as np

    from sightline.imaging.files.reading import decode_image, encode_image

    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (60, 80, 3), dtype=np.uint8).repeat(8, axis=0).repeat(8, axis=1)  # (480, 640, 3)
    content, matrix = encode_image(picture, "jpeg"), rng.random((768, 768), dtype=np.float32)

    def count_per_s(work: Any, seconds: float = 0.4) -> float:
        work()
        start, count = time.perf_counter(), 0
        while (elapsed := time.perf_counter() - start) < seconds:
            work()
            count += 1
        return count / elapsed

    return {
        "decode_megapixels_per_s": round(
            count_per_s(lambda: decode_image(content)) * picture.shape[0] * picture.shape[1] / 1e6, 1
        ),
        "float32_gflops": round(count_per_s(lambda: matrix @ matrix) * 2 * 768**3 / 1e9, 1),
    }


def probe_ceilings(engines: list[dict[str, Any]], on_progress: "OnProgress") -> list[dict[str, Any]] | None:
    """The best rate of every engine in every precision, GFLOP/s; None without the packages that make the probes.

    Engines that are not meant to be fast, compile for minutes, emulate a device or are made of others are left out.
    """
    from importlib.util import find_spec

    from sightline.core.host import count_cores
    from sightline.core.progress import ProgressEvent

    if find_spec("onnx") is None:
        return None
    from sightline.compiler.tuning.probes import PROBED_PRECISIONS, measure_peaks

    usable = [engine for engine in engines if engine["engine"] not in UNTIMED_ENGINES]
    points = [(engine, precision) for engine in usable for precision in PROBED_PRECISIONS if precision in engine["precisions"]]
    rows = []
    for done, (engine, precision) in enumerate(points):
        on_progress(ProgressEvent(stage="measuring ceilings", progress=done / len(points)))
        peak = measure_peaks(engine["engine"], [precision], count_cores())[precision]
        rows.append(
            {
                "engine": engine["engine"],
                "device": engine["device"],
                "precision": precision,
                "gflops": round(peak.gflops, 1),
                "probe": peak.probe,
            }
        )
    on_progress(ProgressEvent(stage="measuring ceilings", progress=1.0))
    return rows


def give_advice(facts: dict[str, Any]) -> "list[str]":
    """What is missing and what to do about it, a line each."""
    lines = [f"{p['part']} needs {', '.join(p['missing'])}: {p['remedy']}" for p in facts["parts"] if p["missing"]]
    lines += [f"{engine['engine']}: {engine['missing']}" for engine in facts["engines"] if engine["missing"]]
    flags = facts["host"]["cpu_flags"]
    if flags and not {"avx512_vnni", "avx_vnni", "amx_int8"} & set(flags):
        lines.append("this CPU has no INT8 dot product (VNNI, AMX): INT8 is little faster than FP32 here")
    workspace = facts["workspace"]
    if not workspace["writable"]:
        lines.append(f"the workspace {workspace['folder']} cannot be written; give --workspace or set SIGHTLINE_WORKSPACE")
    if workspace["free_bytes"] < LITTLE_SPACE_BYTES:
        lines.append(f"only {format_size(workspace['free_bytes'])} are free where the workspace is; make room")
    return lines


def show_importers(terminal: Terminal, facts: dict[str, Any]) -> None:
    """Frameworks whose networks can be imported, and the extras that are not installed."""
    rows = [[one["framework"], one["missing"] or "ready"] for one in facts["importers"]]
    terminal.show(make_table(["Networks of", "Import"], rows))
    absent = [one["extra"] for one in facts["extras"] if one["missing"]]
    if absent:
        terminal.tell(f"extras not installed: {', '.join(absent)}; pip install 'sightline[{','.join(absent)}]'")


def show_facts(terminal: Terminal, facts: dict[str, Any]) -> None:
    """The facts for people."""
    host, workspace, speed = facts["host"], facts["workspace"], facts["speed"]
    terminal.tell(
        f"{host['cpu']}, {host['cores']} cores, {format_size(host['memory_bytes'])}, {host['system']}, Python {host['python']}"
    )
    terminal.say(f"CPU flags that matter: {', '.join(host['cpu_flags']) or 'none of AVX2, AVX-512, VNNI, AMX'}")
    terminal.show(make_table(["Package", "Version"], [[name, version] for name, version in host["packages"].items()]))
    rows = [
        [e["engine"], e["device"], ", ".join(e["precisions"]), e["missing"] or e["absent"] or "ready"] for e in facts["engines"]
    ]
    terminal.show(make_table(["Engine", "Device", "Precisions", "State"], rows))
    show_importers(terminal, facts)
    state = "exists" if workspace["exists"] else "is made when first needed"
    terminal.say(f"workspace {workspace['folder']} {state}, {format_size(workspace['free_bytes'])} free")
    if speed is not None:
        terminal.tell(
            f"speed: decodes {speed['decode_megapixels_per_s']} megapixels of JPEG/s on one thread, "
            f"{speed['float32_gflops']} GFLOP/s in NumPy's float32 matrix products"
        )
    if facts["ceilings"]:
        rows = [
            [one["engine"], one["device"], one["precision"], f"{one['gflops']:.0f}", one["probe"]] for one in facts["ceilings"]
        ]
        title = "best rates of dense layers, measured now: what a network can hardly exceed"
        terminal.show(make_table(["Engine", "Device", "Precision", "GFLOP/s (int8: GOP/s)", "Probe"], rows, title))
    for line in facts["advice"]:
        terminal.tell(f"missing: {line}")
    if not facts["advice"]:
        terminal.say("nothing is missing")
