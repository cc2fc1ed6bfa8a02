"""The table of everything that can be asked over HTTP: one row each, in the words of its users.

The OpenAPI document and the page at /docs are made from it, and a test holds it against the routes of the server, so that none
is undocumented and none is promised that is not there.
"""

from typing import Any, Literal, get_args

import msgspec

from sightline.serving.http.predict.requests import AnswerFormat, MaskForm

Right = Literal["none", "key", "admin"]

JSON = "application/json"
PROBLEM = "application/problem+json"
PICTURE = {"type": "string", "format": "binary", "description": "JPEG, PNG, WebP, BMP, TIFF or GIF"}


class Query(msgspec.Struct, frozen=True):
    """A parameter in the query. Attributes: schema: JSON Schema."""

    name: str
    schema: dict[str, Any]
    text: str


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One method on one path.

    Attributes:
        path: with `{parameters}`.
        text: one line.
        group: heading it stands under.
        right: what a caller needs when the server has keys.
        query: parameters in the query.
        body: media type -> JSON Schema of the request's body. needs_body: whether a request must have one.
        answer: media type -> JSON Schema of the answer.
        status: of the answer when all is well. empty: statuses of answers without a body, when all is well, too.
        refusals: statuses of other answers, beside those that every operation has, or every one that takes a body.
    """

    method: Literal["GET", "POST", "DELETE"]
    path: str
    text: str
    group: str
    right: Right = "key"
    query: tuple[Query, ...] = ()
    body: dict[str, Any] = {}
    needs_body: bool = True
    answer: dict[str, Any] = msgspec.field(default_factory=lambda: {JSON: {"type": "object"}})
    status: int = 200
    empty: tuple[int, ...] = ()
    refusals: tuple[int, ...] = ()


def refer(name: str) -> dict[str, str]:
    """Schema of that name in SCHEMAS."""
    return {"$ref": f"#/components/schemas/{name}"}


def take_properties(*required: str, **properties: Any) -> dict[str, Any]:
    """Schema of an object."""
    return {"type": "object", "required": list(required), "properties": properties}


TEXT = {"type": "string"}
NAME = {"type": "string", "minLength": 1}
NUMBER = {"type": "number"}
WHOLE = {"type": "integer"}
TRUE = {"const": True}
STREAM_QUERY = (  # a test holds it against the `StreamOptions` of serving/streams
    Query(
        "model",
        {"type": "string", "minLength": 1, "maxLength": 200},
        "name of the model; required, unless the JSON body names it",
    ),
    Query(
        "version",
        {"type": "string", "maxLength": 20},
        "number of its version; by default the version policy chooses, frame by frame",
    ),
    Query(
        "frames_per_second",
        {"type": "number", "exclusiveMinimum": 0, "maximum": 1000},
        "frames to analyse per second; by default all",
    ),
    Query(
        "realtime",
        {"type": "boolean"},
        "true (the default): frames come when they are due; false: every frame, as fast as possible",
    ),
    Query("drop", {"enum": ["oldest", "newest", "none"]}, "which frame to drop when too many wait; by default the oldest"),
    Query("max_waiting_frames", {"type": "integer", "minimum": 1}, "how many frames may wait, at most 32; by default 4"),
    Query(
        "confidence",
        {"type": "number", "minimum": 0, "maximum": 1},
        "drop annotations below it; by default the model's own threshold",
    ),
    Query("loop", {"type": "boolean"}, "whether a file begins again at its end"),
    Query("name", {"type": "string", "maxLength": 200}, "name of the stream, for people"),
)
SCHEMAS: dict[str, Any] = {
    "Annotation": take_properties(
        "category",
        "confidence",
        category=TEXT,
        confidence={"type": "number", "minimum": 0, "maximum": 1},
        box_xyxy={"type": "array", "items": NUMBER, "minItems": 4, "maxItems": 4, "description": "pixels: x, y, x, y"},
        mask=take_properties("height", "width", "counts", height=WHOLE, width=WHOLE, counts=TEXT),
        polygons={"type": "array", "items": {"type": "array", "items": NUMBER}},
        mask_png={"type": "string", "contentEncoding": "base64", "contentMediaType": "image/png"},
        origin={"const": "model"},
        attributes={"type": "object", "additionalProperties": TEXT, "description": "what later steps of a pipeline found"},
    ),
    "Prediction": take_properties(
        "deployment",
        "version",
        "timing_ms",
        deployment=TEXT,
        version=WHOLE,
        model_id=TEXT,
        image=take_properties("width", "height", width=WHOLE, height=WHOLE),
        annotations={"type": "array", "items": refer("Annotation")},
        pictures={"type": "array", "items": {"type": "object"}, "description": "in place of image and annotations: of a list"},
        timing_ms=take_properties("decode", "infer", decode=NUMBER, infer=NUMBER),
    ),
    "PictureJson": {
        "type": "object",
        "description": "exactly one of the three",
        "properties": {
            "image": {"type": "string", "contentEncoding": "base64"},
            "images": {"type": "array", "items": {"type": "string", "contentEncoding": "base64"}, "maxItems": 64},
            "imageUrl": {"type": "string", "format": "uri", "description": "only where the server allows it"},
        },
    },
    "Problem": take_properties("type", "title", "status", "detail", type=TEXT, title=TEXT, status=WHOLE, detail=TEXT),
    "V2Error": take_properties("error", error=TEXT),
    "Tensor": take_properties(
        "name",
        "shape",
        "datatype",
        name=TEXT,
        shape={"type": "array", "items": WHOLE},
        datatype=TEXT,
        parameters={"type": "object"},
        data={"description": "values in row order; left out of binary tensors"},
    ),
    "InferRequest": take_properties(
        "inputs",
        id=TEXT,
        parameters={"type": "object"},
        inputs={"type": "array", "items": refer("Tensor")},
        outputs={"type": "array", "items": take_properties("name", name=TEXT, parameters={"type": "object"})},
    ),
    "InferAnswer": take_properties(
        "model_name",
        "outputs",
        model_name=TEXT,
        model_version=TEXT,
        id=TEXT,
        outputs={"type": "array", "items": refer("Tensor")},
    ),
    "StreamRequest": {
        **take_properties(
            "model",
            "source",
            source={**take_properties(file=NAME, url=NAME), "minProperties": 1, "maxProperties": 1},
            **{query.name: query.schema for query in STREAM_QUERY},
        ),
        "additionalProperties": False,
    },
}  # fmt: skip

DRAWN = {"type": "string", "format": "binary", "description": "as ?format= asks"}
PREDICT_QUERY = (
    Query(
        "confidence",
        {"type": "number", "minimum": 0, "maximum": 1},
        "drop annotations below it; by default the model's own threshold",
    ),
    Query(
        "format",
        {"enum": list(get_args(AnswerFormat))},
        "answer with annotations, the drawn picture, or a gray PNG of categories",
    ),
    Query("mask", {"enum": list(get_args(MaskForm))}, "how masks are written in JSON"),
    Query("version", TEXT, "number of the model's version; by default the version policy chooses"),
)
VIDEO = {"type": "string", "format": "binary", "description": "MP4, Matroska, WebM, AVI, MOV and others"}
BINARY = {"type": "string", "format": "binary", "description": "JSON, then tensors; see Inference-Header-Content-Length"}
INFER_BODY = {JSON: refer("InferRequest"), "application/octet-stream": BINARY}
INFER_ANSWER = {JSON: refer("InferAnswer"), "application/octet-stream": BINARY}
PAGE = {"text/html": TEXT}
V2 = "Open Inference Protocol V2"
REPOSITORY = "Model repository"
STREAMS = "Streams"
SERVER = "Server"


def _list_model_operations(model: str) -> list[Operation]:
    return [
        Operation(
            method="POST",
            path=f"{model}/infer",
            text="Infer on tensors or encoded pictures",
            group=V2,
            body=INFER_BODY,
            answer=INFER_ANSWER,
            refusals=(404, 415),
        ),
        Operation(method="GET", path=model, text="Input and output tensors of a model", group=V2, refusals=(404,)),
        Operation(
            method="GET",
            path=f"{model}/ready",
            text="Whether a model answers",
            group=V2,
            answer={JSON: take_properties("name", "ready", name=TEXT, ready=TRUE)},
            refusals=(404,),
        ),
        Operation(
            method="GET",
            path=f"{model}/config",
            text="Configuration of a model, with all defaults filled in",
            group=V2,
            refusals=(404,),
        ),
        Operation(method="GET", path=f"{model}/stats", text="Counts and times of a model", group=V2, refusals=(404,)),
    ]


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="POST",
        path="/predict/{name}",
        text="Send pictures, get annotations or a drawn picture",
        group="Predict",
        query=PREDICT_QUERY,
        body={
            "image/*": PICTURE,
            "application/octet-stream": PICTURE,
            "multipart/form-data": {"type": "object", "additionalProperties": PICTURE},
            JSON: refer("PictureJson"),
        },
        answer={
            JSON: refer("Prediction"),
            "image/png": DRAWN,
            "image/jpeg": DRAWN,
        },
        refusals=(404, 415, 422),
    ),
    Operation(method="GET", path="/deployments", text="All deployments and their states", group="Predict"),
    Operation(method="GET", path="/deployments/{name}", text="State of one deployment", group="Predict", refusals=(404,)),
    Operation(
        method="POST",
        path="/deployments/{name}/reload",
        text="Look for a new version now, and retry one that failed",
        group="Predict",
        right="admin",
        refusals=(404, 409),
    ),
    Operation(method="GET", path="/v2", text="Name, version and extensions of the server", group=V2),
    Operation(
        method="GET",
        path="/v2/health/live",
        text="Whether the server is running",
        group=V2,
        right="none",
        answer={JSON: take_properties("live", live=TRUE)},
    ),
    Operation(
        method="GET",
        path="/v2/health/ready",
        text="Whether every model to be loaded at the start has had a version that answers",
        group=V2,
        right="none",
        answer={JSON: take_properties("ready", ready=TRUE)},
    ),
    *_list_model_operations("/v2/models/{name}"),
    *_list_model_operations("/v2/models/{name}/versions/{version}"),
    Operation(method="GET", path="/v2/models/stats", text="Counts and times of all models", group=V2),
    Operation(
        method="POST",
        path="/v2/repository/index",
        text="Every version in the repository and its state",
        group=REPOSITORY,
        body={JSON: take_properties(ready={"type": "boolean"})},
        needs_body=False,
        answer={JSON: {"type": "array", "items": {"type": "object"}}},
    ),
    Operation(
        method="POST",
        path="/v2/repository/models/{name}/load",
        text="Load a model, or load it again with another configuration",
        group=REPOSITORY,
        right="admin",
        body={JSON: take_properties(parameters={"type": "object"})},
        needs_body=False,
        answer={},
        refusals=(404,),
    ),
    Operation(
        method="POST",
        path="/v2/repository/models/{name}/unload",
        text="Unload all versions of a model",
        group=REPOSITORY,
        right="admin",
        body={JSON: take_properties(parameters={"type": "object"})},
        needs_body=False,
        answer={},
        refusals=(404,),
    ),
    Operation(
        method="POST",
        path="/v2/streams",
        text="Run a model over a video that you upload or that the server can open",
        group=STREAMS,
        query=STREAM_QUERY,
        body={
            JSON: refer("StreamRequest"),
            "video/*": VIDEO,
            "application/octet-stream": VIDEO,
            "multipart/form-data": {"type": "object", "additionalProperties": VIDEO, "maxProperties": 1},
        },
        status=201,
        refusals=(404, 415, 422),
    ),
    Operation(method="GET", path="/v2/streams", text="The caller's streams", group=STREAMS),
    Operation(method="GET", path="/v2/streams/{id}", text="State and statistics of a stream", group=STREAMS, refusals=(404,)),
    Operation(
        method="DELETE", path="/v2/streams/{id}", text="End a stream", group=STREAMS, status=204, answer={}, refusals=(404,)
    ),
    Operation(
        method="GET",
        path="/v2/streams/{id}/events",
        text="Results of a stream as server-sent events",
        group=STREAMS,
        query=(Query("after", WHOLE, "number of the last event you have"),),
        answer={"text/event-stream": TEXT},
        empty=(204,),
        refusals=(404, 422),
    ),
    Operation(
        method="GET",
        path="/v2/streams/{id}/ws",
        text="Results of a stream over a WebSocket",
        group=STREAMS,
        query=(
            Query("after", WHOLE, "number of the last event you have"),
            Query("window", WHOLE, "most messages that are not acknowledged yet"),
        ),
        status=101,
        answer={},
        refusals=(404, 422),
    ),
    Operation(
        method="GET",
        path="/metrics",
        text="Counts and times in Prometheus' text format; by default, callers on the same machine need no key",
        group=SERVER,
        answer={"text/plain": TEXT},
    ),
    Operation(method="GET", path="/health", text="Answers 200 as long as the process answers", group=SERVER, right="none"),
    Operation(method="GET", path="/openapi.json", text="This interface as an OpenAPI document", group=SERVER, right="none"),
    Operation(method="GET", path="/docs", text="This interface as a page", group=SERVER, right="none", answer=PAGE),
    Operation(method="GET", path="/docs.css", text="Style of that page", group=SERVER, right="none", answer={"text/css": TEXT}),
    Operation(method="GET", path="/", text="A page on which to try pictures", group=SERVER, right="none", answer=PAGE),
    Operation(
        method="GET", path="/page.js", text="Script of that page", group=SERVER, right="none", answer={"text/javascript": TEXT}
    ),
    Operation(method="GET", path="/page.css", text="Style of that page", group=SERVER, right="none", answer={"text/css": TEXT}),
)
