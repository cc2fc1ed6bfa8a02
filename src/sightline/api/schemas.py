"""What stands on the wire of `/v1`: requests are checked against these records, answers are made from the store's by them.

The web app's types are generated from them (web/src/api/schema.ts), so a word that changes here changes there. Only this module
knows pydantic. An answer is made from any object that has the same attributes.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from sightline.core.categories import Categories as CategoryNames
from sightline.data.cleaning import LONGEST_KEY, LONGEST_VALUE
from sightline.data.editing import LABEL_ID, MAX_OPERATIONS
from sightline.store.categories import MAX_NAME_LENGTH
from sightline.store.datasets import EDIT_ID


def match_whole(pattern: re.Pattern[str]) -> str:
    """What pydantic and the schema call a pattern that the whole text must match."""
    return f"^{pattern.pattern}$"


ItemState = Literal["labelled", "proposed", "unlabelled"]
Viewer = Literal["human", "model", "nobody"]
MOST = 2**31 - 1  # of what is counted: more fits neither in a place nor in the database
Number = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=MOST)]
# A client makes up these names at random: long enough never to meet again.
RandomName = Annotated[str, StringConstraints(pattern=match_whole(EDIT_ID))]
LabelId = Annotated[str, StringConstraints(pattern=match_whole(LABEL_ID))]
CategoryName = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME_LENGTH)]
BlobName = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


def write_colour(index: int) -> str:
    """The colour in which pictures are drawn for a category, as "#rrggbb"."""
    return "#{:02x}{:02x}{:02x}".format(*CategoryNames(()).colour(index))


class Answer(BaseModel):
    """A record that is made from an object's attributes."""

    model_config = ConfigDict(from_attributes=True)


class Request(BaseModel):
    """A record that a client sends; words it does not have are refused rather than ignored."""

    model_config = ConfigDict(extra="forbid")


class Mask(BaseModel):
    """A binary mask of the picture's size: COCO's compressed run-length encoding, down the columns."""

    model_config = ConfigDict(from_attributes=True, extra="forbid")
    height: int
    width: int
    counts: str


class Annotation(BaseModel):
    """One labelled thing, in pixels of the upright picture; without box, polygons and mask the label of the whole picture."""

    model_config = ConfigDict(from_attributes=True, extra="forbid")
    category: str
    box_xyxy: tuple[Number, Number, Number, Number] | None = None
    polygons: list[list[Number]] | None = None
    mask: Mask | None = None
    confidence: Annotated[float, Field(ge=0, le=1)] | None = None
    origin: Literal["human", "model"] = "human"
    is_crowd: bool = False
    attributes: dict[str, str] = {}


class Label(Answer):
    """An annotation and the name by which operations speak of it; it stays the same as long as the annotation lives."""

    id: str
    annotation: Annotation


class Put(Request):
    """Adds an annotation, or replaces the one of this id. `place`: its index in the list; null: where it was, or last."""

    kind: Literal["put"]
    id: LabelId
    annotation: Annotation
    place: Count | None = None


class Remove(Request):
    """Takes an annotation away."""

    kind: Literal["remove"]
    id: LabelId


class Review(Request):
    """Says who looked at the picture; null where its annotations alone shall tell."""

    kind: Literal["review"]
    seen_by: Viewer | None


class SetAttribute(Request):
    """Gives an attribute of the picture a value; null takes it away. Who looked at the picture stays as it was."""

    kind: Literal["set"]
    key: Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_KEY)]
    value: Annotated[str, StringConstraints(max_length=LONGEST_VALUE)] | None


Operation = Annotated[Put | Remove | Review | SetAttribute, Field(discriminator="kind")]


class Edit(Request):
    """What somebody did to the labels and attributes of a picture, as it was at `revision`.

    Sent twice under one `edit_id`, it counts once. `blob`: of the picture that was shown; if another has its place by now, the
    edit is refused.
    """

    edit_id: RandomName
    blob: BlobName | None = None
    revision: Count
    operations: Annotated[list[Operation], Field(min_length=1, max_length=MAX_OPERATIONS)]


