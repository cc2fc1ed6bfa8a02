"""The parts of one running platform, as handlers ask for them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import anyio
import msgspec
from fastapi import Depends, Path, Request

from sightline.api.accounts import Accounts
from sightline.api.cutting import WindowShelf
from sightline.api.predicting import PredictorShelf
from sightline.core.errors import Conflict, NotFound
from sightline.core.workspace import NAME_PATTERN, Workspace
from sightline.jobs.runner import JobRunner
from sightline.store.datasets import Dataset, DatasetStore


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What one platform is made of.

    Attributes:
        jobs: the runner, `JobRunner(workspace, JobStore(database), store)`; whoever makes the parts starts and closes it.
        accounts: the users.
        decoders: how many pictures may be decoded at once.
        predicting: lets one prediction run at a time.
        cutting: lets one mask be cut out at a time.
        revising: how many changes of pictures may wait for a freeze at once, apart from the threads that answer all else.
        windows: what it is cut from.
    """

    workspace: Workspace
    store: DatasetStore
    predictors: PredictorShelf
    jobs: JobRunner
    accounts: Accounts
    decoders: anyio.CapacityLimiter
    predicting: anyio.CapacityLimiter
    cutting: anyio.CapacityLimiter
    revising: anyio.CapacityLimiter
    windows: WindowShelf = msgspec.field(default_factory=WindowShelf)
    _claimed: set[str] = msgspec.field(default_factory=set)

    @contextmanager
    def claim(self, name: str) -> Iterator[None]:
        """Keep a name for a dataset that is being made. Raises: Conflict while another upload has it."""
        if name in self._claimed:
            raise Conflict(f"another upload is making the dataset {name!r} now; wait for it or choose another name")
        self._claimed.add(name)
        try:
            yield
        finally:
            self._claimed.remove(name)


def find_parts(request: Request) -> Parts:
    """The parts of the application that was asked."""
    parts: Parts = request.app.state.parts
    return parts


PartsOf = Annotated[Parts, Depends(find_parts)]


def open_dataset(name: Annotated[str, Path(description="Name of the dataset.")], parts: PartsOf) -> Dataset:
    """The dataset that a path names. Raises: NotFound, also for what is no name."""
    if not NAME_PATTERN.fullmatch(name):
        raise NotFound(f"no dataset {name[:100]!r}; GET /v1/datasets lists them")
    return parts.store.open(name)


DatasetOf = Annotated[Dataset, Depends(open_dataset)]
