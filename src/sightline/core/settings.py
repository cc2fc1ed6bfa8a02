"""Settings of this machine, read from the environment once, here; everything else takes arguments.

Every field can be set as `SIGHTLINE_<NAME>`, for example `SIGHTLINE_WORKSPACE=/srv/sightline`.
"""

import os
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from sightline.core.errors import NotFound


class Settings(BaseSettings):
    """Settings of this machine."""

    model_config = SettingsConfigDict(env_prefix="SIGHTLINE_", frozen=True, extra="ignore")

    workspace: Path = Field(
        default=Path("sightline-workspace"),
        description="Folder of blobs, datasets, models, artifacts, deployments and reports.",
    )
    cache: Path = Field(
        default=Path("~/.cache/sightline"),
        description="Folder of what can be made again at any time, such as compiled FPGA emulations; private to its owner.",
    )
    max_image_pixels: int = Field(
        default=50_000_000,
        ge=1,
        description="Largest picture that is decoded, in pixels; checked in its header before decoding.",
    )
    threads: int = Field(
        default_factory=lambda: len(os.sched_getaffinity(0)),
        ge=1,
        description="CPU threads for training, compiling and inference; the cores this process may use by default.",
    )
    host: str = Field(default="127.0.0.1", description="Address `sightline serve` listens on.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port `sightline serve` listens on; 0 picks a free one.")
    max_request_bytes: int = Field(
        default=64 * 1024 * 1024, ge=1, description="Largest request body `sightline serve` reads, in bytes."
    )
    api_keys: SecretStr = Field(
        default=SecretStr(""),
        description="API keys of `sightline serve` as name=sha256:SALT:HASH,...; made by `sightline keys`.",
    )


def read_secret(variable: str) -> str:
    """Value of an environment variable that a user named, so that no secret stands on a command line. Raises: NotFound."""
    value = os.environ.get(variable, "")
    if not value:
        raise NotFound(f"expected a secret in the environment variable {variable!r}, got nothing; set it and try again")
    return value
