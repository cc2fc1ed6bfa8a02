"""Infer what a request asks, over HTTP and gRPC: its claims are weighed before it is read, and that before it is queued."""

import asyncio
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import msgspec

from sightline.serving.http.request_body import Hold
from sightline.serving.inference.calls import Inferred, ServedFacts
from sightline.serving.inference.service import InferenceService
from sightline.serving.v2.claims import check_claims
from sightline.serving.v2.requests import InferRequest, OpenedRequest, make_call

WriteAnswer = Callable[[InferRequest, ServedFacts, Inferred], Any]


class Inferrer:
    """Answers requests that were opened.

    Args:
        service: infers.
        hold: counts what inputs take beside their requests.
    """

    def __init__(self, service: InferenceService, hold: Hold) -> None:
        self._service = service
        self._hold = hold

    async def infer(
        self,
        opened: OpenedRequest,
        facts: ServedFacts,
        write_answer: WriteAnswer,
        *,
        version: str,
        tenant: str,
        remaining_s: float | None = None,
        is_large: bool = False,
    ) -> Any:
        """Answer one.

        Args:
            facts: of the version that would answer now.
            write_answer: makes the protocol's answer to the request, on the inferring thread.
            version: as the client asked for it.
            remaining_s: that the client waits at most; None: it did not say.
            is_large: it is read in a thread, whatever its inputs claim.

        Raises: InvalidInput for what does not fit the model; Exhausted; as `InferenceService.infer`.
        """
        check_claims(opened.claims, facts)
        with self._hold(opened.added_bytes) if opened.added_bytes else nullcontext():
            asked = await asyncio.to_thread(opened.read) if is_large or opened.is_slow else opened.read()
            if remaining_s is not None:
                timeout_s = remaining_s if asked.timeout_s is None else min(remaining_s, asked.timeout_s)
                asked = msgspec.structs.replace(asked, timeout_s=timeout_s)
            return await self._service.infer(make_call(asked, facts, partial(write_answer, asked), version, tenant))
