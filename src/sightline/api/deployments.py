"""`/v1/deployments/{name}/predict`: what a Deployment finds in a picture that somebody tries it with.

It runs here, in the one predictor that is kept open; programs that ask often are served by `sightline serve`.
"""

from functools import partial
from typing import Annotated, Any, Literal

import anyio.to_thread
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from sightline.api import job_schemas as schemas
from sightline.api.parts import Parts, PartsOf
from sightline.imaging.drawing import draw_annotations
from sightline.imaging.files.reading import decode_image, encode_image
from sightline.serving.deployments import find_deployment

PICTURE_BODY = {
    "requestBody": {"required": True, "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}}},
}
ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "model": schemas.Prediction,
        "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}},
        "description": "Annotations, or the picture with them drawn",
    }
}

router = APIRouter(prefix="/v1/deployments", tags=["Models"])


@router.post("/{name}/predict", response_class=Response, responses=ANSWERS, openapi_extra=PICTURE_BODY)
async def predict_picture(
    name: str,
    parts: PartsOf,
    request: Request,
    confidence: Annotated[
        float | None, Query(ge=0, le=1, description="Drop annotations below it; by default the model's own threshold.")
    ] = None,
    form: Annotated[
        Literal["json", "png"], Query(alias="format", description="Annotations, or the picture with them drawn.")
    ] = "json",
) -> Response:
    """Send a picture, get annotations or a drawn picture."""
    content = await request.body()
    work = partial(predict, parts, name, content, confidence, form)
    return await anyio.to_thread.run_sync(work, limiter=parts.predicting)


def predict(parts: Parts, name: str, content: bytes, confidence: float | None, form: str) -> Response:
    """Decode, predict, and write the answer. Raises: NotFound, UnreadableImage."""
    find_deployment(parts.workspace.deployments, name)
    image = decode_image(content)
    found, categories = parts.predictors.predict(name, image, confidence)
    if form == "png":
        drawn = draw_annotations(image, found, categories)
        return Response(encode_image(drawn, "png"), media_type="image/png")
    height, width = image.shape[:2]
    answer = schemas.Prediction.model_validate(
        {"deployment": name, "width": width, "height": height, "annotations": found}, from_attributes=True
    )
    return Response(answer.model_dump_json(exclude_defaults=True), media_type="application/json")
