"""A Deployment of a server as if it were opened here: has `predict(images)`, so it can be measured and can annotate.

Arrays travel as PNG: what the server decodes is what the caller holds, bit for bit.
"""

from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Self, overload
from urllib.parse import quote

import msgspec

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.errors import Exhausted
from sightline.core.manifests import InputSpec, Precision, Task
from sightline.runtime.predictor import PICTURE_TYPES, Picture, iterate_pictures
from sightline.serving.client.blocking import Client
from sightline.serving.client.calls import ClientCall, read_json
from sightline.serving.client.deadline import Recall
from sightline.serving.client.settings import DEFAULT_RETRIES, DEFAULT_TIMEOUT_S
from sightline.serving.http.tls import FilePath


class RemoteState(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a Deployment answers ("ready"), and if not, why."""

    state: str
    detail: str = ""


class RemoteDecode(msgspec.Struct, frozen=True, kw_only=True):
    """What a client needs of how a Deployment makes annotations."""

    confidence_threshold: float | None = None


class RemoteFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a client needs of `GET /deployments/NAME` of one that is ready."""

    task: Task
    categories: tuple[str, ...]
    input: InputSpec | None
    device: str
    engine: str
    precision: Precision
    model_id: str = ""
    decode: RemoteDecode | None = None


class RemotePredictor:
    """A Deployment on a server, used like a Predictor. Safe in several threads; close it, or use `with`.

    Args:
        url: address of the server, for example `http://127.0.0.1:8000`.
        name: name of the Deployment.
        timeout_s, api_key, retries, ca_file, client_certificate, client_key: see `Client`.

    Raises: NotFound for an unknown name; AccessDenied as `Client` says; Exhausted when no server answers at the URL.
    """

    def __init__(
        self,
        url: str,
        name: str,
        timeout_s: float | None = DEFAULT_TIMEOUT_S,
        api_key: str | None = None,
        retries: int = DEFAULT_RETRIES,
        *,
        ca_file: FilePath | None = None,
        client_certificate: FilePath | None = None,
        client_key: FilePath | None = None,
    ) -> None:
        self.client = Client(
            url,
            api_key,
            timeout_s=timeout_s,
            retries=retries,
            ca_file=ca_file,
            client_certificate=client_certificate,
            client_key=client_key,
        )
        self.url = self.client.url
        self.name = name
        try:
            self.facts = self._read_facts()
        except BaseException:
            self.client.close()
            raise

    def __repr__(self) -> str:
        return f"RemotePredictor({self.url!r}, {self.name!r}, task={self.task!r}, device={self.device!r})"

    @property
    def task(self) -> Task:
        """What kind of annotations it answers with."""
        return self.facts.task

    @property
    def categories(self) -> Categories:
        """Categories it can answer with."""
        return Categories(self.facts.categories)

    @property
    def input(self) -> InputSpec | None:
        """How the server prepares a picture; None for a graph of raw tensors."""
        return self.facts.input

    @property
    def confidence_threshold(self) -> float | None:
        """Predictions below it are dropped if a call names no threshold, 0..1; None if the server does not say."""
        return None if self.facts.decode is None else self.facts.decode.confidence_threshold

    @property
    def model_id(self) -> str:
        """Id of the Model behind it."""
        return self.facts.model_id

    @property
    def device(self) -> str:
        """Device that answers."""
        return self.facts.device

    @property
    def engine(self) -> str:
        """Engine that answers."""
        return self.facts.engine

    @property
    def precision(self) -> str:
        """Precision of the Artifact that answers."""
        return self.facts.precision

    @overload
    def predict(self, images: Picture, confidence_threshold: float | None = None) -> list[Annotation]: ...  # type: ignore[overload-overlap]

    @overload
    def predict(self, images: Iterable[Picture], confidence_threshold: float | None = None) -> list[list[Annotation]]: ...

    def predict(
        self, images: Picture | Iterable[Picture], confidence_threshold: float | None = None
    ) -> list[Annotation] | list[list[Annotation]]:
        """Annotations, best first: a list for one picture, a list of lists for several.

        Args:
            images: a path, encoded bytes, or a `uint8 (H, W, 3)` RGB array; or a list of them.
            confidence_threshold: drop predictions below it, 0..1; None: the model's own.
        """
        if isinstance(images, PICTURE_TYPES):
            return self.client.predict(self.name, images, confidence_threshold)
        # One after the other: `measure` times this call, and several in flight are for `predict_stream`.
        return [self.client.predict(self.name, image, confidence_threshold) for image in iterate_pictures(images)]

    def ask(self, image: Picture, confidence_threshold: float | None, recall: Recall) -> list[Annotation]:
        """Annotations of one picture. Args: recall: may end it from another thread."""
        return self.client._ask(self.name, image, confidence_threshold, "", recall)

    def predict_stream(
        self, images: Iterable[Picture], confidence_threshold: float | None = None, in_flight: int | None = None
    ) -> Iterator[list[Annotation]]:
        """Annotations of each picture, in order, with `in_flight` requests at once; memory stays bounded."""
        return self.client.predict_stream(self.name, images, confidence_threshold, in_flight)

    def predict_encoded(self, contents: Sequence[bytes], confidence_threshold: float | None = None) -> list[list[Annotation]]:
        """Annotations of each encoded picture, whose bytes are sent as they are."""
        return self.predict(contents, confidence_threshold)

    def draw(self, image: Picture, confidence_threshold: float | None = None) -> bytes:
        """The picture with its predictions drawn, as PNG."""
        return self.client.draw(self.name, image, confidence_threshold)

    def close(self) -> None:
        """Close the connections."""
        self.client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _read_facts(self) -> RemoteFacts:
        answer = self.client._send(ClientCall(method="GET", path=f"/deployments/{quote(self.name, safe='')}"))
        state = read_json(answer, RemoteState)
        if state.state != "ready":
            detail = state.detail or "ask again in a moment"
            raise Exhausted(f"deployment {self.name!r} at {self.url} is {state.state}, not ready: {detail}")
        return read_json(answer, RemoteFacts)
