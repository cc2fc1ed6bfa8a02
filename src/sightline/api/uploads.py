"""Uploads: pictures, or one archive, become a dataset by an import in a process of its own.

Archives and pictures of unknown origin are opened there, so that one which brings its reader down does not take the server with
it. The files are streamed to a folder inside the workspace, whose disk they must fit on anyway. That folder goes in the end in
every case: also when the client hangs up, which ends the import, and when the server was killed, with the next upload.
"""

import asyncio
import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

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

PREFIX = ".upload-"
COMMAND = (sys.executable, "-P", "-m", "sightline.api.importing")
ENDING_S = 10  # in which an import that is no longer wanted removes what it made
MULTIPART_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["name", "files"],
                    "properties": {
                        "name": {"type": "string", "description": "Name of the new dataset."},
                        "categories": {
                            "type": "string",
                            "description": "Category names, one a line: of plain pictures, those to label; of labelled ones, "
                            "keep only these.",
                        },
                        "files": {
                            "type": "array",
                            "items": {"type": "string", "format": "binary"},
                            "description": "Pictures, or one archive; a file's name may hold folders.",
                        },
                    },
                }
            }
        },
    }
}


async def receive_dataset(request: Request, parts: Parts) -> dict[str, Any]:
    """Take an upload in and import it.

    Returns: the new dataset and the report of its import.

    Raises: Conflict for a name that there is, InvalidInput, what the import raises; ClientDisconnect when the client hangs up.
    """
    check_room(parts.workspace.root, request.headers.get("content-length", ""))
    with temporary_folder(parts.workspace.root, PREFIX) as folder:
        files = folder / "upload"
        files.mkdir()
        form = await receive_form(request, files, lambda fields: check_fields(fields, parts))
        name = check_fields(form.fields, parts)
        if not form.paths:
            raise InvalidInput("expected pictures or an archive as `files`, got none; choose some")
        with parts.claim(name):
            report = (await run_import(make_request(form, files, parts.workspace), request, folder)).read()
        dataset = await anyio.to_thread.run_sync(parts.store.open, name)
        return {"dataset": await anyio.to_thread.run_sync(dataset.summarise), "report": report}


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
    return name


def make_request(form: FormReceiver, files: Path, workspace: Workspace) -> UploadRequest:
    """What the import shall do."""
    listed = (line.strip() for line in form.fields.get("categories", "").splitlines())
    return UploadRequest(
        source=str(form.paths[0] if len(form.paths) == 1 and is_archive(form.paths[0]) else files),
        workspace=str(workspace.root),
        name=form.fields["name"],
        categories=[name for name in listed if name],
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
            "expected pictures or an archive that can be read, got files at which the import ended with code "
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
    """Have a process end that may still run, and wait for it."""
    if process.returncode is None:
        process.terminate()
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(ending), ENDING_S)
    if process.returncode is None:
        process.kill()
    await ending
