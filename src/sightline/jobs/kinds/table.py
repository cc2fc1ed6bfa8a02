"""The table of kinds of job: a verb, and where it is described."""

from pkgutil import resolve_name
from typing import Any

import msgspec

from sightline.core.errors import InvalidInput
from sightline.jobs.kinds.kind import Kind

KINDS = {
    "train": "sightline.jobs.kinds.train:TRAIN",
    "compile": "sightline.jobs.kinds.compile_:COMPILE",
    "deploy": "sightline.jobs.kinds.deploy:DEPLOY",
    "measure": "sightline.jobs.kinds.measure:MEASURE",
    "annotate": "sightline.jobs.kinds.annotate:ANNOTATE",
}


def load_kind(name: str) -> Kind:
    """A kind of job. Raises: InvalidInput naming those there are."""
    if name not in KINDS:
        raise InvalidInput(f"expected a kind of job of {', '.join(KINDS)}, got {name!r}; choose one of these")
    kind = resolve_name(KINDS[name])
    assert isinstance(kind, Kind)
    return kind


def read_arguments(kind: Kind, arguments: dict[str, Any]) -> msgspec.Struct:
    """Arguments from plain values. Raises: InvalidInput naming the one that does not fit."""
    try:
        return msgspec.convert(arguments, kind.arguments)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"the arguments of the job do not fit: {error}; change or leave out what is named") from error
