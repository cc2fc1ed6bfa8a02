import msgspec
import pytest

from sightline.serving.http.short_arrays import make_short_array

READ = msgspec.json.Decoder(make_short_array(bytes, 3)).decode


@pytest.mark.parametrize(
    ("text", "expected"), [("[]", []), ('["AA=="]', [b"\0"]), ('["AA==", "", "AQ=="]', [b"\0", b"", b"\1"])]
)
def test_arrays_up_to_the_limit_are_read(text: str, expected: list[bytes]) -> None:
    assert list(READ(text)) == expected


def test_reading_stops_at_the_first_element_too_many() -> None:
    with pytest.raises(msgspec.ValidationError, match="at most length 3"):
        READ('["", "", "", "", no JSON any more')  # which it never sees
    with pytest.raises(msgspec.ValidationError, match="array"):
        READ("{}")
