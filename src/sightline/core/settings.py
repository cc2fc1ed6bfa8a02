"""Settings of this machine, read from the environment once, here; everything else takes arguments.

Every field can be set as `SIGHTLINE_<NAME>`, for example `SIGHTLINE_WORKSPACE=/srv/sightline`.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, field

from sightline.core.errors import InvalidInput, NotFound
from sightline.core.host import count_cores

PREFIX = "SIGHTLINE_"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of this machine; without arguments the defaults. `read_settings` has the environment's."""

    workspace: Annotated[Path, Meta(description="Folder of blobs, datasets, models, artifacts, deployments and reports.")] = (
        Path("sightline-workspace")
    )
    cache: Annotated[
        Path,
        Meta(
            description="Folder, private to its owner, of what can be made again at any time: networks that OpenVINO compiled "
            "for this machine, and FPGA emulations; 512 MiB of each at most."
        ),
    ] = Path("~/.cache/sightline")
    max_image_pixels: Annotated[
        int, Meta(ge=1, description="Largest picture that is decoded, in pixels; checked in its header before decoding.")
    ] = 50_000_000
    threads: Annotated[
        int,
        Meta(
            ge=1,
            description="CPU threads for training, compiling and inference. Importing a network also runs it in its own "
            "framework, which chooses for itself.",
        ),
    ] = field(default_factory=count_cores)
    host: Annotated[str, Meta(description="Address that `sightline serve` listens on.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="Port that `sightline serve` listens on; 0 picks a free one.")] = 8000
    max_request_bytes: Annotated[
        int, Meta(ge=1, description="Largest request body that `sightline serve` reads, in bytes.")
    ] = 64 * 1024 * 1024
    api_keys: Annotated[
        str, Meta(description="API keys of `sightline serve`, as name=sha256:SALT:HASH,...; `sightline keys` makes them.")
    ] = ""

    def __repr__(self) -> str:
        shown = [f"{name}={getattr(self, name)!r}" for name in self.__struct_fields__ if name != "api_keys"]
        return f"Settings({', '.join(shown)})"


def read_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings that the environment names, else the defaults; an empty value names nothing.

    Raises: InvalidInput naming the variable that does not fit.
    """
    given = {name: value for name in Settings.__struct_fields__ if (value := environment.get(PREFIX + name.upper()))}
    try:
        return msgspec.convert(given, Settings, strict=False, dec_hook=_read_path)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at ")
        name = where.strip("`").removeprefix("$.")
        expected = what.partition(", got ")[0].replace("`", "").lower()
        variable = PREFIX + name.upper()
        raise InvalidInput(f"{variable}: {expected}, got {given[name][:100]!r}; set another value, or unset it") from error


def _read_path(_: type, value: Any) -> Path:
    return Path(value)


def read_secret(variable: str) -> str:
    """Value of an environment variable that a user named, so that no secret stands on a command line. Raises: NotFound."""
    value = os.environ.get(variable, "")
    if not value:
        raise NotFound(f"expected a secret in the environment variable {variable!r}, got nothing; set it and try again")
    return value
