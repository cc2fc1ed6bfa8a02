"""Damaged .tflite files end in one line, at once; and what a file says beside its network."""

import random
import zipfile
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from import_checks import NETWORKS, need
from tflite_models import TinyFile, schema

from sightline.compiler.importers.importer import ImportedGraph, ImportOptions
from sightline.compiler.importers.tflite.files import read_tflite
from sightline.compiler.importers.tflite.importer import TfliteImporter
from sightline.core.errors import InvalidInput, NotFound, Unsupported

RESNET = NETWORKS / "mlperf-tiny-resnet8-cifar10" / "pretrainedResnet_quant.tflite"


def import_file(path: Path) -> ImportedGraph:
    return TfliteImporter().read(path, ImportOptions())


def make_small() -> tuple[TinyFile, int]:
    file = TinyFile()
    values = np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32)
    inputs = [file.input, file.constant(values), file.constant(np.zeros(4, np.float32))]
    return file, file.add("CONV_2D", inputs, (1, 6, 8, 4), "Conv2DOptions", padding=0, strideW=1, strideH=1)


def test_a_truncated_file_is_refused_wherever_it_ends(tmp_path: Path) -> None:
    content, path = need(RESNET).read_bytes(), tmp_path / "cut.tflite"
    for length in [*range(8, 200, 7), *range(200, len(content) - 1, 1999)]:
        path.write_bytes(content[:length])
        with pytest.raises(InvalidInput) as refusal:
            import_file(path)
        assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("seed", range(4))
def test_flipped_bytes_give_a_network_or_one_line(seed: int, tmp_path: Path) -> None:
    content, path, rng = need(RESNET).read_bytes(), tmp_path / "flipped.tflite", random.Random(seed)
    refusals = 0
    for _ in range(60):
        damaged = bytearray(content)
        for _ in range(3):  # the tables are in the last part of this file
            damaged[-rng.randrange(1, 12_000)] = rng.randrange(256)
        path.write_bytes(damaged)
        try:
            imported = import_file(path)
            imported.source.run(np.zeros((1, 3, 32, 32), np.float32))
        except (InvalidInput, Unsupported) as refusal:
            assert "\n" not in str(refusal)
            refusals += 1
    assert refusals > 10


def test_empty_missing_and_foreign_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.tflite").write_bytes(b"")
    (tmp_path / "short.tflite").write_bytes(b"\x1c\0\0\0TFL3")
    with pytest.raises(InvalidInput, match="without its identifier"):
        import_file(tmp_path / "empty.tflite")
    with pytest.raises(InvalidInput, match="damaged"):
        import_file(tmp_path / "short.tflite")
    with pytest.raises(NotFound):
        import_file(tmp_path / "nowhere.tflite")


def test_an_offset_beyond_the_file_is_refused(tmp_path: Path) -> None:
    content = bytearray(need(RESNET).read_bytes())
    content[0:4] = (2**31 - 1).to_bytes(4, "little")  # where the root table is
    path = tmp_path / "far.tflite"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match="damaged"):
        import_file(path)


def test_a_tensor_larger_than_any_memory_is_refused_before_it_is_made(tmp_path: Path) -> None:
    file, output = make_small()
    file.graph.tensors[output].shape = [1, 2**20, 2**20, 4]
    with pytest.raises(InvalidInput, match="of shape"):
        import_file(file.write(tmp_path / "huge.tflite", output))


def test_a_constant_of_too_few_bytes_is_refused(tmp_path: Path) -> None:
    file, output = make_small()
    file.model.buffers[1].data = file.model.buffers[1].data[:-4]
    with pytest.raises(InvalidInput, match="holds 107 values"):
        import_file(file.write(tmp_path / "few.tflite", output))


def test_a_shape_that_its_operator_does_not_give_is_refused(tmp_path: Path) -> None:
    file, output = make_small()
    file.graph.tensors[output].shape = [1, 6, 7, 4]
    with pytest.raises(InvalidInput, match=r"\(1, 6, 7, 4\).* gives \(1, 6, 8, 4\)"):
        import_file(file.write(tmp_path / "shape.tflite", output))


def test_an_operator_that_reads_what_comes_later_is_refused(tmp_path: Path) -> None:
    file, output = make_small()
    file.graph.operators[0].inputs[0] = output
    with pytest.raises(InvalidInput, match="before it is written"):
        import_file(file.write(tmp_path / "loop.tflite", output))


