"""The streaming JSON reader against `json` itself, with a window so small that everything crosses its edge."""

import json

import pytest

from sightline.core.errors import UnreadableDataset
from sightline.data.formats import json_stream
from sightline.data.formats.json_stream import LIST_START, stream_elements, stream_members

DOCUMENT = {
    "info": {"year": 2026, "nested": [[1, [2]], {"a": None}]},
    "images": [{"id": n, "file_name": f"straße {n} 日本.jpg", "x": [1.5e-3, -0, True]} for n in range(50)],
    "empty": [],
    "numbers": [1, 22, 333, 4444.5, -1e10],
    "last": 123456789,
}


def collect(path):
    document = {}
    for key, value in stream_members(path):
        if value is LIST_START:
            document[key] = []
        elif isinstance(document.get(key), list):
            document[key].append(value)
        else:
            document[key] = value
    return document


@pytest.mark.parametrize("chunk", [1, 2, 7, 100, 1 << 20])
@pytest.mark.parametrize("indent", [None, 3])
def test_members_come_as_json_reads_them(tmp_path, monkeypatch, chunk, indent):
    monkeypatch.setattr(json_stream, "CHUNK_BYTES", chunk)
    path = tmp_path / "x.json"
    path.write_text(json.dumps(DOCUMENT, indent=indent, ensure_ascii=False), encoding="utf-8")
    assert collect(path) == DOCUMENT


@pytest.mark.parametrize("chunk", [1, 2, 7, 100, 1 << 20])
@pytest.mark.parametrize("elements", [[], DOCUMENT["images"], DOCUMENT["numbers"], [[], [1, [2]], None]])
def test_elements_come_as_json_reads_them(tmp_path, monkeypatch, chunk, elements):
    monkeypatch.setattr(json_stream, "CHUNK_BYTES", chunk)
    path = tmp_path / "x.json"
    path.write_text(json.dumps(elements, ensure_ascii=False) + "\n", encoding="utf-8-sig")
    assert list(stream_elements(path)) == elements


@pytest.mark.parametrize("text", ["", "{}", "[", "[1", "[1,", "[1,]", "[1 2]", "[] x", "null", "[" * 100_000])
def test_what_is_no_json_list_is_an_error_in_one_line(tmp_path, text):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(UnreadableDataset, match=r"x\.json") as caught:
        list(stream_elements(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("chunk", range(1, 9))
@pytest.mark.parametrize("number", ["-1e10", "4444.5", "1.25E+3", "7e-1"])
def test_a_number_is_read_whole_wherever_the_window_cuts_it(tmp_path, monkeypatch, chunk, number):
    monkeypatch.setattr(json_stream, "CHUNK_BYTES", chunk)
    path = tmp_path / "x.json"
    path.write_text(f'{{"a": {number}, "b": [{number}]}}')
    assert collect(path) == {"a": float(number), "b": [float(number)]}


def test_an_empty_object_and_a_byte_order_mark_are_fine(tmp_path):
    path = tmp_path / "x.json"
    path.write_bytes(b"\xef\xbb\xbf \n{ }\n ")
    assert collect(path) == {}


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"a"', '{"a": 1', '{"a": [1, 2', '{"a": [1 2]}', '{"a": 1} x', "{1: 2}", '{"a": nope}', '{"a": [{"b": }]}',
     "{" * 5000, '{"a": ' + "[" * 100_000, '{"a": ' + "9" * 5000 + "}", '{"a" 1}', '{"a": 1,}'],
)  # fmt: skip
def test_what_is_no_json_object_is_an_error_in_one_line(tmp_path, text):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(UnreadableDataset) as caught:
        collect(path)
    assert "\n" not in str(caught.value)
    assert "x.json" in str(caught.value)


def test_other_bytes_than_utf8_are_an_error(tmp_path):
    path = tmp_path / "x.json"
    path.write_bytes(b'{"a": "\xff\xfe"}')
    with pytest.raises(UnreadableDataset, match="UTF-8"):
        collect(path)
