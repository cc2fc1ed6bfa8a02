"""Schedules: plain functions of progress in 0..1, so that any budget can drive them."""

import math
from typing import Literal

ScheduleName = Literal["cosine", "poly", "constant"]


def warm_up_factor(progress: float, warm_up: float, start: float = 0.05) -> float:
    """Factor that rises linearly from `start` to 1 while progress is below `warm_up` (Goyal et al. 2017, §2.2)."""
    if warm_up <= 0 or progress >= warm_up:
        return 1.0
    return start + (1 - start) * progress / warm_up


def cosine_factor(progress: float, final: float) -> float:
    """Half a cosine from 1 down to `final` (Loshchilov and Hutter 2017, eq. 5, without restarts)."""
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * min(max(progress, 0.0), 1.0)))


def poly_factor(progress: float, final: float, power: float = 0.9) -> float:
    """`(1 - progress) ** power` from 1 down to `final`: the poly policy of semantic segmentation (Chen et al. 2018, §4.1)."""
    return final + (1 - final) * (1 - min(max(progress, 0.0), 1.0)) ** power


def learning_rate_factor(name: ScheduleName, progress: float, warm_up: float, final: float) -> float:
    """What the peak learning rate is multiplied with at `progress`: warm-up, then the named decay over the whole budget."""
    decay = {"cosine": cosine_factor, "poly": poly_factor}.get(name)
    return warm_up_factor(progress, warm_up) * (decay(progress, final) if decay else 1.0)


def augmentation_factor(progress: float, close: float, ramp: float = 0.05) -> float:
    """Strength of strong augmentation (mosaic, mixup): 1, then down to 0 over `ramp` before the last `close` of the budget.

    Networks end on pictures as they will be seen (Ge et al. 2021, YOLOX, §2.1, switch off mosaic for the last epochs).
    """
    if close <= 0:
        return 1.0
    return min(1.0, max(0.0, (1 - close - progress) / ramp))