class Restoring(Request):
    """Brings back the labels and attributes that a picture had at `revision`, as one more edit. `blob`: as of an edit."""

    edit_id: RandomName
    blob: BlobName | None = None
    revision: Count


class Category(Answer):
    """A category; its `id` stays when it is renamed. `colour`: "#rrggbb", as pictures are drawn with."""

    id: int
    name: str
    colour: str


def add_colours(categories: Any) -> Any:
    """Categories with the colours that their places give them; the store knows none."""
    return [
        {"id": category.id, "name": category.name, "colour": write_colour(place)} for place, category in enumerate(categories)
    ]


CategoryList = Annotated[list[Category], BeforeValidator(add_colours)]


class Categories(Answer):
    """The categories of a dataset, in order."""

    categories: CategoryList


class CategoryNaming(Request):
    """The name of a new category, or the new name of one that there is."""

    name: CategoryName


class Picture(Request):
    """A picture by its place; `blob`, of its file, tells whether it is still the one that was shown there."""

    position: Count
    blob: BlobName


class Chosen(Request):
    """Some pictures of a dataset."""

    pictures: Annotated[list[Picture], Field(min_length=1)]

    def by_position(self) -> dict[int, str]:
        """Blobs by position."""
        return {picture.position: picture.blob for picture in self.pictures}


class Moving(Chosen):
    """Pictures, and the split that they shall be in; null: in none."""

    split: Annotated[str, Field(min_length=1, max_length=100)] | None


class StateCounts(Answer):
    """Pictures that a person looked at, that only a model annotated, and others."""

    labelled: int
    proposed: int
    unlabelled: int


class DatasetSummary(Answer):
    """A dataset as it is now: a frozen version, `base_id`, and `unfrozen_edits` made on it since.

    `newer_version`: id of a version of the same name that was made elsewhere meanwhile; the edits here keep to their own.
    """

    name: str
    base_id: str
    item_count: int
    states: StateCounts
    splits: dict[str, int]
    annotation_counts: dict[str, int]
    categories: CategoryList
    unfrozen_edits: int
    newer_version: str | None


class Datasets(Answer):
    """Every dataset of the workspace, by name; `broken`: names of those that cannot be opened, and why."""

    datasets: list[DatasetSummary]
    broken: dict[str, str]


class Item(Answer):
    """A picture of a dataset. `blob`: SHA-256 of its file, which makes the address of its pixels one that never changes.

    `source_video`, `frame_pts`: of a frame, its video and its time stamp in ticks of the video's clock.
    """

    position: int
    file_name: str
    width: int
    height: int
    split: str | None
    state: ItemState
    annotation_count: int
    revision: int
    blob: str
    source_video: str | None = None
    frame_pts: int | None = None


class Items(Answer):
    """A page of pictures; `total` counts all that the filter lets through, and `next_cursor` is null at their end."""

    items: list[Item]
    next_cursor: int | None
    total: int


class LabelledItem(Item):
    """A picture with its labels, later ones above earlier ones; `seen_by`: who looked, where its labels do not tell.

    `attributes`: further facts of the picture, text to text.
    """

    labels: list[Label]
    seen_by: Viewer | None
    attributes: dict[str, str] = {}


class Video(Answer):
    """A video, of which `frame_count` frames are pictures of the dataset."""

    name: str
    frame_count: int


class Videos(Answer):
    """The videos of a dataset, in the order in which they came."""

    videos: list[Video]


class Frames(Answer):
    """Some frames of a video in the order of their times. `place`: of the frame asked for among all `count` that there are."""

    video: str | None
    place: int
    count: int
    items: list[Item]


class FillRequest(Request):
    """An object, by the `track_id` among its labels' attributes, and the positions of two frames in which people labelled it.

    `other`: null: the nearest such frames before and after.
    """

    track_id: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    position: Count
    other: Count | None = None


class Filling(Answer):
    """Positions of the pictures with a new proposal, and of those that somebody edited meanwhile, which stay as they are.

    `first`, `last`: positions of the outer frames in which people labelled the object.

    `kept`: how many between the two stay as they are, with a label by a person or with this very proposal.
    """

    first: int
    last: int
    filled: list[int]
    kept: int
    stale: list[int]


