"""What lies in a repository, told from names, sizes and times alone: cheap enough to be looked at every second.

    repository/NAME/manifest.json                    a Deployment; NAME/1, NAME/2 are Artifacts
    repository/NAME/1/model.onnx | model.xml + .bin  a plain graph file; NAME/config.json says what it means
    repository/NAME/pipeline.json                    a pipeline of other models of the repository

Whatever is still being written is not there yet: folders without what makes them a model, names that begin with a dot,
versions that are no plain number.
"""

import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from sightline.core.folders import MANIFEST_NAME
from sightline.core.workspace import NAME_PATTERN

PIPELINE_NAME = "pipeline.json"
PIPELINE_VERSION = 1  # a pipeline has no numbered folders
GRAPH_SUFFIXES = (".onnx", ".xml")
VERSION_PATTERN = re.compile(r"[1-9][0-9]{0,8}")

Kind = Literal["deployment", "graph", "pipeline"]
Stamp = tuple[Any, ...]  # of files: equal as long as nobody touched them


def stamp_repository(repository: Path) -> dict[str, Stamp]:
    """A stamp of every model's folder by name; no file is opened. Raises: OSError when the repository cannot be listed."""
    names = sorted(entry.name for entry in os.scandir(repository) if NAME_PATTERN.fullmatch(entry.name) and _is_folder(entry))
    return {name: stamp for name in names if (stamp := stamp_folder(repository / name)) is not None}


def list_misnamed(repository: Path) -> list[str]:
    """Names of folders that hold a model but are not served, for their names; hidden ones are not there for a reason.

    Raises: OSError when the repository cannot be listed.
    """
    names = (entry.name for entry in os.scandir(repository) if not NAME_PATTERN.fullmatch(entry.name) and _is_folder(entry))
    return sorted(name for name in names if name[0] != "." and _holds_model(repository / name))


def _holds_model(home: Path) -> bool:
    try:
        return find_kind(home) is not None
    except OSError:  # not to be looked into, or being removed
        return False


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    """A link into itself leads nowhere; of what else cannot be looked at, reading it will say what is wrong."""
    try:
        return entry.is_dir()
    except OSError as error:
        return error.errno != errno.ELOOP


def stamp_folder(home: Path) -> Stamp | None:
    """A stamp of one model's folder; None while there is no model in it."""
    try:
        kind = find_kind(home)
        if kind is None:
            return None
        return (
            kind,
            stamp_files(home),
            *((version, stamp_version(home, version, kind)) for version in list_versions(home, kind)),
        )
    except FileNotFoundError:  # it is being removed
        return None
    except OSError as error:  # unreadable: one such folder hides no other, and reading it will say what is wrong
        return ("unreadable", error.errno)


def find_kind(home: Path) -> Kind | None:
    """What kind of model a folder holds; None: none, or none yet."""
    if (home / MANIFEST_NAME).is_file():
        return "deployment"
    if (home / PIPELINE_NAME).is_file():
        return "pipeline"
    return "graph" if list_versions(home, "graph") else None


def list_versions(home: Path, kind: Kind) -> list[int]:
    """Complete versions, ascending."""
    if kind == "pipeline":
        return [PIPELINE_VERSION]
    numbers = sorted(int(entry.name) for entry in os.scandir(home) if VERSION_PATTERN.fullmatch(entry.name) and entry.is_dir())
    return [version for version in numbers if _is_complete(home / str(version), kind)]


def _is_complete(folder: Path, kind: Kind) -> bool:
    # A version with a manifest is an Artifact: where the Deployment's manifest lacks, it is being added or removed.
    has_manifest = (folder / MANIFEST_NAME).is_file()
    return has_manifest if kind == "deployment" else not has_manifest and bool(list_graphs(folder))


def list_graphs(folder: Path) -> list[str]:
    """Names of the graph files of one version."""
    return sorted(entry.name for entry in list_files(folder) if entry.name.endswith(GRAPH_SUFFIXES))


def list_files(folder: Path) -> list["os.DirEntry[str]"]:
    """What is neither hidden nor a folder, by name."""
    return sorted(
        (entry for entry in os.scandir(folder) if entry.name[0] != "." and entry.is_file()), key=lambda entry: entry.name
    )


def walk_files(folder: Path) -> Iterator["os.DirEntry[str]"]:
    """As `list_files`, and those in folders further down, such as weights that a graph keeps outside itself.

    A link to a folder stands for all in it: to follow it may lead round in circles, and one that is swapped has another inode.
    """
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.name[0] == ".":
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from walk_files(Path(entry.path))
        elif entry.is_file() or entry.is_dir():
            yield entry


def stamp_version(home: Path, version: int, kind: Kind) -> Stamp:
    """A deployed Artifact never changes once it is there, so its manifest stands for all its files."""
    folder = home / str(version)
    if kind == "deployment":
        return _stamp_file(folder / MANIFEST_NAME)
    return stamp_files(home) if kind == "pipeline" else tuple(_stamp_file(Path(entry.path)) for entry in walk_files(folder))


def stamp_files(folder: Path) -> Stamp:
    """A stamp of the files right in a folder."""
    return tuple(_stamp_file(Path(entry.path)) for entry in list_files(folder))


def _stamp_file(path: Path) -> Stamp:
    """The inode tells a file that took another's name with the same time and size."""
    found = path.stat()
    return (str(path), found.st_mtime_ns, found.st_size, found.st_ino)
