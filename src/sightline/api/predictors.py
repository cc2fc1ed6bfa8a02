"""`/v1/predictors`, and what one of them finds in a picture."""

from functools import partial
from typing import Any

import anyio.to_thread
from fastapi import APIRouter

from sightline.api import schemas
from sightline.api.items import PositionOf
from sightline.api.parts import DatasetOf, PartsOf
from sightline.api.predicting import PredictorShelf, Proposals
from sightline.data.items import Item
from sightline.store.datasets import Dataset

router = APIRouter(tags=["Predictors"])


@router.get("/v1/predictors", response_model=schemas.Predictors)
def list_predictors(parts: PartsOf) -> Any:
    """Every Deployment, Artifact and Model of the workspace that gives annotations."""
    return {"predictors": list(parts.predictors.list())}


@router.post(
    "/v1/datasets/{name}/items/{position}/predictions",
    response_model=schemas.Proposals,
    response_model_exclude_defaults=True,
)
async def predict_item(dataset: DatasetOf, parts: PartsOf, position: PositionOf, prediction: schemas.Prediction) -> Any:
    """Let a predictor look at a picture. What it finds is not stored, and what people labelled already is left out."""
    work = partial(propose, parts.predictors, dataset, position, prediction)
    return await anyio.to_thread.run_sync(work, limiter=parts.predicting)


def propose(predictors: PredictorShelf, dataset: Dataset, position: int, prediction: schemas.Prediction) -> Proposals:
    """What a predictor finds in a picture as it is now."""
    labelled = dataset.read_item(position)
    item = Item(
        blob=labelled.blob,
        file_name=labelled.file_name,
        width=labelled.width,
        height=labelled.height,
        annotations=tuple(label.annotation for label in labelled.labels),
    )
    names = {category.name for category in dataset.categories}
    content = dataset.read_picture(position)
    return predictors.propose(prediction.subject, item, content, names, prediction.confidence_threshold)
