"""`sightline.Client`: ask a server about pictures and tensors over kept-alive connections, sending again only what may be.

What may be sent again, and why, stands in `retries`; what is sent and how answers are read in `calls`.
"""

import os
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, overload

import httpx
import numpy as np

from sightline.core.annotations import Annotation
from sightline.core.errors import Conflict
from sightline.runtime.predictor import PICTURE_TYPES, Picture, iterate_pictures
from sightline.serving.client.calls import (
    ClientCall,
    ModelMetadata,
    ModelState,
    ServerMetadata,
    call_index,
    call_infer,
    call_load,
    call_predict,
    call_unload,
    check_outcome,
    make_model_path,
    make_request,
    read_annotations,
    read_json,
    read_problem,
    read_ready,
    read_tensors,
)
from sightline.serving.client.deadline import DeadlineTransport, Recall, TimeLeft
from sightline.serving.client.forks import renew_in_children
from sightline.serving.client.in_order import ask_in_order
from sightline.serving.client.retries import FAILURES, Outcome, check_in_flight, converse, make_policy
from sightline.serving.client.settings import (
    CLOSED,
    DEFAULT_IN_FLIGHT,
    DEFAULT_RETRIES,
    DEFAULT_TIMEOUT_S,
    check_url,
    make_settings,
)
from sightline.serving.client.streams import (
    SILENCE_S,
    Following,
    StreamEvent,
    StreamList,
    StreamState,
    call_start,
    make_stream_path,
)
from sightline.serving.http.tls import FilePath, make_client_context


