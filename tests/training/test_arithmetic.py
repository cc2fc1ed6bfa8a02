import pytest
import torch
from torch import nn

from sightline.core.errors import Unsupported
from sightline.training import arithmetic
from sightline.training.arithmetic import EXACT, Arithmetic, choose_arithmetic


@pytest.fixture
def without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def pretend_gpu(monkeypatch: pytest.MonkeyPatch, bf16: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bf16 or including_emulation)


@pytest.mark.usefixtures("without_gpu")
@pytest.mark.parametrize(
    ("flags", "expected"), [(["avx2"], False), (["avx2", "avx512_bf16"], True), (["amx_bf16"], True), ([], False)]
)
def test_bf16_is_chosen_where_the_cpu_multiplies_it(flags: list[str], expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arithmetic, "read_cpu_facts", lambda: {"model": "any", "flags": flags})
    assert choose_arithmetic("auto").bf16 is expected
    assert choose_arithmetic("bf16").bf16
    assert not choose_arithmetic("fp32").bf16


@pytest.mark.parametrize("bf16", [False, True])
def test_a_gpu_is_taken_where_there_is_one(bf16: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_gpu(monkeypatch, bf16)
    assert choose_arithmetic("auto")[:2] == (torch.device("cuda"), bf16)
    assert choose_arithmetic("fp32", "cuda")[:2] == (torch.device("cuda"), False)
    assert choose_arithmetic("fp32", "cpu") == EXACT


@pytest.mark.usefixtures("without_gpu")
def test_a_gpu_that_is_wanted_and_absent_is_said() -> None:
    assert choose_arithmetic("fp32", "auto") == EXACT
    with pytest.raises(Unsupported, match="expected a CUDA GPU"):
        choose_arithmetic("auto", "cuda")


def test_autocast_lowers_products_only_when_asked() -> None:
    layer, x = nn.Linear(2, 2), torch.ones(1, 2)
    with choose_arithmetic("bf16", "cpu").autocast():
        assert layer(x).dtype == torch.bfloat16
    with EXACT.autocast():
        assert layer(x).dtype == torch.float32


def read_modes() -> tuple[bool, ...]:
    cudnn = torch.backends.cudnn
    return torch.are_deterministic_algorithms_enabled(), cudnn.deterministic, cudnn.enabled, cudnn.allow_tf32


def test_a_gpu_repeats_itself_in_fp32_and_the_process_keeps_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")  # put back afterwards
    before, on_gpu = read_modes(), Arithmetic(torch.device("cuda"), False, torch.contiguous_format)
    with on_gpu.repeating(True):
        assert read_modes() == (True, True, True, False)
    with on_gpu.repeating(False):
        assert read_modes() == (False, False, True, False)
    assert read_modes() == before
    with EXACT.repeating(True):
        assert read_modes() == before
