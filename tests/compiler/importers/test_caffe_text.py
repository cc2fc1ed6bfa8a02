import pytest

from sightline.compiler.importers.caffe.text import Fields, read_text, write_text
from sightline.core.errors import InvalidInput

TEXT = b"""
# a comment { with marks
name: "a \\"quoted\\" # name"  # trailing
layer { type: 'Input' top: "one" "two" }
layer: < type: "ReLU" param { lr_mult: 1 }, param { lr_mult: 2.5e-1f } >
dims: [1, -2, 0x10]; dims: 7
flag: true number: -1.5 phase: TEST
empty: []
"""


def test_values_are_read_by_name_in_their_order():
    fields = read_text(TEXT)
    assert fields.text("name") == 'a "quoted" # name'
    assert [layer.text("type") for layer in fields.children("layer")] == ["Input", "ReLU"]
    assert fields.children("layer")[0].text("top") == "onetwo"
    assert [param.number("lr_mult") for param in fields.children("layer")[1].children("param")] == [1, 0.25]
    assert fields.integers("dims") == [1, -2, 16, 7]
    assert (fields.flag("flag"), fields.number("number"), fields.text("phase")) == (True, -1.5, "TEST")
    assert fields.integers("empty") == []


def test_absent_fields_have_defaults():
    fields = Fields()
    assert (fields.integer("x", 3), fields.number("x", 0.5), fields.flag("x", True), fields.text("x")) == (3, 0.5, True, "")
    assert fields.child("x").child("y").integers("z") == []
    assert "x" not in fields


def test_the_last_of_repeated_single_values_counts():
    fields = read_text(b"pad: 1 pad: 2 p { a: 1 } p { a: 2 }")
    assert (fields.integer("pad"), fields.child("p").integer("a")) == (2, 2)


def test_written_text_reads_the_same():
    fields = read_text(TEXT)
    again = read_text(write_text(fields).encode())
    assert write_text(again) == write_text(fields)
    assert again.text("name") == fields.text("name")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"layer {\n name: 'a'\n", "line 3: expected a field name or }, got 'the end"),
        (b"layer {\n name 'a' }", "line 2: expected a colon"),
        (b"}", "line 1: expected a field name"),
        (b"a: }", "expected a value"),
        (b"a: [1 2]", "expected , or ]"),
        (b"a { b: 1 >", "expected a field name or }"),
        (b"\n\na: \x01", "line 3: expected prototxt"),
        (b'a: "open', "line 1: expected prototxt"),
        (b"a: \xff\xfe", "UTF-8"),
        (b"a {" * 1000 + b"}" * 1000, "nested deeper than 32"),
        (b"a: [" * 1000, "expected , or ]"),
    ],
)
def test_errors_name_the_line(text, message):
    with pytest.raises(InvalidInput, match=message) as caught:
        read_text(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (b"x: 1.5", lambda fields: fields.integer("x")),
        (b"x: 99999999999", lambda fields: fields.integer("x")),
        (b"x: 1" + b"0" * 9999, lambda fields: fields.integer("x")),
        (b"x: word", lambda fields: fields.number("x")),
        (b"x: nan", lambda fields: fields.number("x")),
        (b"x: 1e300", lambda fields: fields.number("x")),
        (b"x: 2", lambda fields: fields.flag("x")),
        (b"x: 2", lambda fields: fields.child("x")),
        (b"x { y: 2 }", lambda fields: fields.text("x")),
    ],
)
def test_a_value_of_the_wrong_kind_is_named_with_its_line(text, read):
    with pytest.raises(InvalidInput, match=r"line 1: expected .*x"):
        read(read_text(text))


def test_a_huge_file_is_refused_before_it_is_read():
    with pytest.raises(InvalidInput, match="is it the weights file"):
        read_text(b" " * (4 * 2**20 + 1))
