"""INT8 for the convolutions that NNCF leaves in float on purpose: those of squeeze-and-excitation blocks.

Each such block squeezes a picture to one value a channel and weighs the channels by two small convolutions (Hu et al. 2018,
"Squeeze-and-Excitation Networks", §3). In float they cost more time than their few products say, and four bytes a weight:
MobileNetV3-Large in OpenVINO is 1.10 times as fast with them in INT8 in batches of one, 1.06 times in batches of four, and its
file 6.0 MB instead of 10.1. What that costs in accuracy the gate tells, as of every candidate.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sightline.compiler.graphs import load_graph, save_graph
from sightline.compiler.quantisers.convolutions import list_convolutions
from sightline.compiler.quantisers.nncf import MOST_SAMPLES, NncfQuantiser, make_facts
from sightline.compiler.quantisers.plans import make_plan
from sightline.compiler.quantisers.qdq import write_qdq
from sightline.compiler.quantisers.quantiser import Guide, NothingToAdd, Quantiser, QuantiserFacts
from sightline.compiler.quantisers.ranges import choose_clipped, collect_statistics


class NncfWholeQuantiser(Quantiser):
    """Goes on from the file of `nncf`: quantises the convolutions still in float, with bias correction."""

    name = "nncf-whole"
    description = "as `nncf`, with INT8 also in the convolutions of squeeze-and-excitation blocks, which `nncf` leaves in float"
    continues = NncfQuantiser.name  # the package is not needed: without it there is no file to go on from

    def quantise(
        self, graph: Path, out: Path, input_name: str, samples: Sequence[np.ndarray], guide: Guide | None = None
    ) -> QuantiserFacts:
        """Write the INT8 twin of a file that `nncf` wrote. Raises: NothingToAdd when that left none in float, Unsupported."""
        model = load_graph(graph)
        convolutions = list_convolutions(model)
        if not convolutions:
            raise NothingToAdd(f"{self.continues} left no convolution of {graph.name} in float")
        samples = samples[:MOST_SAMPLES]
        statistics = collect_statistics(model, input_name, samples, sorted({one.source for one in convolutions}))
        ranges = {name: choose_clipped(one) for name, one in statistics.items()}
        plan = make_plan(model, input_name, samples, convolutions, ranges)
        save_graph(write_qdq(plan, [one.name for one in convolutions]), out)
        settings: dict[str, object] = {
            "continues": self.continues,
            "convolutions_added": [one.name for one in convolutions],
            "ranges_of_added": "least error",
            "bias_correction_of_added": True,
        }
        return make_facts(self.name, settings, len(samples))