class Client:
    """A client of a server. Safe in several threads and in processes forked from its own; close it, or use `with`.

    Args:
        url: address of the server, for example `http://127.0.0.1:8000`.
        api_key: sent as a bearer token; None sends none.
        timeout_s: time for one answer, from the first sending to the last byte, with retries and waits. The system's look-up of
            the server's name is not counted. None waits as long as it takes, a week at most.
        retries: how often a request that may be sent again is sent again.
        in_flight: most requests at once for a list of pictures, at least 1.
        ca_file: PEM file of the authorities to trust for https; None takes the system's, or those of SSL_CERT_FILE.
        client_certificate, client_key: PEM files to show to a server that asks for a certificate; without a key file the key
            is in the certificate's file.

    Raises, from every method: NotFound, InvalidInput, Conflict or Unsupported, as the server says; AccessDenied when one of the
        two does not trust the other; Exhausted when the server refuses (queue full, rate limit; `retry_after_s` is what it
        says) or does not answer in time; Unreachable, an Exhausted, when no server is there; Conflict once the client is
        closed.
    """

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        *,
        timeout_s: float | None = DEFAULT_TIMEOUT_S,
        retries: int = DEFAULT_RETRIES,
        in_flight: int = DEFAULT_IN_FLIGHT,
        ca_file: FilePath | None = None,
        client_certificate: FilePath | None = None,
        client_key: FilePath | None = None,
    ) -> None:
        self.url = check_url(url)
        self._policy = make_policy(retries, timeout_s)
        self._in_flight = check_in_flight(in_flight)
        self._rng = random.Random()
        self._sleep: Callable[[float], object] = time.sleep
        self._settings = make_settings(self.url, api_key, make_client_context(ca_file, client_certificate, client_key))
        self._open()
        renew_in_children(self)

    def __repr__(self) -> str:
        return f"Client({self.url!r})"

    @overload
    def predict(  # type: ignore[overload-overlap]
        self, model: str, pictures: Picture, confidence_threshold: float | None = None, version: str | int = ""
    ) -> list[Annotation]: ...

    @overload
    def predict(
        self, model: str, pictures: Sequence[Picture], confidence_threshold: float | None = None, version: str | int = ""
    ) -> list[list[Annotation]]: ...

    def predict(
        self,
        model: str,
        pictures: Picture | Sequence[Picture],
        confidence_threshold: float | None = None,
        version: str | int = "",
    ) -> list[Annotation] | list[list[Annotation]]:
        """Annotations, best first: a list for one picture, a list of lists for several.

        Args:
            model: name in the server's repository.
            pictures: a path, encoded bytes, or a `uint8 (H, W, 3)` RGB array; or a list of them.
            confidence_threshold: drop predictions below it, 0..1; None takes the model's own.
            version: its number, also as text; "" lets the server choose.
        """
        if isinstance(pictures, PICTURE_TYPES):
            return self._ask(model, pictures, confidence_threshold, version)
        return list(self.predict_stream(model, pictures, confidence_threshold, version=version))

    def predict_stream(
        self,
        model: str,
        pictures: Iterable[Picture],
        confidence_threshold: float | None = None,
        in_flight: int | None = None,
        version: str | int = "",
    ) -> Iterator[list[Annotation]]:
        """Annotations of each picture, in order, with several requests in flight at once; memory stays bounded.

        Leaving it early, even by an error or Ctrl-C, ends the requests in flight at once.
        """
        count = self._in_flight if in_flight is None else check_in_flight(in_flight)

        def ask(picture: Picture, recall: Recall) -> list[Annotation]:
            return self._ask(model, picture, confidence_threshold, version, recall)

        return ask_in_order(ask, iterate_pictures(pictures), count)

    def draw(self, model: str, picture: Picture, confidence_threshold: float | None = None, version: str | int = "") -> bytes:
        """The picture with its predictions drawn, as PNG."""
        return self._send(call_predict(model, picture, confidence_threshold, version, "png")).content

    def predict_raw(
        self, model: str, tensors: Mapping[str, np.ndarray], version: str | int = "", outputs: Sequence[str] = ()
    ) -> dict[str, np.ndarray]:
        """The graph's outputs for input tensors, both sent as binary tensors of the Open Inference Protocol V2.

        Args:
            tensors: input name -> array as `metadata(model)` describes it, batch axis first; BYTES as arrays of bytes or str.
            version: its number, also as text; "" lets the server choose.
            outputs: names of the outputs to return; empty returns all.

        Returns: output name -> array; BYTES as object arrays of bytes, BF16 as float32.
        """
        return read_tensors(self._send(call_infer(model, tensors, version, outputs)))

    def models(self) -> list[ModelState]:
        """Every version in the server's repository."""
        return read_json(self._send(call_index()), list[ModelState])

    def ready(self, model: str = "", version: str | int = "") -> bool:
        """Whether the server, or one of its models, takes requests; False also when nobody answers at the URL."""
        path = make_model_path(model, version, "/ready") if model else "/v2/health/ready"
        outcome = self._exchange(ClientCall(method="GET", path=path))
        return read_ready(outcome, self.url)

    def metadata(self, model: str, version: str | int = "") -> ModelMetadata:
        """Inputs, outputs and versions of a model."""
        call = ClientCall(method="GET", path=make_model_path(model, version))
        return read_json(self._send(call), ModelMetadata)

    def server_metadata(self) -> ServerMetadata:
        """Name, version and protocol extensions of the server."""
        return read_json(self._send(ClientCall(method="GET", path="/v2")), ServerMetadata)

    def load(self, model: str, configuration: Mapping[str, Any] | None = None) -> None:
        """Load a model, or load it anew; not sent again once it has left. Args: configuration: replaces that of its file."""
        self._send(call_load(model, configuration))

    def unload(self, model: str, with_dependents: bool = False) -> None:
        """Unload a model; not sent again once it has left."""
        self._send(call_unload(model, with_dependents))

    def start_stream(
        self,
        model: str,
        video: str | os.PathLike[str] | None = None,
        *,
        url: str = "",
        file: str = "",
        **options: Any,
    ) -> StreamState:
        """Have the server run a model over a video or camera; not sent again once it has left.

        Args:
            model: name in the server's repository.
            video: path of a file to send, within `timeout_s`.
            url: address of a camera or video that the server opens, if its operator allows that.
            file: name of a video in the server's own folder.
            options: those of `POST /v2/streams`: version, frames_per_second, realtime, drop, max_waiting_frames, confidence,
                loop, name.
        """
        return read_json(self._send(call_start(model, video, url, file, options)), StreamState)

    def follow_stream(self, stream: str, after: int = 0) -> Iterator[StreamEvent]:
        """Results of a stream as they come, to its end. A broken connection is made again without losing results.

        Args:
            stream: its id.
            after: number of the last event you have; 0 starts at the oldest that the server keeps.

        Raises: as every method; Exhausted once no connection could be made for `timeout_s`.
        """
        following = Following(self.url, stream, after, self._policy.timeout_s, time.monotonic, self._rng)
        while True:
            if self._http.is_closed:
                raise Conflict(CLOSED)
            try:
                with self._http.stream(timeout=SILENCE_S, **make_request(following.begin())) as answer:
                    if not answer.is_success:
                        answer.read()
                        raise read_problem(answer)
                    for piece in answer.iter_bytes():
                        yield from following.feed(piece)
                        if following.is_over:
                            return
                    following.end(answer)
                    return
            except FAILURES as error:
                self._sleep(following.choose_wait(error))

    def list_streams(self) -> list[StreamState]:
        """Streams of this client's key, with statistics."""
        return read_json(self._send(ClientCall(method="GET", path="/v2/streams")), StreamList).streams

    def delete_stream(self, stream: str) -> None:
        """End a stream and have the server forget it."""
        self._send(ClientCall(method="DELETE", path=make_stream_path(stream), is_repeatable=False))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _open(self) -> None:
        self._transport = DeadlineTransport(self._settings["verify"], self._settings["limits"])
        self._http = httpx.Client(transport=self._transport, **self._settings)

    def _renew_after_fork(self) -> None:
        if not self._http.is_closed:
            self._transport.abandon()
            self._open()

    def _ask(
        self,
        model: str,
        picture: Picture,
        confidence_threshold: float | None,
        version: str | int,
        recall: Recall | None = None,
    ) -> list[Annotation]:
        return read_annotations(self._send(call_predict(model, picture, confidence_threshold, version), recall))

    def _send(self, call: ClientCall, recall: Recall | None = None) -> httpx.Response:
        """The answer to a call, 2xx. Args: recall: may end it. Raises: whatever error the answer stands for."""
        return check_outcome(self._exchange(call, recall), self.url)

    def _exchange(self, call: ClientCall, recall: Recall | None = None) -> Outcome:
        """Send, and send again as long as the rule says so; what came of the last sending."""
        give_up_at = time.monotonic() + self._policy.timeout_s
        talk = converse(self._policy, call.is_repeatable, time.monotonic, self._rng)
        sleep = self._sleep if recall is None else recall.wait
        wait_s = next(talk)
        while True:
            if wait_s:
                sleep(wait_s)
            left_s = max(give_up_at - time.monotonic(), 0.001)
            try:
                outcome: Outcome = self._http.request(timeout=TimeLeft(left_s, time.monotonic, recall), **make_request(call))
            except FAILURES as error:
                outcome = error
            except RuntimeError:
                if not self._http.is_closed:
                    raise
                raise Conflict(CLOSED) from None
            try:
                wait_s = talk.send(outcome)
            except StopIteration as end:
                last: Outcome = end.value
                return last
