"""Uploads: pictures, videos, or one archive, become a dataset, or join one, by an import in a process of its own.

What is of unknown origin is opened there, so that one which brings its reader down does not take the server with
it. The files are streamed to a folder inside the workspace, whose disk they must fit on anyway. That folder goes in the end in
every case: also when the client hangs up, which ends the import, and when the server was killed, with the next upload.
"""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import msgspec
from fastapi import Request
from starlette.requests import ClientDisconnect

from sightline.api.importing import UploadRequest, UploadResult
from sightline.api.multipart import FormReceiver, receive_form
from sightline.api.parts import Parts
from sightline.core.errors import Conflict, Exhausted, InvalidInput
from sightline.core.temporary import temporary_folder
from sightline.core.workspace import Workspace, check_name
from sightline.data.archives import is_archive
from sightline.data.conversion import ConversionReport
from sightline.data.formats.video import read_sampling
from sightline.data.splits import check_rule
from sightline.data.versions import open_version
from sightline.store.adding import add_version
from sightline.store.datasets import Dataset

PREFIX = ".upload-"
COMMAND = (sys.executable, "-P", "-m", "sightline.api.importing")
ENDING_S = 10  # in which an import that is no longer wanted removes what it made


def describe_form(**fields: str) -> dict[str, Any]:
    """What the schema says of a form with files. Args: fields: what each other part holds."""
    files = {
        "type": "array",
        "items": {"type": "string", "format": "binary"},
        "description": "Pictures, videos, or one archive; a file's name may hold folders.",
    }
    words = {name: {"type": "string", "description": told} for name, told in fields.items()}
    required = ["name", "files"] if "name" in fields else ["files"]
    form = {"type": "object", "required": required, "properties": {**words, "files": files}}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": form}}}}


CATEGORIES = "Category names, one a line: of plain pictures, those to label; of labelled ones, keep only these."
EVERY_S = "Of videos: seconds between the frames that become pictures; 1 where it is left out."
NEW_DATASET = describe_form(name="Name of the new dataset.", categories=CATEGORIES, every_s=EVERY_S)
MORE_PICTURES = describe_form(
    categories=CATEGORIES,
    every_s=EVERY_S,
    split="auto (the default): the source's, else drawn in the dataset's shares; given: the source's; 0.8/0.1/0.1: drawn.",
)


async def receive_dataset(request: Request, parts: Parts) -> dict[str, Any]:
    """Take an upload in and import it.

    Returns: the new dataset and the report of its import.

    Raises: Conflict for a name that there is, InvalidInput, what the import raises; ClientDisconnect when the client hangs up.
    """
    check_room(parts.workspace.root, request.headers.get("content-length", ""))
    async with open_folder(parts.workspace.root) as folder:
        files = folder / "upload"
        files.mkdir()
        form = await receive_form(request, files, lambda fields: check_fields(fields, parts))
        name = check_fields(form.fields, parts)
        if not form.paths:
            raise InvalidInput("expected pictures, videos or an archive as `files`, got none; choose some")
        with parts.claim(name):
            report = (await run_import(make_request(form, files, parts.workspace, name), request, folder)).read()
        dataset = await anyio.to_thread.run_sync(parts.store.open, name)
        return {"dataset": await anyio.to_thread.run_sync(dataset.summarise), "report": report}


async def receive_pictures(request: Request, parts: Parts, dataset: Dataset, author: str) -> dict[str, Any]:
    """Take an upload in and add its pictures to a dataset. Nothing changes where the client hangs up before they are read.

    Returns: the dataset, how many pictures came, and the report of the import.

    Raises: InvalidInput, what import and freeze raise; ClientDisconnect when the client hangs up.
    """
    check_room(parts.workspace.root, request.headers.get("content-length", ""))
    async with open_folder(parts.workspace.root) as folder:
        files, target = folder / "upload", folder / "added"
        files.mkdir()
        form = await receive_form(request, files, check_split_field)
        split = check_split_field(form.fields)
        if not form.paths:
            raise InvalidInput("expected pictures, videos or an archive as `files`, got none; choose some")
        wanted = make_request(form, files, parts.workspace, dataset.name)
        wanted = msgspec.structs.replace(wanted, target=str(target), blobs=dataset.version.blobs.url)
        report = ConversionReport.from_dict((await run_import(wanted, request, folder)).read())

        def add() -> dict[str, Any]:
            added = add_version(dataset, open_version(target), author, report, split=split)
            return {"dataset": dataset.summarise(), "added": len(added.positions), "report": report.to_dict()}

        return await anyio.to_thread.run_sync(add, limiter=parts.revising)


