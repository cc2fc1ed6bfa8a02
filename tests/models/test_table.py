import pytest
import torch

from sightline.core.errors import InvalidInput, NotFound
from sightline.imaging.heads.decoding import HEADS
from sightline.models.table import DIALS, NETWORKS, build_network, find_row, resolve_network

NAMES = sorted(NETWORKS)


@pytest.mark.parametrize("task", sorted(DIALS))
def test_the_dials_of_a_task_name_networks_that_learn_it(task: str) -> None:
    assert set(DIALS[task]) == ({"fast"} if task == "instance" else {"fast", "accurate"})
    for dial in DIALS[task]:
        assert task in find_row(resolve_network(task, dial)).tasks


@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_those_that_the_decode_spec_names(name: str) -> None:
    torch.manual_seed(0)
    row = NETWORKS[name]
    network = build_network(row.tasks[0], name, 3, 64, 64).eval()
    with torch.inference_mode():
        outputs = network(torch.zeros(2, 3, 64, 64))
    assert isinstance(outputs, tuple)
    assert len(outputs) == len(network.decode_spec.outputs)
    assert all(len(output) == 2 for output in outputs)
    assert network.decode_spec.head in HEADS
    assert (network.input_spec.width, network.input_spec.height) == (64, 64)


def test_any_timm_network_is_a_network() -> None:
    torch.manual_seed(0)
    network = build_network("classification", "timm/resnet10t", 5, 64, 96).eval()
    assert network(torch.zeros(1, 3, 96, 64))[0].shape == (1, 5)
    assert network.input_spec.mean == pytest.approx((123.675, 116.28, 103.53))


@pytest.mark.parametrize("name", ["deit_tiny_patch16_224", "vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"])
def test_timm_networks_of_a_fixed_size_are_built_for_the_wanted_one(name: str) -> None:
    network = build_network("classification", f"timm/{name}", 5, 64, 96).eval()
    with torch.inference_mode():
        assert network(torch.zeros(1, 3, 96, 64))[0].shape == (1, 5)


def test_timm_networks_take_sizes_of_their_own() -> None:
    network = build_network("classification", "timm/vit_small_patch14_dinov2", 5, 56, 42).eval()  # in patches of 14
    with torch.inference_mode():
        assert network(torch.zeros(1, 3, 42, 56))[0].shape == (1, 5)


def test_a_size_that_a_timm_network_does_not_take_is_refused_with_its_own() -> None:
    with pytest.raises(InvalidInput, match=r"does not take pictures of 64 x 96 .*its usual size is 224 x 224"):
        build_network("classification", "timm/convit_tiny", 5, 64, 96)


def test_multilabel_networks_decode_by_sigmoid() -> None:
    assert build_network("multilabel", "fast", 2, 32, 32).decode_spec.head == "sigmoid"
    assert build_network("classification", "fast", 2, 32, 32).decode_spec.head == "softmax"


@pytest.mark.parametrize(
    ("task", "name", "count", "size", "error", "words"),
    [
        ("classification", "resnet51", 2, 64, NotFound, "resnet50"),
        ("instance", "accurate", 2, 64, NotFound, "no accurate network learns instance yet; there is fast"),
        ("classification", "timm/resnet5o", 2, 64, NotFound, "near to it"),
        ("classification", "small_segmenter", 2, 64, InvalidInput, "does not learn classification"),
        ("classification", "fast", 0, 64, InvalidInput, "at least one category"),
        ("classification", "fast", 2, 50, InvalidInput, "multiples of 32"),
        ("semantic", "fast", 2, 0, InvalidInput, "multiples of 32"),
    ],
)
def test_what_cannot_be_built_is_refused(
    task: str, name: str, count: int, size: int, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        build_network(task, name, count, size, size)
