"""What a compilation was asked for, checked before any work."""

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

import msgspec

from sightline.compiler.candidates import REFERENCE
from sightline.compiler.tuning.goals import Goal, Objective
from sightline.core.errors import Conflict, InvalidInput, MissingPackage, SightlineError, Unsupported
from sightline.core.manifests import TENSOR_TASKS, ModelManifest, Precision
from sightline.core.workspace import ID_LENGTH
from sightline.data.versions import DatasetVersion
from sightline.runtime.backends.table import load_backend, make_backend
from sightline.runtime.devices import DEVICES, Device, has_speed, parse_devices

WantedPrecision = Literal["auto", "int8", "int16", "fp16", "bf16", "fp32"]


class CompileRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for.

    Attributes:
        device: kind of device, or several, first choice first: "hetero:fpga-emulator,cpu".
        precision: may be "auto": the fastest that passes.
        max_drop: accuracy that may be lost, 0..1; without labels, the share of answers that may change.
        goal: what is tuned for.
        calibration_images, validation_images: how many at most.
        calibrate_random: calibrate on noise when there are no pictures; the Artifact is then marked unverified.
        symmetric: only symmetric int8 activations, as TensorRT and QNN demand; the QDQ file is kept in the Artifact.
        time_limit_s: no new quantiser is begun after so many seconds; None has no limit.
        seed: of the choice of pictures and of the bootstrap.
    """

    device: str = "cpu"
    precision: WantedPrecision = "int8"
    max_drop: float = 0.01
    goal: Goal = Goal()
    calibration_images: int = 300
    validation_images: int = 5000
    calibrate_random: bool = False
    symmetric: bool = False
    time_limit_s: float | None = None
    seed: int = 0

    def wants(self, precision: Precision) -> bool:
        """Whether a candidate of this precision may become the Artifact."""
        return self.precision in ("auto", precision)

    def describe(self) -> dict[str, object]:
        """For the report."""
        facts = msgspec.structs.asdict(self)
        goal: Goal = facts.pop("goal")
        facts.pop("seed")
        return {name: value for name, value in {**facts, **goal._asdict()}.items() if value is not None and value is not False}


def choose_precision(device: str) -> WantedPrecision:
    """What is asked for by default: INT8 where the device declares it, else the fastest that passes. Raises: NotFound."""
    return "int8" if "int8" in parse_devices(device)[0].precisions else "auto"


def check_request(request: CompileRequest, manifest: ModelManifest, version: DatasetVersion | None, out: Path) -> None:
    """Refuse what cannot work before any work.

    Args: version: pictures to judge with; None when there are none.
    Raises: InvalidInput, Conflict.
    """
    check_place(out)
    check_numbers(request)
    check_precision(request)
    check_quantised(request, manifest)
    check_goal(request)
    check_symmetric(request, manifest)
    is_fixed_point = request.precision == "auto" and not has_speed(request.device)  # what is emulated computes in nothing else
    is_quantised = (is_fixed_point or request.precision in ("int8", "int16")) and manifest.precision == "fp32"
    if is_quantised and version is None and not request.calibrate_random:
        what = f"precision auto on {request.device}" if is_fixed_point else request.precision.upper()
        raise InvalidInput(
            f"{what} needs pictures to calibrate and to check its accuracy, got none; pass a dataset "
            "version or a folder of pictures, or `calibrate_random` for an unverified Artifact"
        )
    if version is not None:
        check_categories(version, manifest)


def check_place(out: Path) -> None:
    """Raises: Conflict unless `out` can be made."""
    if out.exists():
        raise Conflict(f"{out} exists already; choose another name or remove it")
    parent = next(folder for folder in out.absolute().parents if folder.exists())
    if not (parent.is_dir() and os.access(parent, os.W_OK)):
        raise Conflict(f"expected a folder that can be written, got {parent}; choose another place for {out.name}")


def check_numbers(request: CompileRequest) -> None:
    """Raises: InvalidInput for a choice or a number that makes no sense."""
    check_choice("precision", request.precision, get_args(WantedPrecision))
    check_choice("objective", request.goal.objective, get_args(Objective))
    if request.seed < 0:
        raise InvalidInput(f"expected a seed of 0 or more, got {request.seed}; choose another")
    if not 0 <= request.max_drop <= 1:
        raise InvalidInput(f"expected `max_drop` 0..1 (0.01 is one point), got {request.max_drop}")
    if request.calibration_images < 1 or request.validation_images < 1:
        raise InvalidInput("expected at least one calibration and one validation picture; raise the counts")
    for name, value in (("a latency limit", request.goal.slo_ms), ("a time limit", request.time_limit_s)):
        if value is not None and not value > 0:  # NaN neither
            raise InvalidInput(f"expected {name} above 0, got {value}; raise it or leave it out")


def check_goal(request: CompileRequest) -> None:
    """Raises: InvalidInput for a goal of speed on a device whose emulation has none."""
    given = ["`objective`"] if request.goal.objective != Goal().objective else []
    given += ["`slo_ms`"] if request.goal.slo_ms is not None else []
    if given and not has_speed(request.device):
        raise InvalidInput(
            f"expected a device that can be timed for this goal, got {request.device}, an emulated one; leave "
            f"{' and '.join(given)} out"
        )


def check_quantised(request: CompileRequest, manifest: ModelManifest) -> None:
    """Raises: InvalidInput, Unsupported where a network that came in INT8 could not stay so."""
    if manifest.precision != "int8":
        return
    came = f"{manifest.name} was quantised to INT8 before it was imported and stays so"
    if request.precision not in ("int8", "auto"):
        raise InvalidInput(f"{came}, got precision {request.precision!r}; compile it with int8, or import the float network")
    if "int8" not in parse_devices(request.device)[0].precisions:
        raise Unsupported(f"{came}, got the device {request.device}, which has no INT8; compile it for cpu")


def check_symmetric(request: CompileRequest, manifest: ModelManifest) -> None:
    """Raises: InvalidInput where symmetric INT8 for other engines cannot come out."""
    if not request.symmetric:
        return
    if request.device != "cpu" or request.precision != "int8" or manifest.precision != "fp32":
        raise InvalidInput(
            f"`symmetric` makes INT8 of a float network and proves it on the cpu, got device {request.device}, precision "
            f"{request.precision} and a network in {manifest.precision}; leave it out or change these"
        )


def check_precision(request: CompileRequest) -> None:
    """Raises: NotFound for an unknown device; Unsupported for a precision that its engines do not compute here, or a missing
    engine."""
    devices = parse_devices(request.device)
    if any(REFERENCE in device.engines for device in devices):
        raise Unsupported(
            f"expected a device to compile for, got {request.device}: the reference says what is right, compile for cpu"
        )
    first = devices[0]
    for device in devices:
        check_engines(device)
    known = {precision for engine in first.engines for precision in make_backend(engine).precisions}
    if request.precision != "auto" and request.precision not in known:
        able = [device for device in DEVICES.values() if request.precision in device.precisions and device != first]
        others = [device.name for device in able if REFERENCE not in device.engines]
        hint = f"; {' and '.join(others)} may" if others else ""
        raise Unsupported(
            f"expected a precision that {first.name} computes here ({', '.join(sorted(known))}), got {request.precision}{hint}"
        )


def check_engines(device: Device) -> None:
    """Raises: MissingPackage, Unsupported when no engine of a device can be used; what the first one lacks is said."""
    errors: list[SightlineError] = []
    for engine in device.engines:
        try:
            load_backend(engine)
        except (MissingPackage, Unsupported) as error:
            errors.append(error)
    if len(errors) == len(device.engines):
        raise errors[0]


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Raises: InvalidInput naming the choices."""
    if value not in choices:
        raise InvalidInput(f"expected {name} {', '.join(choices)}, got {value!r}")