@pytest.mark.parametrize("fields", [{"strideW": 0}, {"strideH": -1}, {"dilationWFactor": 0}])
def test_strides_below_one_are_refused(fields: dict[str, int], tmp_path: Path) -> None:
    file, output = make_small()
    for name, value in fields.items():
        setattr(file.graph.operators[0].builtinOptions, name, value)
    with pytest.raises(InvalidInput, match="strides"):
        import_file(file.write(tmp_path / "stride.tflite", output))


def test_a_zero_point_outside_its_type_is_refused(tmp_path: Path) -> None:
    file = TinyFile((1, 6, 8, 3), np.uint8, (0.1, 300, 0))
    output = file.add("LOGISTIC", [file.input], (1, 6, 8, 3), None, np.uint8, (1 / 256, 0, 0))
    with pytest.raises(InvalidInput, match="zero point of 300"):
        import_file(file.write(tmp_path / "zero.tflite", output))


def test_all_unknown_operators_are_named(tmp_path: Path) -> None:
    file = TinyFile()
    first = file.add("CUMSUM", [file.input, file.constant(1, np.int32)], (1, 6, 8, 3))
    second = file.add("SIGN", [first], (1, 6, 8, 3))
    with pytest.raises(Unsupported, match="CUMSUM, SIGN are not known"):
        import_file(file.write(tmp_path / "unknown.tflite", second))


@pytest.mark.parametrize("shape", [(1, 6, 8, 4), (2, 6, 8, 3), (1, 48, 3)])
def test_inputs_that_are_no_picture_are_refused(shape: tuple[int, ...], tmp_path: Path) -> None:
    file = TinyFile(shape)
    with pytest.raises(Unsupported, match="no picture"):
        import_file(file.write(tmp_path / "input.tflite", file.add("LOGISTIC", [file.input], shape)))


@pytest.mark.parametrize("axis", [0, -4])
def test_operators_across_the_batch_are_refused(axis: int, tmp_path: Path) -> None:
    file = TinyFile()
    joined = file.add("CONCATENATION", [file.input, file.input], (2, 6, 8, 3), "ConcatenationOptions", axis=axis)
    with pytest.raises(Unsupported, match="across the batch axis"):
        import_file(file.write(tmp_path / "batch.tflite", joined))


def test_four_bit_weights_are_unpacked_lower_half_first(tmp_path: Path) -> None:
    file = TinyFile((1, 1, 3, 1))
    weights = file.constant(np.zeros((1, 3), np.int8), scale=(0.5, 0, 0))
    file.graph.tensors[weights].type = schema.TensorType.INT4
    file.model.buffers[1].data = np.array([0x71, 0x0F], np.uint8)  # 1, 7, -1
    output = file.add("FULLY_CONNECTED", [file.input, weights, -1], (1, 1), "FullyConnectedOptions", version=10)
    record = read_tflite(file.write(tmp_path / "four.tflite", output)).tensors[weights]
    assert record.data is not None and record.data.tolist() == [[1, 7, -1]]


# Metadata


def pack_metadata(mean: list[float], std: list[float], label_file: str | None) -> bytes:
    """A flatbuffer of the metadata schema: fields by their numbers there."""
    builder = flatbuffers.Builder(256)

    def table(fields: dict[int, tuple[str, object]]) -> int:
        builder.StartObject(8)
        for number, (kind, value) in fields.items():
            if kind == "offset":
                builder.PrependUOffsetTRelativeSlot(number, value, 0)
            else:
                builder.PrependUint8Slot(number, value, 0)
        return int(builder.EndObject())

    def vector(offsets: list[int]) -> int:
        builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        return int(builder.EndVector())

    floats = [builder.CreateNumpyVector(np.array(values, np.float32)) for values in (mean, std)]
    options = table({0: ("offset", floats[0]), 1: ("offset", floats[1])})
    unit = table({0: ("byte", 1), 1: ("offset", options)})
    image = table({0: ("byte", 1)})
    content = table({0: ("byte", 2), 1: ("offset", image)})
    inputs = vector([table({3: ("offset", content), 4: ("offset", vector([unit]))})])
    output: dict[int, tuple[str, object]] = {}
    if label_file is not None:
        entry = table({0: ("offset", builder.CreateString(label_file)), 2: ("byte", 2)})
        output = {6: ("offset", vector([entry]))}
    outputs = vector([table(output)])
    graphs = vector([table({2: ("offset", inputs), 3: ("offset", outputs)})])
    builder.Finish(table({3: ("offset", graphs)}), b"M001")
    return bytes(builder.Output())


