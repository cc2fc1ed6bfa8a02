"""`/v1/datasets/{name}/videos` and `/tracks`: pictures as frames of videos, and objects that are followed through them."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from sightline.api import schemas
from sightline.api.items import PositionOf
from sightline.api.parts import DatasetOf
from sightline.api.people import PersonOf
from sightline.store.filling import fill_track

MOST_AROUND = 50

router = APIRouter(prefix="/v1/datasets/{name}", tags=["Videos"])


@router.get("/videos", response_model=schemas.Videos)
def list_videos(dataset: DatasetOf) -> Any:
    """The videos whose frames are pictures of the dataset."""
    return {"videos": [{"name": video, "frame_count": count} for video, count in dataset.count_frames().items()]}


@router.get("/items/{position}/frames", response_model=schemas.Frames)
def list_frames(
    dataset: DatasetOf,
    position: PositionOf,
    around: Annotated[int, Query(ge=0, le=MOST_AROUND, description="Most frames on either side.")] = 5,
) -> Any:
    """A frame and its neighbours in its video, in the order of their times; nothing for a picture of no video."""
    frames = dataset.find_frames(position)
    if frames is None:
        return {"video": None, "place": 0, "count": 0, "items": []}
    place = frames.positions.tolist().index(position)
    near = frames.positions[max(0, place - around) : place + around + 1].tolist()
    items = [dataset.find_picture(one) for one in near]
    return {"video": frames.video, "place": place, "count": len(frames.positions), "items": items}


@router.post("/tracks/fill", response_model=schemas.Filling)
def fill_frames(dataset: DatasetOf, person: PersonOf, wanted: schemas.FillRequest) -> Any:
    """Propose an object between the frames in which people labelled it: boxes, and polygons of equally many points."""
    return fill_track(dataset, wanted.track_id, wanted.position, wanted.other, person.name)