def check_categories(version: DatasetVersion, manifest: ModelManifest) -> None:
    """Raises: InvalidInput when pictures are labelled with what the Model cannot name."""
    unknown = sorted(set(version.categories) - set(manifest.categories))
    if unknown and manifest.task not in TENSOR_TASKS:
        raise InvalidInput(f"expected a dataset with the Model's categories, got {unknown[:8]} besides; choose its own dataset")


def describe_command(
    model: Path, versions: Sequence[tuple[str, DatasetVersion | None]], said: Mapping[str, str], request: CompileRequest
) -> str:
    """The command line that does the same again; folders by name and id, so it holds on another machine.

    Args:
        versions: (option, version) pairs.
        said: by option, how the user named pictures that are no version of a workspace: a plain folder; under `--name`, the
            name that the Artifact was given.
    """
    words = ["sightline", "compile", f"{model.parent.name}@{model.name}" if len(model.name) == ID_LENGTH else model.name]
    for option, version in versions:
        if version is not None:
            words += [option, said.get(option) or f"{version.name}@{version.id[:ID_LENGTH]}"]
    words += ["--name", said["--name"]] if "--name" in said else []
    words += ["--device", request.device, "--precision", request.precision, "--max-drop", f"{request.max_drop:g}"]
    words += ["--objective", request.goal.objective]
    if request.goal.slo_ms is not None:
        words += ["--slo-ms", f"{request.goal.slo_ms:g}"]
    if request.time_limit_s is not None:
        words += ["--time-limit", f"{request.time_limit_s:g}s"]
    words += ["--calibrate-random"] if request.calibrate_random else []
    words += ["--symmetric"] if request.symmetric else []
    words += ["--calibration-images", str(request.calibration_images), "--validation-images", str(request.validation_images)]
    return shlex.join([*words, "--seed", str(request.seed)])