class WrittenEdit(Answer):
    """What became of a picture by an edit: its revision and state, and of its labels those that are not as the edit put them.

    `cleaned`: what reached over the picture's edge was clipped; boxes that outlines were given are not told.
    Where `revision` is not the next one, others wrote since.
    """

    revision: int
    state: ItemState
    annotation_count: int
    seen_by: Viewer | None
    cleaned: list[Label]


class JournalEntry(Answer):
    """One edit of a picture. `made_at`: UTC, ISO 8601."""

    revision: int
    edit_id: str
    author: str
    made_at: str
    summary: str


class History(Answer):
    """The edits of a picture, oldest first."""

    edits: list[JournalEntry]


class Version(Answer):
    """A frozen version of a dataset. `parents`: ids of those it was made from; `made_by`: the verb or format, if known.

    `added`, `removed`, `moved`: pictures that came, went or changed their split against the version that it was made from.
    """

    id: str
    item_count: int
    categories: list[str]
    annotation_counts: dict[str, int]
    splits: dict[str, int]
    made_by: str | None
    parents: list[str]
    added: int
    removed: int
    moved: int


class Versions(Answer):
    """The versions of a dataset, oldest first; `broken`: folders of those that cannot be read, and why."""

    versions: list[Version]
    broken: dict[str, str]


class Finding(Answer):
    """How often one thing happened at an import for one reason, and the first few places."""

    kind: str
    outcome: Literal["changed", "dropped", "warned"]
    reason: str
    count: int
    examples: list[str]


class Report(Answer):
    """What an import kept, changed and dropped, counted by kind, with reasons; `clean`: nothing was changed or dropped."""

    clean: bool
    kept: dict[str, int]
    changed: dict[str, int]
    dropped: dict[str, int]
    findings: list[Finding]


class Upload(Answer):
    """The dataset that an upload became, and the report of its import."""

    dataset: DatasetSummary
    report: Report


class Addition(Upload):
    """The dataset that pictures joined, how many there are of them, and the report of their import."""

    added: int


class Revised(Answer):
    """The dataset after a change of its pictures, and how many were removed, or put into another split."""

    dataset: DatasetSummary
    removed: int
    moved: int


class Dependents(Answer):
    """What was made of something, each as `SHELF/NAME@ID`."""

    dependents: list[str]


class Removal(Answer):
    """Where something lies now, `trash`, and where it was, `place`: folders below the workspace. A move brings it back."""

    trash: str
    place: str


class PredictorFacts(Answer):
    """What can propose labels."""

    name: str
    kind: Literal["deployment", "artifact", "model"]
    task: str
    categories: list[str]


class Predictors(Answer):
    """Everything in the workspace that predicts."""

    predictors: list[PredictorFacts]


class Prediction(Request):
    """Which predictor shall look at a picture. `confidence_threshold`: null takes the predictor's own."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)
    subject: Annotated[str, Field(alias="with", min_length=1, max_length=200)]
    confidence_threshold: Annotated[float, Field(ge=0, le=1)] | None = None


class OutlineStroke(Request):
    """A line drawn over pixels that belong to the thing, or do not. `points`: x0, y0, x1, y1, ... pixels; one is a dab."""

    points: Annotated[list[Number], Field(min_length=2, max_length=4000)]
    radius: Annotated[float, Field(gt=0, le=1000)]
    adds: bool


class Outlining(Request):
    """The box around a thing of the picture `blob`, and strokes, later ones above earlier ones."""

    blob: BlobName
    box_xyxy: tuple[Number, Number, Number, Number]
    strokes: Annotated[list[OutlineStroke], Field(max_length=200)] = []


class Outline(Answer):
    """The pixels of the thing; none may be set."""

    mask: Mask


class Proposals(Answer):
    """What a predictor found, not stored. `unknown_categories`: those that the dataset lacks, with how many were left out."""

    annotations: list[Annotation]
    unknown_categories: dict[str, int]


class Problem(Answer):
    """A refusal (RFC 9457). `detail` says what was expected, what came and what to do."""

    type: str
    title: str
    status: int
    detail: str


class StaleProblem(Problem):
    """The picture was edited meanwhile: `present` is how it is now."""

    present: LabelledItem
