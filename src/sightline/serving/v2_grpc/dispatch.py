"""From gRPC's calls to the endpoints: who calls, what the bytes say, and how an answer or a refusal goes back.

Every unary call is taken as a stream of which one message is read. So the key is checked before the message is, a message that
does not come is given up, and bytes that are no message are refused in words instead of ending as the library's own error.

A message is counted with the bodies of HTTP from when it is there to its answer. The library does not say how much of one is
there before all of it is, so what may be on its way is bounded by number: messages that are read, slow ones, and open streams.

A call keeps its place until its answer is read, or its connection cut off because it is not. The quota of a key is left as soon
as the answer is made: the client knows before we do that it has read it, and may send its next request meanwhile.

A request is reported when its answer has been sent, not when it is made: a client that has gone by then, or is cut off, is 499.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, NoReturn

import grpc
import msgspec

from sightline.serving.http.keys import ANYBODY, Authenticator, Caller, read_token
from sightline.serving.http.limits import TokenBucket, take_turn
from sightline.serving.http.problems import CLIENT_CLOSED_REQUEST
from sightline.serving.http.refusals import Refusal
from sightline.serving.http.request_body import Hold
from sightline.serving.http.request_record import RECORD, RequestIds, RequestObserver, RequestRecord
from sightline.serving.v2_grpc.connections import read_peer
from sightline.serving.v2_grpc.endpoints import GrpcEndpoints, Origin
from sightline.serving.v2_grpc.messages import HEALTH_SERVICE, SERVICE, ServiceCall, find_message, list_calls, parse_message
from sightline.serving.v2_grpc.open_streams import OpenStream, OpenStreams
from sightline.serving.v2_grpc.places import Places, Turns
from sightline.serving.v2_grpc.refusals import describe_failure, refuse
from sightline.serving.v2_grpc.unread import CountUnread, Unread

MAX_CALLS = 2048  # at once; not by connection: a burst over a new one would be reset before the client knew the limit
MAX_HEALTH_CALLS = 256  # beside those
MAX_HEALTH_MESSAGES = 4  # on their way
MAX_STREAMS = 64  # open at once
PROMPT_S = 5.0  # a message that takes longer to come is slow
MAX_SLOW = 8  # slow messages at once
OPEN_CALLS = frozenset(("ServerLive", "ServerReady", "Check"))  # need no key: they say whether the server is well

Answer = Callable[[Any, Origin], Awaitable[bytes]]


class Lane(msgspec.Struct, frozen=True):
    """What the calls of one kind may take.

    Attributes:
        places: of calls, until their answers are read.
        turns: of messages that are on their way.
        message_timeout_s: how long one may take to come, with its wait for a turn.
    """

    places: Places
    turns: Turns
    message_timeout_s: float


class CallDispatcher:
    """Answers the calls. Runs on the event loop.

    Args:
        endpoints: what answers messages.
        authenticator: None: whoever reaches the server may do everything.
        bucket: the rate of all callers together, health aside; None: unlimited.
        observers: told of every request when it has ended, as the guard's are over HTTP.
        hold: counts messages that are worked on.
        count_unread: counts bytes of answers while they are not read.
        cut: ends the connection of a peer.
        max_messages: of unary calls that may be on their way at once.
        message_timeout_s: how long a unary call's message may take to come.
        stream_bytes: a stream is read on while its messages in work and its unsent answers have fewer bytes together.
    """

    def __init__(
        self,
        endpoints: GrpcEndpoints,
        *,
        authenticator: Authenticator | None,
        bucket: TokenBucket | None,
        observers: Sequence[RequestObserver],
        hold: Hold,
        count_unread: CountUnread,
        cut: Callable[[str], None],
        max_messages: int,
        message_timeout_s: float,
        stream_bytes: int,
    ) -> None:
        self._endpoints = endpoints
        self._authenticator = authenticator
        self._bucket = bucket
        self._observers = tuple(observers)
        self._hold = hold
        self._count_unread, self._cut = count_unread, cut
        self._stream_bytes = stream_bytes
        calls = Places(MAX_CALLS, "calls run, or their answers are not read; call again in a moment")
        health_calls = Places(MAX_HEALTH_CALLS, "calls of health run; call again in a moment")
        self._calls = Lane(calls, Turns(max_messages), message_timeout_s)
        self._health = Lane(health_calls, Turns(MAX_HEALTH_MESSAGES), min(message_timeout_s, PROMPT_S))
        self._streams = OpenStreams(MAX_STREAMS)
        self._slow = Places(MAX_SLOW, "slow messages are on their way; send faster, or again in a moment")
        self._ids = RequestIds()

    def make_handlers(self) -> list[grpc.GenericRpcHandler]:
        """gRPC's handler of all calls of each service; messages reach them and leave them as bytes."""
        return [self._make_handler(service) for service in (SERVICE, HEALTH_SERVICE)]

    def _make_handler(self, service: str) -> grpc.GenericRpcHandler:
        table = self._endpoints.list_handlers()
        handlers: dict[str, Any] = {}
        for call in list_calls(service):
            if call.is_stream:
                handlers[call.name] = grpc.stream_stream_rpc_method_handler(self._make_stream(call))
            else:
                handlers[call.name] = grpc.stream_unary_rpc_method_handler(self._make_unary(call, table[call.name]))
        return grpc.method_handlers_generic_handler(service, handlers)

    def _make_unary(self, call: ServiceCall, answer: Answer) -> Callable[[Any, Any], Awaitable[bytes]]:
        lane = self._health if call.name in OPEN_CALLS else self._calls

        async def answer_call(messages: AsyncIterator[bytes], context: Any) -> bytes:
            with ExitStack() as until_reported:
                record = until_reported.enter_context(self._keep_record(call, context))
                try:
                    caller = self._find_caller(call, context)
                    whose = caller.name or record.remote
                    with ExitStack() as until_read:
                        until_read.enter_context(lane.places.take(whose))
                        with self._enter(call, caller, record):
                            body = await self._read_message(call, lane, context, whose)
                            record.bytes_in = len(body)
                            with self._hold(len(body)):
                                message = parse_message(call.request, body, call.package)
                                del body  # the message has a copy
                                origin = Origin(caller, context.time_remaining())
                                answered = _note_answer(record, await answer(message, origin))
                        self._begin_sending(context, record, until_read.pop_all(), until_reported.pop_all())
                        return answered
                except Exception as error:  # noqa: BLE001 - the border: what was not raised on purpose goes to the log
                    await self._refuse(record, context, error)

        return answer_call

    def _begin_sending(self, context: Any, record: RequestRecord, until_read: ExitStack, until_reported: ExitStack) -> None:
        """The library sends the answer once the handler has ended; the two are left, in this order, when that is over."""
        unread = self._make_unread(context)
        unread.add(record.bytes_out)
        until_read.enter_context(unread.sending(record.bytes_out))

        def leave(context: Any) -> None:
            with until_reported, until_read:
                if unread.is_cut or context.time_remaining() == 0:  # else see `unsent`
                    record.status = CLIENT_CLOSED_REQUEST

        context.add_done_callback(leave)

    def _make_unread(self, context: Any) -> Unread:
        return Unread(partial(self._cut, context.peer()), self._count_unread)

    async def _refuse(self, record: RequestRecord, context: Any, error: Exception) -> NoReturn:
        with self._make_unread(context).sending(0):
            await refuse(record, context, error)

    def _make_stream(self, call: ServiceCall) -> Callable[[Any, Any], Awaitable[None]]:
        async def answer_stream(messages: AsyncIterator[bytes], context: Any) -> None:
            try:
                caller = self._find_caller(call, context)
                stream = OpenStream(self._stream_bytes, self._make_unread(context))
                with self._streams.keep(stream, caller.name or read_peer(context.peer())[0]):
                    await self._run_stream(call, messages, context, stream)
            except Exception as error:  # noqa: BLE001 - the border: what was not raised on purpose goes to the log
                with self._keep_record(call, context) as record:
                    await self._refuse(record, context, error)

        return answer_stream

    async def _run_stream(self, call: ServiceCall, messages: AsyncIterator[bytes], context: Any, stream: OpenStream) -> None:
        """Work on several messages at once, answer them in their order. Whatever ends the stream cancels what is left.

        Raises: Refusal when it had to give way.
        """
        unsent: dict[asyncio.Task[bytes], RequestRecord] = {}

        async def read_messages() -> None:
            async for body in messages:
                record = self._make_record(call, context)
                answer = group.create_task(self._answer_in_stream(call, body, context, stream, record))
                unsent[answer] = record
                stream.begin(len(body))
                del body  # its task alone decides how long it lives
                await stream.answers.put(answer)
                await stream.wait_for_room()
            await stream.answers.put(None)

        try:
            async with asyncio.TaskGroup() as group:
                reader = group.create_task(read_messages())
                while (answer := await stream.answers.get()) is not None:
                    with stream.unread.sending(len(await answer)):
                        await _send(context, answer.result())
                    unsent.pop(answer).end(self._observers)
                    stream.end(len(answer.result()))
                reader.cancel()
        finally:
            stream.unread.close()
            for record in unsent.values():
                record.status = CLIENT_CLOSED_REQUEST
                record.end(self._observers)
        if stream.refusal is not None:
            raise stream.refusal

    async def _answer_in_stream(
        self, call: ServiceCall, body: bytes, context: Any, stream: OpenStream, record: RequestRecord
    ) -> bytes:
        """The answer to one message of a stream: a failure is an answer too, and the stream goes on."""
        message_id, size_bytes = "", len(body)
        RECORD.set(record)
        try:
            caller = self._find_caller(call, context)  # again: a key may go while its stream is open
            record.bytes_in = size_bytes
            with self._enter(call, caller, record), self._hold(size_bytes):
                message = parse_message(call.request, body)
                del body  # the message has a copy
                message_id = message.id
                answer = _note_answer(record, await self._endpoints.infer_in_stream(message, Origin(caller)))
        except Exception as error:  # noqa: BLE001 - the border: what was not raised on purpose goes to the log
            response = find_message("ModelStreamInferResponse")(error_message=describe_failure(record, error))
            response.infer_response.id = message_id
            answer = bytes(response.SerializeToString())
        stream.answer(size_bytes, len(answer))
        return answer

    @contextmanager
    def _keep_record(self, call: ServiceCall, context: Any) -> Iterator[RequestRecord]:
        """A record of a request, which is reported at the end."""
        record = self._make_record(call, context)
        RECORD.set(record)
        try:
            yield record
        finally:
            record.end(self._observers)

    def _make_record(self, call: ServiceCall, context: Any) -> RequestRecord:
        client = read_peer(context.peer())[0], 0
        record = RequestRecord({"method": "GRPC", "path": f"/{call.service}/{call.name}", "client": client})
        record.request_id = self._ids.choose(find_request_id(context.invocation_metadata()))
        return record

    @contextmanager
    def _enter(self, call: ServiceCall, caller: Caller, record: RequestRecord) -> Iterator[None]:
        """A place for one request under the limits of all and of its key. Raises: Refusal."""
        record.tenant = caller.name
        take_turn(caller.quota, None if call.name in OPEN_CALLS else self._bucket)
        caller.quota.begin()
        try:
            yield
        finally:
            caller.quota.leave()

    def _find_caller(self, call: ServiceCall, context: Any) -> Caller:
        if self._authenticator is None or call.name in OPEN_CALLS:
            return ANYBODY
        metadata = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
        return self._authenticator.authenticate(read_token(metadata.get("authorization", ""), metadata.get("x-api-key")))

    async def _read_message(self, call: ServiceCall, lane: Lane, context: Any, whose: str) -> bytes:
        """The message of a call. Until it is asked for, the library takes no more of it off the network than a window."""
        reading: asyncio.Future[Any] | None = None
        try:
            async with asyncio.timeout(lane.message_timeout_s), lane.turns.take(whose):
                reading = asyncio.ensure_future(context.read())  # it cannot be asked for twice, so its end is waited for apart
                if not (await asyncio.wait([reading], timeout=PROMPT_S))[0]:
                    with self._slow.take(whose):
                        await asyncio.wait([reading])
                body = reading.result()
        except TimeoutError:
            raise Refusal(408, f"the message was not complete after {lane.message_timeout_s:g} s; send it faster") from None
        finally:
            if reading is not None:
                reading.cancel()
        if body is grpc.aio.EOF:
            raise Refusal(400, f"expected one message {call.request}, got none")
        return bytes(body)


def _note_answer(record: RequestRecord, answer: bytes) -> bytes:
    record.status, record.bytes_out = 200, len(answer)
    return answer


async def _send(context: Any, body: bytes) -> None:
    try:
        await context.write(body)
    except grpc.aio.InternalError:  # the stream has ended: the client has gone, or one of its messages was too large
        raise asyncio.CancelledError from None


def find_request_id(metadata: Any) -> bytes:
    """The `x-request-id` in a call's metadata; empty without one."""
    given = next((value for key, value in metadata or () if key == "x-request-id"), "")
    return given.encode() if isinstance(given, str) else b""
