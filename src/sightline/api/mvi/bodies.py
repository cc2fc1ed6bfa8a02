"""What clients send as JSON. Words that are not known here are passed over, as the original does: its clients send some."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from sightline.data.cleaning import LONGEST_KEY

Key = Annotated[str, Field(min_length=1, max_length=LONGEST_KEY)]
UserMetadata = dict[Key, str | bool | int | float]


class Body(BaseModel):
    """A record that a client sends."""


class Named(Body):
    """Something new, or its new name."""

    name: Annotated[str, Field(min_length=1)]


class NewKey(Body):
    """A key of pictures' metadata."""

    name: Key


class KeyChange(Body):
    """A new name of a key."""

    name: Key | None = None


class DatasetUpdate(Body):
    """What may be changed of a dataset. `project_group_id`: only the empty one, which is none."""

    project_group_id: str | None = None
    name: str | None = None


class Action(Body):
    """An action and what it is done with."""

    action: str
    name: str | None = None
    id_list: list[str] = []
    model_list: list[str] = []
    target_category_id: str | None = None


class Transfer(Body):
    """Files that go to another dataset."""

    target_dataset_id: str
    files: list[str]


class Box(Body):
    """A box: pixels of the upright picture."""

    xmin: float
    ymin: float
    xmax: float
    ymax: float


Point = tuple[float, float]
GenerateType = Literal["manual", "auto"]


class LabelChange(Body):
    """What is new of an object label; what is left out stays."""

    tag_id: str | None = None
    name: str | None = None
    bnd_box: Box | None = None
    bndbox: Box | None = None
    segment_polygons: list[list[Point]] | None = None
    generate_type: GenerateType | None = None
    confidence: Annotated[float | None, Field(ge=0, le=1)] = None

    @property
    def box(self) -> Box | None:
        """The box, under either of its names."""
        return self.bnd_box or self.bndbox


class Training(Body):
    """A training that is asked for."""

    name: str
    dataset_id: str
    usage: str
    nn_arch: str | None = None
    pretrained_model: str | None = None
    userdnn_id: str | None = None
    strategy: dict[str, Any] | None = None


class Publishing(Body):
    """A model that shall be deployed."""

    trained_model_id: str
    name: str
    accel_type: str | None = None
    userdnn_id: str | None = None
    dnnscript_id: str | None = None
    save_inference: str | None = None


class ModelUpdate(Body):
    """What may be changed of a model."""

    project_group_id: str | None = None
    pg_id: str | None = None
    production_status: str | None = None
