from pathlib import Path

import pytest

from sightline.api.multipart import MAX_FIELD_BYTES, FormReceiver
from sightline.core.errors import Conflict, InvalidInput

BOUNDARY = b"xYzZY"


def part(name: str, value: bytes, file_name: str | None = None) -> bytes:
    file = "" if file_name is None else f'; filename="{file_name}"'
    return f'--xYzZY\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + value + b"\r\n"


END = b"--xYzZY--\r\n"


def receive(folder: Path, *parts: bytes, step: int = 1 << 20, on_files=lambda fields: None) -> FormReceiver:
    receiver = FormReceiver(folder, BOUNDARY, on_files)
    body = b"".join(parts)
    try:
        for start in range(0, len(body), step):
            receiver.write(body[start : start + step])
        receiver.finish()
    finally:
        receiver.close()
    return receiver


@pytest.mark.parametrize("step", [1, 2, 7, 1 << 20])
def test_fields_and_files_arrive_whole_however_they_are_cut(tmp_path: Path, step: int) -> None:
    content = b"\r\n--xYzZ\r\n\0\xff" * 3
    form = receive(
        tmp_path, part("name", "größe".encode()), part("files", content, "a.jpg"), part("files", b"", "ä/b.jpg"), END, step=step
    )
    assert form.fields == {"name": "größe"}
    assert form.paths == [tmp_path / "a.jpg", tmp_path / "ä" / "b.jpg"]
    assert [path.read_bytes() for path in form.paths] == [content, b""]


def test_the_fields_are_looked_at_before_a_file_is_made(tmp_path: Path) -> None:
    def refuse(fields: dict[str, str]) -> None:
        raise Conflict(f"{fields['name']} is there")

    with pytest.raises(Conflict, match="parts is there"):
        receive(tmp_path, part("name", b"parts"), part("files", b"x", "a.jpg"), END, on_files=refuse)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name",
    ["../a.jpg", "/a.jpg", "a/../../b.jpg", "..\\\\a.jpg", "C:a.jpg", "", ".", "a.jpg/../../b", "x" * 2000, "a\0.jpg"],
)
def test_no_name_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "upload"
    folder.mkdir()
    with pytest.raises(InvalidInput):
        receive(folder, part("files", b"x", name), END)
    assert list(tmp_path.rglob("*")) == [folder]


@pytest.mark.parametrize("names", [("a.jpg", "a.jpg"), ("a", "a/b.jpg"), ("a/b.jpg", "a"), ("a.jpg", "./a.jpg")])
def test_files_that_would_take_each_others_place_are_refused(tmp_path: Path, names: tuple[str, str]) -> None:
    with pytest.raises(InvalidInput, match="name of its own"):
        receive(tmp_path, *(part("files", b"x", name) for name in names), END)


def test_what_is_no_whole_form_is_refused(tmp_path: Path) -> None:
    for body in (b"no form at all", part("name", b"parts"), part("files", b"x", "a.jpg")[:-4], b""):
        with pytest.raises(InvalidInput, match="form"):
            receive(tmp_path, body)
        for left in tmp_path.iterdir():
            left.unlink()


def test_a_boundary_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="form"):
        FormReceiver(tmp_path, b"b" * 500, lambda fields: None)


def test_a_field_is_kept_in_memory_and_so_is_short(tmp_path: Path) -> None:
    assert len(receive(tmp_path, part("name", b"x" * MAX_FIELD_BYTES), END).fields["name"]) == MAX_FIELD_BYTES
    with pytest.raises(InvalidInput, match="shorter"):
        receive(tmp_path, part("name", b"x" * (MAX_FIELD_BYTES + 1)), END)
    with pytest.raises(InvalidInput, match="in all fields"):
        receive(tmp_path, part("name", b"x" * MAX_FIELD_BYTES), part("split", b"x"), END)
    with pytest.raises(InvalidInput, match="at most 100 fields"):
        receive(tmp_path, *(part(str(number), b"") for number in range(101)), END)
    with pytest.raises(InvalidInput, match="'files'"):
        receive(tmp_path, part("pictures", b"x", "a.jpg"), END)
    with pytest.raises(InvalidInput):
        receive(tmp_path, part("name", b"\xff\xfe"), END)


def test_a_part_that_shall_be_text_is_a_field_though_it_has_a_file_name(tmp_path: Path) -> None:
    receiver = FormReceiver(tmp_path, BOUNDARY, lambda fields: None, texts=("labels",))
    receiver.write(part("labels", b"[]", "labels") + part("files", b"x", "a.jpg") + END)
    receiver.finish()
    assert (receiver.fields, receiver.paths) == ({"labels": "[]"}, [tmp_path / "a.jpg"])