@asynccontextmanager
async def open_folder(root: Path) -> AsyncIterator[Path]:
    """A new folder for what a request brings; it goes at the end, on a thread, since many files take long to remove."""
    temporary = temporary_folder(root, PREFIX)
    folder = temporary.__enter__()
    try:
        yield folder
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(temporary.__exit__, None, None, None)


def check_split_field(fields: dict[str, str]) -> str:
    """Where the splits of added pictures come from. Raises: InvalidInput, also for how videos shall be read."""
    split = fields.get("split", "auto")
    check_rule(split)
    read_sampling(read_options(fields))
    return split


def check_room(root: Path, length: str) -> None:
    """Whether the disk can hold an upload of this length, where it says its length. Raises: Exhausted."""
    free = shutil.disk_usage(root).free
    if length.isdigit() and int(length) > free:
        raise Exhausted(f"expected an upload of at most {free:,} bytes, the disk's free room, got {int(length):,}; make room")


def check_fields(fields: dict[str, str], parts: Parts) -> str:
    """The name that an upload shall have. Raises: InvalidInput; Conflict for one that there is."""
    name = check_name(fields.get("name", ""))
    if name in parts.store.names():
        raise Conflict(f"there is a dataset {name!r} already; choose another name")
    read_sampling(read_options(fields))
    return name


def read_options(fields: dict[str, str]) -> dict[str, str]:
    """What the reader of videos shall know."""
    return {name: fields[name] for name in ("every_s",) if name in fields}


def make_request(form: FormReceiver, files: Path, workspace: Workspace, name: str) -> UploadRequest:
    """What the import shall do."""
    listed = (line.strip() for line in form.fields.get("categories", "").splitlines())
    return UploadRequest(
        source=str(form.paths[0] if len(form.paths) == 1 and is_archive(form.paths[0]) else files),
        workspace=str(workspace.root),
        name=name,
        categories=[name for name in listed if name],
        options=read_options(form.fields),
    )


async def run_import(wanted: UploadRequest, request: Request, folder: Path) -> UploadResult:
    """Run an import until it ends, or the client hangs up, or the server ends.

    Args: folder: for what the import unpacks.

    Raises: InvalidInput for files at which it dies; ClientDisconnect.
    """
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=os.environ | {"TMPDIR": str(folder)},
    )
    ending = asyncio.create_task(process.communicate(msgspec.json.encode(wanted)))
    leaving = asyncio.create_task(wait_until_gone(request))
    try:
        await asyncio.wait((ending, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not ending.done():
            raise ClientDisconnect
        return msgspec.json.decode(ending.result()[0], type=UploadResult)
    except msgspec.DecodeError:
        raise InvalidInput(
            "expected pictures, videos or an archive that can be read, got files at which the import ended with code "
            f"{process.returncode}; leave out what is damaged"
        ) from None
    finally:
        leaving.cancel()
        await stop(process, ending)


async def wait_until_gone(request: Request) -> None:
    """Return when the client hung up; call once the body is read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def stop(process: asyncio.subprocess.Process, ending: asyncio.Task[Any]) -> None:
    """Have a process end that may still run, and wait for it: also where the server ends, which cancels every task."""
    if process.returncode is None:
        process.terminate()
        await wait_for_end(process, ENDING_S)
    if process.returncode is None:
        process.kill()
        await wait_for_end(process)
    await ending


async def wait_for_end(process: asyncio.subprocess.Process, seconds: float | None = None) -> None:
    """Wait for the end of a process, so long at most; being cancelled does not shorten it."""
    until_s = None if seconds is None else asyncio.get_running_loop().time() + seconds
    while process.returncode is None:
        try:
            async with asyncio.timeout_at(until_s):
                await process.wait()
        except asyncio.CancelledError:
            continue
        except TimeoutError:
            return
