"""`POST /predict/{name}`: a picture in, annotations or a picture out. It parses and calls; what is slow happens elsewhere."""

import asyncio
from collections.abc import Sequence
from functools import partial

from starlette.requests import Request
from starlette.routing import Route

from sightline.core.errors import InvalidInput
from sightline.serving.http.content_encoding import Decompressor
from sightline.serving.http.keys import find_caller
from sightline.serving.http.predict.answers import Answer, DescribedPicture, describe_picture, join_pictures, write_answer
from sightline.serving.http.predict.requests import (
    DRAWN,
    BodyHead,
    FetchImage,
    Pictures,
    PredictOptions,
    find_pictures,
    read_head,
    read_options,
)
from sightline.serving.http.request_body import BoundedBody, Hold
from sightline.serving.inference.calls import Call
from sightline.serving.inference.service import InferenceService, ServedVersion

LIST_IN_FLIGHT = 8


class PredictEndpoint:
    """The handler.

    Args:
        service: answers calls.
        max_bytes: of a body as it came.
        hold: counts pictures that are no part of a body.
        decompressor: of bodies.
        fetch_image: gets the bytes behind an `imageUrl`; None: URLs are refused.
    """

    def __init__(
        self,
        service: InferenceService,
        max_bytes: int,
        hold: Hold,
        decompressor: Decompressor,
        fetch_image: FetchImage | None,
    ) -> None:
        self.service = service
        self.max_bytes = max_bytes
        self._hold = hold
        self._decompressor = decompressor
        self._fetch_image = fetch_image

    async def predict(self, request: Request) -> Answer:
        """Answer one request. Raises: Refusal, and what `InferenceService.infer` raises."""
        options = read_options(request)
        head = read_head(request)
        if not head.encoding:
            return await self._answer_body(request, options, head, await self._read_body(request))
        async with self._decompressor.undo(await self._read_body(request), head.encoding) as body:
            return await self._answer_body(request, options, head, body)

    async def _read_body(self, request: Request) -> bytes:
        return await BoundedBody(request.receive, self.max_bytes, remedy="send a smaller picture or fewer").read_whole()

    async def _answer_body(self, request: Request, options: PredictOptions, head: BodyHead, body: bytes) -> Answer:
        pictures = await find_pictures(body, head, self._fetch_image)
        del body  # its base64 takes more than the pictures that it was
        if not pictures.added_bytes:
            return await self._answer(request, options, pictures)
        with self._hold(pictures.added_bytes):
            return await self._answer(request, options, pictures)

    async def _answer(self, request: Request, options: PredictOptions, pictures: Pictures) -> Answer:
        count = len(pictures.uploads)
        if options.format != "json" and count != 1:
            raise InvalidInput(
                f"expected one picture for format={options.format}, got {count}; ask for each, or for format=json"
            )
        name: str = request.path_params["name"]
        tenant = find_caller(request.scope).name
        is_list = pictures.is_list and options.format == "json"
        calls = [
            Call(
                model=name,
                version=options.version,
                pictures=(upload,),
                write_answer=partial(describe_picture, upload.name, options) if is_list else partial(write_answer, options),
                keep_images=options.format in DRAWN,
                tenant=tenant,
            )
            for upload in pictures.uploads
        ]
        if is_list:
            return join_pictures(await self._infer_all(calls))
        answer: Answer = await self.service.infer(calls[0])
        return answer

    async def _infer_all(self, calls: Sequence[Call]) -> list[DescribedPicture]:
        """A call for each picture, a few at once, so that a long list neither exceeds a batch nor fills the queue.

        One version answers them all, also when it is replaced meanwhile: their answer names one.
        """
        places = asyncio.Semaphore(LIST_IN_FLIGHT)

        async def infer(call: Call, served: ServedVersion) -> DescribedPicture:
            async with places:
                described: DescribedPicture = await self.service.infer(call, served)
                return described

        with self.service.hold(calls[0].model, calls[0].version) as served:
            tasks = [asyncio.create_task(infer(call, served)) for call in calls]
            try:
                return await asyncio.gather(*tasks)
            finally:
                for task in tasks:  # when one failed, nobody waits for the others
                    task.cancel()
                await asyncio.wait(tasks)  # they end at once, but not after the version is let go of
                tasks.clear()  # the failed one's error has a traceback that holds this frame: a cycle would keep the pictures


def make_routes(endpoint: PredictEndpoint) -> list[Route]:
    """The one route."""
    return [Route("/predict/{name}", endpoint.predict, methods=["POST"])]
