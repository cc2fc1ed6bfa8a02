import hashlib
import json

import msgspec
import pytest

from sightline.core.errors import InvalidInput
from sightline.core.manifests import (
    DatasetVersionManifest,
    DecodeSpec,
    DeploymentManifest,
    FileHash,
    InputSpec,
    ModelManifest,
    compute_manifest_id,
    decode_manifest,
    encode_manifest,
)


def make_model(**fields) -> ModelManifest:
    defaults = {
        "name": "parts",
        "task": "detection",
        "network": "csp",
        "categories": ("a", "b"),
        "input": InputSpec(width=64, height=32),
        "decode": DecodeSpec(head="anchor_free", outputs=("x",), parameters={"strides": [8, 16]}),
        "parameter_count": 3,
        "created_at": "2026-01-01T00:00:00+00:00",
        "files": {"model.onnx": FileHash(sha256="0" * 64, size_bytes=5)},
    }
    return ModelManifest(**(defaults | fields))


def test_a_manifest_survives_its_file():
    model = make_model()
    assert decode_manifest(encode_manifest(model), ModelManifest) == model


def test_the_id_is_the_hash_of_the_canonical_json():
    content = encode_manifest(make_model())
    assert compute_manifest_id(make_model()) == hashlib.sha256(content).hexdigest()
    assert content == json.dumps(json.loads(content), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def test_the_order_of_dictionaries_does_not_change_the_id():
    one, other = make_model(recipe={"a": 1, "b": {"c": 2, "d": 3}}), make_model(recipe={"b": {"d": 3, "c": 2}, "a": 1})
    assert compute_manifest_id(one) == compute_manifest_id(other)


def test_any_change_changes_the_id():
    ids = {
        compute_manifest_id(model)
        for model in (make_model(), make_model(name="p"), make_model(seed=0), make_model(categories=("b", "a")))
    }
    assert len(ids) == 4


def test_a_manifest_of_another_kind_is_refused():
    with pytest.raises(InvalidInput, match=r"^expected the manifest of a DatasetVersion, got manifest.json of a model; give "):
        decode_manifest(encode_manifest(make_model()), DatasetVersionManifest)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"kind":"model"}'])
def test_what_is_no_manifest_is_refused(content):
    with pytest.raises(InvalidInput, match="here"):
        decode_manifest(content, ModelManifest, where="here")


def test_unknown_fields_are_refused():
    fields = json.loads(encode_manifest(DeploymentManifest(name="a", version=1, artifact_id="0", created_at="now")))
    with pytest.raises(InvalidInput, match="extra"):
        decode_manifest(json.dumps(fields | {"extra": 1}).encode(), DeploymentManifest)


def test_values_outside_their_choice_are_refused():
    content = encode_manifest(make_model()).replace(b'"detection"', b'"guessing"')
    with pytest.raises(InvalidInput, match="guessing"):
        decode_manifest(content, ModelManifest)


def test_the_default_normalisation_has_as_many_channels_as_the_colour():
    rgb, gray = InputSpec(width=8, height=8), InputSpec(width=8, height=8, colour="GRAY")
    assert (rgb.mean, rgb.std) == ((0.0, 0.0, 0.0), (255.0, 255.0, 255.0))
    assert (gray.mean, gray.std) == ((0.0,), (255.0,))
    assert InputSpec(width=8, height=8, colour="GRAY", mean=(3.0,)).mean == (3.0,)
    assert msgspec.json.decode(b'{"width": 8, "height": 8, "colour": "GRAY"}', type=InputSpec) == gray
    assert b'"mean":[0.0,0.0,0.0],' in msgspec.json.encode(rgb)  # ids of what was made before stay the same
