"""NNCF post-training quantisation on the ONNX graph, with its fast bias correction; writes QDQ ONNX that both engines read."""

import contextlib
import importlib.util
import io
import logging
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import numpy as np

from sightline.compiler.graphs import load_graph, save_graph
from sightline.compiler.quantisers.quantiser import QuantiserFacts
from sightline.core.errors import Unsupported
from sightline.runtime.telemetry import silence_telemetry


class NncfQuantiser:
    """Ranges by NNCF's own statistics, then biases shifted so that each layer's mean output stays."""

    name = "nncf"
    description = "NNCF post-training quantisation with fast bias correction"

    def missing(self) -> str | None:
        """What must be installed first, or None."""
        return None if importlib.util.find_spec("nncf") else "quantising needs nncf; pip install 'sightline[compile]'"

    def quantise(self, graph: Path, out: Path, input_name: str, samples: Sequence[np.ndarray]) -> QuantiserFacts:
        """Write the INT8 twin of `graph`. Raises: Unsupported."""
        silence_telemetry()
        logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # nncf imports torch, which asks for CUDA
        import nncf

        nncf.set_log_level(logging.ERROR)
        data = nncf.Dataset(samples, lambda sample: {input_name: sample})
        with contextlib.redirect_stdout(io.StringIO()):  # its progress bars; ours are shown instead
            try:
                quantised = nncf.quantize(
                    load_graph(graph),
                    data,
                    preset=nncf.QuantizationPreset.PERFORMANCE,
                    target_device=nncf.TargetDevice.CPU,
                    subset_size=len(samples),
                    fast_bias_correction=True,
                )
            except (nncf.ValidationError, nncf.InternalError, nncf.UnsupportedModelError, RuntimeError, ValueError) as error:
                reason = " ".join(str(error).split())
                raise Unsupported(f"nncf cannot quantise {graph.name}: {reason}; another quantiser may") from error
        save_graph(quantised, out)
        return QuantiserFacts(
            quantiser=self.name,
            package=f"nncf {metadata.version('nncf')}",
            settings={"preset": "performance", "fast_bias_correction": True, "target_device": "CPU"},
            images=len(samples),
        )
