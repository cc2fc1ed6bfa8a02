"""`/v1/jobs/{job_id}/events`: a job as it goes on, as server-sent events.

A stream holds nothing for its reader: woken by the runner, it reads the job's file from where the reader is. So a slow reader
costs nothing and delays nobody, and one that comes back with Last-Event-ID misses nothing.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

import anyio.to_thread
import msgspec
from fastapi import APIRouter, Header
from starlette.responses import Response, StreamingResponse

from sightline.api import job_schemas as schemas
from sightline.api.jobs import describe_job
from sightline.api.parts import PartsOf
from sightline.core.errors import Exhausted
from sightline.jobs.events import JobEvent, ProgressTail
from sightline.jobs.runner import JobRunner
from sightline.store.jobs import Job

HEARTBEAT_S = 15.0  # proxies and browsers drop what is silent for long
MAX_STREAMS = 100
HEARTBEAT = b": still there\n\n"
RETRY = b"retry: 2000\n\n"  # ms until a browser comes back
EVENT_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
        "description": "Events `progress` (data: a JobEvent, id: its sequence) and `job` (data: the Job, whenever it changed); "
        "after the `job` that has ended the stream ends",
    }
}

router = APIRouter(tags=["Jobs"])
LastOf = Annotated[int, Header(alias="Last-Event-ID", ge=0, description="The last event that the reader has.")]


@router.get("/v1/jobs/{job_id}/events", response_class=Response, responses=EVENT_ANSWER)
async def follow_job(job_id: str, parts: PartsOf, last: LastOf = 0) -> Response:
    """A job as it goes on, until it has ended."""
    await anyio.to_thread.run_sync(parts.jobs.store.read, job_id)  # refuses what is no job
    if parts.jobs.listener_count >= MAX_STREAMS:
        raise Exhausted(f"{MAX_STREAMS} streams of events are open, and no more are allowed; close some", retry_after_s=5.0)
    return StreamingResponse(stream_job(parts.jobs, job_id, last), media_type="text/event-stream")


async def stream_job(jobs: JobRunner, job_id: str, last: int) -> AsyncIterator[bytes]:
    """The lines of one stream. Args: last: the sequence number of the last event that the reader has."""
    loop, changed, tail = asyncio.get_running_loop(), asyncio.Event(), ProgressTail(jobs.folder(job_id).progress, last)
    told: Job | None = None
    with jobs.listen(job_id, lambda: loop.call_soon_threadsafe(changed.set)):
        yield RETRY
        while True:
            changed.clear()
            events, job = await anyio.to_thread.run_sync(look, jobs, job_id, tail)
            for event in events:
                yield encode("progress", msgspec.json.encode(event), event.sequence)
            if job != told:
                yield encode("job", schemas.Job.model_validate(describe_job(job)).model_dump_json().encode())
                told = job
            if job.has_ended or jobs.is_closing:
                return
            try:
                await asyncio.wait_for(changed.wait(), HEARTBEAT_S)
            except TimeoutError:
                yield HEARTBEAT


def look(jobs: JobRunner, job_id: str, tail: ProgressTail) -> tuple[list[JobEvent], Job]:
    """What is new of a job: first its state, so that no event of one that has ended is missed."""
    job = jobs.store.read(job_id)
    return tail.read(), job


def encode(name: str, data: bytes, sequence: int | None = None) -> bytes:
    """One event on the wire; JSON has no line breaks."""
    identity = b"" if sequence is None else b"id: %d\n" % sequence
    return b"event: %s\n%sdata: %s\n\n" % (name.encode(), identity, data)
