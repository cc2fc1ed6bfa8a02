"""From gRPC's calls to the endpoints: who calls, what the bytes say, and how an answer or a refusal goes back.

Every unary call is taken as a stream of which one message is read. So the key is checked before the message is, a message that
does not come is given up, and bytes that are no message are refused in words instead of ending as the library's own error.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol

import grpc

from sightline.serving.http.keys import ANYBODY, Caller
from sightline.serving.http.refusals import Refusal
from sightline.serving.v2_grpc.endpoints import GrpcEndpoints, Origin
from sightline.serving.v2_grpc.messages import SERVICE, find_message, list_calls, parse_message
from sightline.serving.v2_grpc.refusals import describe_failure, refuse_errors

MAX_UNANSWERED = 64  # messages of one stream that are worked on; the next is read when an answer is sent
OPEN_CALLS = frozenset(("ServerLive", "ServerReady"))  # need no key: they say whether the server is well

Answer = Callable[[Any, Origin], Awaitable[bytes]]


class Authenticator(Protocol):
    """Knows the API keys; `http.keys.Authenticator` is one."""

    def authenticate(self, token: str | None) -> Caller:
        """Who sends this key. Raises: Refusal 401."""


class Dispatcher:
    """Answers the calls. Runs on the event loop.

    Args:
        endpoints: what answers messages.
        authenticator: None: whoever reaches the server may do everything.
        message_timeout_s: how long a unary call's message may take to come.
    """

    def __init__(self, endpoints: GrpcEndpoints, authenticator: Authenticator | None, message_timeout_s: float) -> None:
        self._endpoints = endpoints
        self._authenticator = authenticator
        self._message_timeout_s = message_timeout_s

    def make_handler(self) -> grpc.GenericRpcHandler:
        """gRPC's handler of all calls of the service; messages reach it and leave it as bytes."""
        table = self._endpoints.list_handlers()
        handlers = {}
        for call in list_calls():
            if call.is_stream:
                handlers[call.name] = grpc.stream_stream_rpc_method_handler(self._make_stream(call.name, call.request))
            else:
                answer = self._make_unary(call.name, call.request, table[call.name])
                handlers[call.name] = grpc.stream_unary_rpc_method_handler(answer)
        return grpc.method_handlers_generic_handler(SERVICE, handlers)

    def _make_unary(self, name: str, request: str, answer: Answer) -> Callable[[Any, Any], Awaitable[bytes]]:
        async def answer_call(messages: AsyncIterator[bytes], context: Any) -> bytes:
            async with refuse_errors(name, context):
                caller = self._find_caller(name, context)
                caller.quota.enter()
                try:
                    body = await self._read_message(request, context)
                    return await answer(parse_message(request, body), _find_origin(caller, context))
                finally:
                    caller.quota.leave()

        return answer_call

    def _make_stream(self, name: str, request: str) -> Callable[[Any, Any], Awaitable[None]]:
        async def answer_stream(messages: AsyncIterator[bytes], context: Any) -> None:
            async with refuse_errors(name, context):
                origin = _find_origin(self._find_caller(name, context), context)
                await self._run_stream(name, request, messages, context, origin)

        return answer_stream

    async def _run_stream(self, name: str, request: str, messages: AsyncIterator[bytes], context: Any, origin: Origin) -> None:
        """Work on several messages at once, answer them in their order. Whatever ends the stream cancels what is left."""
        answers: asyncio.Queue[asyncio.Task[bytes] | None] = asyncio.Queue(MAX_UNANSWERED)

        async def read_messages() -> None:
            async for body in messages:
                await answers.put(group.create_task(self._answer_in_stream(name, request, body, origin)))
            await answers.put(None)

        async with asyncio.TaskGroup() as group:
            group.create_task(read_messages())
            while (answer := await answers.get()) is not None:
                await _send(context, await answer)

    async def _answer_in_stream(self, name: str, request: str, body: bytes, origin: Origin) -> bytes:
        """The answer to one message of a stream: a failure is an answer too, and the stream goes on."""
        message_id = ""
        try:
            message = parse_message(request, body)
            message_id = message.id
            origin.caller.quota.enter()
            try:
                return await self._endpoints.infer_in_stream(message, origin)
            finally:
                origin.caller.quota.leave()
        except Exception as error:  # noqa: BLE001 - the border: what was not raised on purpose goes to the log
            response = find_message("ModelStreamInferResponse")(error_message=describe_failure(name, error))
            response.infer_response.id = message_id
            return bytes(response.SerializeToString())

    def _find_caller(self, name: str, context: Any) -> Caller:
        if self._authenticator is None or name in OPEN_CALLS:
            return ANYBODY
        return self._authenticator.authenticate(_read_token(context.invocation_metadata()))

    async def _read_message(self, request: str, context: Any) -> bytes:
        try:
            async with asyncio.timeout(self._message_timeout_s):
                body = await context.read()
        except TimeoutError:
            raise Refusal(408, f"the message was not complete after {self._message_timeout_s:g} s; send it faster") from None
        if body is grpc.aio.EOF:
            raise Refusal(400, f"expected one message {request}, got none")
        return bytes(body)


async def _send(context: Any, body: bytes) -> None:
    try:
        await context.write(body)
    except grpc.aio.InternalError:  # the stream has ended: the client has gone, or one of its messages was too large
        raise asyncio.CancelledError from None


def _find_origin(caller: Caller, context: Any) -> Origin:
    return Origin(caller, context.time_remaining())


def _read_token(metadata: Any) -> str | None:
    """The API key in a call's metadata, as over HTTP: `authorization: Bearer KEY` or `x-api-key: KEY`."""
    named = {key: value for key, value in metadata or () if key in ("authorization", "x-api-key") and isinstance(value, str)}
    scheme, _, token = named.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        return token.strip()
    return named.get("x-api-key")
