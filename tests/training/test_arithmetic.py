import pytest
import torch
from torch import nn

from sightline.training import arithmetic
from sightline.training.arithmetic import EXACT, choose_arithmetic


@pytest.mark.parametrize(
    ("flags", "expected"), [(["avx2"], False), (["avx2", "avx512_bf16"], True), (["amx_bf16"], True), ([], False)]
)
def test_bf16_is_chosen_where_the_cpu_multiplies_it(flags: list[str], expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arithmetic, "read_cpu_facts", lambda: {"model": "any", "flags": flags})
    assert choose_arithmetic("auto").bf16 is expected
    assert choose_arithmetic("bf16").bf16
    assert not choose_arithmetic("fp32").bf16


def test_autocast_lowers_products_only_when_asked() -> None:
    layer, x = nn.Linear(2, 2), torch.ones(1, 2)
    with choose_arithmetic("bf16").autocast():
        assert layer(x).dtype == torch.bfloat16
    with EXACT.autocast():
        assert layer(x).dtype == torch.float32
