"""NNCF post-training quantisation on the ONNX graph, with its fast bias correction; writes QDQ ONNX that both engines read."""

import contextlib
import io
import logging
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from sightline.compiler.graphs import load_graph, save_graph
from sightline.compiler.quantisers.failures import refuse_failures
from sightline.compiler.quantisers.quantiser import Guide, Quantiser, QuantiserFacts
from sightline.compiler.quantisers.threads import bound_threads
from sightline.runtime.telemetry import silence_telemetry

# Its statistics are settled by then: on a residual network of 56.8 % top-1, 10, 100 and 300 pictures cost 0.33, 0.29 and 0.30
# points (interval 0.23), and each costs an inference that keeps every tensor.
MOST_SAMPLES = 100


class NncfQuantiser(Quantiser):
    """Ranges by NNCF's own statistics, then biases shifted so that each layer's mean output stays."""

    name = "nncf"
    description = "NNCF post-training quantisation with fast bias correction"
    package = "nncf"

    def quantise(
        self, graph: Path, out: Path, input_name: str, samples: Sequence[np.ndarray], guide: Guide | None = None
    ) -> QuantiserFacts:
        """Write the INT8 twin of `graph`. Raises: Unsupported."""
        samples = samples[:MOST_SAMPLES]
        with quiet_nncf(self.name, graph) as nncf:
            data = nncf.Dataset(samples, lambda sample: {input_name: sample})
            quantised = nncf.quantize(
                load_graph(graph),
                data,
                preset=nncf.QuantizationPreset.PERFORMANCE,
                target_device=nncf.TargetDevice.CPU,
                subset_size=len(samples),
                fast_bias_correction=True,
            )
        save_graph(quantised, out)
        return make_facts(self.name, {}, len(samples))


@contextlib.contextmanager
def quiet_nncf(name: str, graph: Path) -> Iterator[Any]:
    """The package, with its progress bars held back (ours are shown instead) and its failures in our words.

    Raises: Unsupported.
    """
    silence_telemetry()
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # nncf imports torch, which asks for CUDA
    import nncf

    logging.getLogger("nncf").setLevel(logging.ERROR)  # its own `set_log_level` sets whoever listens as well
    with bound_threads(), contextlib.redirect_stdout(io.StringIO()), refuse_failures(name, graph, "nncf"):
        yield nncf


def make_facts(name: str, settings: dict[str, object], images: int) -> QuantiserFacts:
    """What was done. Args: settings: beyond those that are always the same."""
    common: dict[str, object] = {"preset": "performance", "fast_bias_correction": True, "target_device": "CPU"}
    return QuantiserFacts(quantiser=name, package=f"nncf {metadata.version('nncf')}", settings=common | settings, images=images)
