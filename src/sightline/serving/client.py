"""Ask a Deployment over HTTP as if it were opened here: has `predict(images)`, so it can be measured and can annotate.

Arrays travel as PNG: what the server decodes is what the caller holds, bit for bit.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx
import msgspec
import numpy as np

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.errors import HTTP_STATUS, Exhausted, InvalidInput, NotFound, SightlineError
from sightline.core.manifests import InputSpec, Task
from sightline.imaging.reading import encode_image
from sightline.runtime.ordered import map_in_order
from sightline.runtime.predictor import Picture
from sightline.serving.hosting import DeploymentFacts, DeploymentState

SourcePicture = Picture | str

ERROR_BY_STATUS = {status: head for head, status in HTTP_STATUS.items()}


class RemotePredictor:
    """A Deployment of a `sightline serve`. Safe to use from several threads.

    Args:
        url: of the server, for example `http://127.0.0.1:8000`.
        name: of the Deployment.
        timeout_s: for one answer.

    Raises: NotFound for an unknown name; Exhausted when no server answers at the URL.
    """

    def __init__(self, url: str, name: str, timeout_s: float = 60.0, transport: httpx.BaseTransport | None = None) -> None:
        self.url = url.rstrip("/")
        self.name = name
        # trust_env=False: a proxy of the environment must not see pictures that were meant for this server.
        self._http = httpx.Client(base_url=self.url, timeout=timeout_s, trust_env=False, transport=transport)
        try:
            self.facts = self._read_facts()
        except BaseException:
            self._http.close()
            raise

    @property
    def task(self) -> Task:
        """What its annotations carry."""
        return self.facts.task

    @property
    def categories(self) -> Categories:
        """Names it can answer."""
        return Categories(self.facts.categories)

    @property
    def input(self) -> InputSpec:
        """How the server prepares a picture."""
        return self.facts.input

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

    def predict(self, images: Sequence[SourcePicture], confidence_threshold: float | None = None) -> list[list[Annotation]]:
        """Annotations of each picture, best first.

        Args:
            images: `uint8 (H, W, 3)` RGB arrays, paths of picture files, or their bytes.
            confidence_threshold: drop predictions below it, 0..1; None: the model's own.
        """
        return [self.predict_one(image, confidence_threshold) for image in images]

    def predict_stream(
        self, images: Iterable[SourcePicture], confidence_threshold: float | None = None, in_flight: int = 4
    ) -> Iterator[list[Annotation]]:
        """Annotations of each picture in order, with `in_flight` requests on their way at once; memory stays bounded."""
        with ThreadPoolExecutor(in_flight, thread_name_prefix="ask") as pool:
            yield from map_in_order(pool, lambda image: self.predict_one(image, confidence_threshold), images, in_flight)

    def predict_encoded(self, contents: Sequence[bytes], confidence_threshold: float | None = None) -> list[list[Annotation]]:
        """Annotations of each encoded picture; its bytes travel as they are."""
        return self.predict(contents, confidence_threshold)

    def predict_one(self, image: SourcePicture, confidence_threshold: float | None = None) -> list[Annotation]:
        """Annotations of one picture."""
        answer = self._post(image, "json", confidence_threshold).json()
        return msgspec.convert(answer["annotations"], list[Annotation])

    def draw(self, image: SourcePicture, confidence_threshold: float | None = None) -> bytes:
        """The picture with its predictions drawn, as PNG."""
        return self._post(image, "png", confidence_threshold).content

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _read_facts(self) -> DeploymentFacts:
        answer = self._request("GET", f"/deployments/{quote(self.name, safe='')}")
        try:
            state = msgspec.json.decode(answer.content, type=DeploymentState)
            if state.state != "ready":
                raise Exhausted(f"deployment {self.name!r} at {self.url} is not ready: {state.detail}")
            return msgspec.json.decode(answer.content, type=DeploymentFacts)
        except msgspec.DecodeError as error:
            raise InvalidInput(f"{self.url} does not answer as a Sightline server does: {error}; is the URL right?") from error

    def _post(self, image: SourcePicture, answer_format: str, confidence: float | None) -> httpx.Response:
        query = {"format": answer_format} | ({} if confidence is None else {"confidence": str(confidence)})
        headers = {"Content-Type": "application/octet-stream"}
        return self._request(
            "POST", f"/predict/{quote(self.name, safe='')}", content=encode_picture(image), params=query, headers=headers
        )

    def _request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, path, **arguments)
        except httpx.TimeoutException as error:
            raise Exhausted(f"{self.url} did not answer in time; is it overloaded?") from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise InvalidInput(f"expected a URL like http://127.0.0.1:8000, got {self.url!r}: {error}") from error
        except httpx.TransportError as error:
            raise Exhausted(f"no answer from {self.url}: {error}; start it with: sightline serve") from error
        if answer.is_success:
            return answer
        raise read_problem(answer)


def encode_picture(image: SourcePicture) -> bytes:
    """The bytes to send: files and bytes as they are, arrays as PNG."""
    if isinstance(image, bytes):
        return image
    if isinstance(image, np.ndarray):
        return encode_image(image, "png")
    path = Path(image)
    if not path.is_file():
        raise NotFound(f"no picture {path}; give a file, its bytes or an array")
    return path.read_bytes()


def read_problem(answer: httpx.Response) -> SightlineError:
    """The error a problem+json answer stands for, with its detail; 4xx without a head of ours are InvalidInput."""
    try:
        detail = str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        detail = f"the server answered {answer.status_code}, not as Sightline does; is the URL right?"
    default = InvalidInput if answer.is_client_error else Exhausted
    return ERROR_BY_STATUS.get(answer.status_code, default)(detail)
