"""What autograd holds between forward and backward instead of a tensor."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

Place = Literal["memory", "writing", "file", "reading"]


class SavedStorage:
    """The bytes behind one tensor or several that are views of each other. It lives as long as autograd needs one of them.

    Attributes:
        number: storages are numbered in the order in which forward saved them; backward needs them in reverse.
        nbytes: size.
        place: where the bytes are: memory, memory and on their way to the file, file, file and on their way to memory.
        tensor: over the bytes while they are in memory, else empty. Always it shares the version counter of the tensor that was
            saved, and holds nothing of autograd's graph.
        version: of that counter when it was saved.
    """

    __slots__ = ("__weakref__", "nbytes", "number", "place", "tensor", "version")

    def __init__(self, number: int, tensor: Tensor) -> None:
        self.number = number
        self.nbytes = tensor.untyped_storage().nbytes()
        self.place: Place = "memory"
        self.tensor = tensor.detach()  # keeping the tensor itself would be a cycle through autograd's graph
        self.version = tensor._version

    def drop_bytes(self) -> None:
        """The bytes are in the file alone."""
        self.tensor.data = torch.empty(0)  # another's bytes, the same counter

    def put_back(self, tensor: Tensor) -> None:
        """The bytes are in memory again, behind a tensor that nobody else has."""
        self.tensor.data = tensor

    def is_changed(self) -> bool:
        """Whether the tensor was changed in place since it was saved, wherever its bytes are."""
        return self.tensor._version != self.version


class StayingTensor(NamedTuple):
    """A saved tensor that stays in memory, and its version then: of what hooks give back, autograd does not look at it."""

    tensor: Tensor
    version: int


class SavedView(NamedTuple):
    """One saved tensor: its storage, and which part of that it shows, as `torch.Tensor.set_` takes it."""

    storage: SavedStorage
    dtype: torch.dtype
    offset: int
    shape: torch.Size
    stride: tuple[int, ...]

    def rebuild(self) -> Tensor:
        """The tensor, over the storage that is in memory; it shares the version counter too."""
        tensor = self.storage.tensor.detach()
        empty = torch.empty(0, dtype=self.dtype)
        tensor.data = empty.set_(self.storage.tensor.untyped_storage(), self.offset, self.shape, self.stride)
        return tensor


def make_view(storage: SavedStorage, tensor: Tensor) -> SavedView:
    """How a tensor looks at its storage."""
    return SavedView(storage, tensor.dtype, int(tensor.storage_offset()), tensor.shape, tensor.stride())


def view_bytes(tensor: Tensor) -> "memoryview[int]":
    """All bytes of the storage behind a tensor, shared with it."""
    storage = tensor.untyped_storage()
    flat = torch.empty(0, dtype=torch.uint8).set_(storage, 0, (storage.nbytes(),), (1,))
    return memoryview(flat.numpy())  # type: ignore[arg-type] # NumPy's stubs do not say that arrays are buffers