def write_with_metadata(file: TinyFile, output: int, metadata: bytes, path: Path, labels: dict[str, bytes]) -> Path:
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = np.frombuffer(metadata, np.uint8)
    file.model.buffers.append(buffer)
    entry.name, entry.buffer = "TFLITE_METADATA", len(file.model.buffers) - 1
    file.model.metadata = [entry]
    file.write(path, output)
    with zipfile.ZipFile(path, "a") as archive:
        for name, content in labels.items():
            archive.writestr(name, content)
    return path


def make_classifier(kind: type = np.float32, scale: tuple[float, int, int] | None = None) -> tuple[TinyFile, int]:
    file = TinyFile((1, 6, 8, 3), kind, scale)
    axes = file.constant([1, 2], np.int32)
    return file, file.add("MEAN", [file.input, axes], (1, 3), "ReducerOptions", kind, scale, keepDims=False)


def test_metadata_states_normalisation_colour_and_labels(tmp_path: Path) -> None:
    file, output = make_classifier()
    metadata = pack_metadata([120.0, 110.0, 100.0], [60.0], "names.txt")
    imported = import_file(
        write_with_metadata(file, output, metadata, tmp_path / "a.tflite", {"names.txt": b"ant\nbee\r\ncat\n"})
    )
    assert imported.stated.mean == (120.0, 110.0, 100.0)
    assert imported.stated.std == (60.0, 60.0, 60.0)
    assert imported.stated.colour == "RGB"
    assert imported.categories == ("ant", "bee", "cat")


@pytest.mark.parametrize(
    "labels", [{}, {"names.txt": b"ant\nbee\n"}, {"names.txt": b"x\n" * 2**20}, {"names.txt/../x": b"a\nb\nc"}]
)
def test_labels_that_do_not_fit_are_left_out(labels: dict[str, bytes], tmp_path: Path) -> None:
    file, output = make_classifier()
    metadata = pack_metadata([127.5], [127.5], "names.txt")
    assert import_file(write_with_metadata(file, output, metadata, tmp_path / "a.tflite", labels)).categories is None


def test_quantised_input_states_pixels_unless_metadata_says_otherwise(tmp_path: Path) -> None:
    file, output = make_classifier(np.uint8, (1 / 128, 128, 0))
    same = pack_metadata([127.5], [127.5], None)
    stated = import_file(write_with_metadata(file, output, same, tmp_path / "a.tflite", {})).stated
    assert (stated.mean, stated.std) == ((128.0,) * 3, (128.0,) * 3)
    file, output = make_classifier(np.uint8, (1 / 128, 128, 0))
    other = pack_metadata([0.0], [255.0], None)  # 0..1, in the upper half of what the input can store
    stated = import_file(write_with_metadata(file, output, other, tmp_path / "b.tflite", {})).stated
    assert (stated.mean, stated.std) == ((0.0,) * 3, (255.0,) * 3)


def test_damaged_metadata_is_left_out_with_a_note(tmp_path: Path) -> None:
    file, output = make_classifier()
    metadata = bytearray(pack_metadata([127.5], [127.5], "names.txt"))
    metadata[0:4] = (10**6).to_bytes(4, "little")
    imported = import_file(write_with_metadata(file, output, bytes(metadata), tmp_path / "a.tflite", {}))
    assert imported.stated.mean is None
    assert any("metadata is left out" in note for note in imported.notes)


def test_flipped_metadata_never_stops_an_import(tmp_path: Path) -> None:
    rng = random.Random(3)
    for _ in range(60):
        file, output = make_classifier()
        metadata = bytearray(pack_metadata([127.5], [127.5], "names.txt"))
        for _ in range(2):
            metadata[rng.randrange(8, len(metadata))] = rng.randrange(256)
        imported = import_file(
            write_with_metadata(file, output, bytes(metadata), tmp_path / "a.tflite", {"names.txt": b"a\nb\nc"})
        )
        assert imported.categories in (None, ("a", "b", "c"))
