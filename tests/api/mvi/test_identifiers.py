import hashlib
from uuid import UUID

from sightline.api.mvi.identifiers import NAMESPACE, find_half, make_id, make_label_id


def test_an_id_is_a_uuid_that_never_changes() -> None:
    digest = bytearray(hashlib.sha1(NAMESPACE.bytes + b"datasets/parts").digest()[:16])  # RFC 9562, section 5.5
    digest[6], digest[8] = digest[6] & 0x0F | 0x50, digest[8] & 0x3F | 0x80
    assert make_id("datasets", "parts") == str(UUID(bytes=bytes(digest)))
    assert len({make_id("datasets", "parts"), make_id("tags", "parts"), make_id("datasets", "parts", "1")}) == 3


def test_a_label_begins_as_its_picture_does() -> None:
    file, other = make_id("files", "parts", "0.png"), make_id("files", "parts", "1.png")
    label = make_label_id(file, "0")
    assert find_half(label) == find_half(file) != find_half(other)
    assert str(UUID(label)) == label and len({label, make_label_id(file, "1"), make_label_id(other, "0")}) == 3
