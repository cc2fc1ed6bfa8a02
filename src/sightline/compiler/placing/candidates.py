"""Candidates for another device than the CPU, or for several: layers the device declares run on it, the others behind it.

An accelerator computes in fixed point, with types chosen from real pictures; what it computes is emulated bit by bit, and gated
like every other candidate.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx

from sightline.compiler.candidates import Candidate, CandidateRefusal
from sightline.compiler.placing.fpga import FixedPrecision, check_streams, convert_network, prepare_graph
from sightline.compiler.placing.hetero import convert_hetero
from sightline.compiler.placing.placement import LayerPlacement, place_layers
from sightline.compiler.quantisers.quantiser import QuantiserFacts
from sightline.core.errors import InvalidInput, MissingPackage, Unsupported
from sightline.runtime.devices import Device, check_supported

QUANTISER = "fixed-point"
CALIBRATED = 64  # pictures; each is run through the network with every tensor kept


def plan_places(model: onnx.ModelProto, devices: Sequence[Device]) -> list[LayerPlacement]:
    """Where every layer runs.

    Raises: Unsupported with all reasons when a single device does not take the whole network, or no device takes a layer.
    """
    prepared = prepare_graph(model)
    if len(devices) == 1:
        check_supported(prepared, devices[0])
        check_streams(prepared)
    return place_layers(prepared, devices)


def make_placed_candidate(
    source: Path,
    devices: Sequence[Device],
    precision: FixedPrecision,
    samples: Sequence[np.ndarray],
) -> tuple[Candidate | None, CandidateRefusal | None]:
    """The network on its devices at a precision, or why not."""
    used = samples[:CALIBRATED]
    folder = source.parent / f"{precision}.{QUANTISER}"
    try:
        if len(devices) == 1:
            graph, engine = convert_network(source, folder, used, precision), "hls4ml"
        else:
            graph, engine = convert_hetero(source, folder, devices, used, precision), "hetero"
    except (InvalidInput, MissingPackage, Unsupported) as error:
        return None, CandidateRefusal(name=f"{devices[0].name} {precision}", reason=str(error))
    facts = QuantiserFacts(
        quantiser=QUANTISER,
        package="hls4ml",
        settings={"devices": [device.name for device in devices], "scales": "powers of two"},
        images=len(used),
    )
    return Candidate(engine, precision, QUANTISER, graph, source, facts), None
