"""Identifiers as this interface has them: a UUID for everything, made from what we know it by, so that none is stored.

A thing of the same name has the same id in every answer and after every restart. To find what an id stands for, the ids of all
candidates are made. A label's id begins as its picture's does, so that the picture tells which labels are candidates.
"""

from uuid import UUID, uuid5

NAMESPACE = UUID("5c0d3a8e-41f6-4d0e-9d4b-6f2f6a1f7a55")
HALF = 8  # bytes of a UUID by which a label's names its picture


def make_id(noun: str, *names: str) -> str:
    """The id of a thing. Args: names: what we know it by, from the outside in."""
    return str(uuid5(NAMESPACE, "/".join((noun, *names))))


def make_label_id(file_id: str, label: str) -> str:
    """The id of a label of a picture. Args: label: its id among the picture's labels."""
    whole = UUID(file_id)
    return str(UUID(bytes=whole.bytes[:HALF] + uuid5(whole, label).bytes[HALF:]))


def find_half(label_or_file_id: str) -> str:
    """What a picture's id and its labels' ids have in common."""
    return label_or_file_id[:18]  # 16 hex digits with two dashes
