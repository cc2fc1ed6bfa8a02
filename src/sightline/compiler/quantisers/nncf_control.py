"""NNCF's accuracy control: quantise, rank the layers by what they cost, give the worst back to FP32 until the drop is small.

It validates often, so validation is in batches prepared once, on as many pictures as fit a bound of memory. When its time is
over it ends, and what it found by then is lost, for the package hands out only a finished network.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx

from sightline.compiler.graphs import load_graph, save_graph
from sightline.compiler.quantisers.nncf import MOST_SAMPLES, make_facts, quiet_nncf
from sightline.compiler.quantisers.quantiser import Guide, Quantiser, QuantiserFacts
from sightline.core.errors import Exhausted, InvalidInput, Unsupported
from sightline.core.settings import read_settings
from sightline.runtime.backend import Session, SessionOptions
from sightline.runtime.backends.table import load_backend

MOST_LAYERS_BACK = 6
VALIDATING_ENGINES = ("onnxruntime", "openvino")  # the first is opened faster, the second runs all that NNCF writes
RANKING_BATCHES = 8  # of the validation batches; each layer is tried on them


class NncfControlQuantiser(Quantiser):
    """Post-training quantisation that gives at most six layers back to FP32."""

    name = "nncf-control"
    description = "NNCF accuracy control: the layers that cost most go back to FP32"
    package = "nncf"
    guided_by = "labels"

    def quantise(
        self, graph: Path, out: Path, input_name: str, samples: Sequence[np.ndarray], guide: Guide | None = None
    ) -> QuantiserFacts:
        """Write the INT8 twin of `graph`. Raises: Unsupported, Exhausted; InvalidInput without a guide."""
        if guide is None:
            raise InvalidInput("expected labelled calibration pictures for accuracy control, got none; label some")

        def validate(model: onnx.ModelProto, places: Iterable[int]) -> tuple[float, None]:
            return guide.score(run_batches(model, input_name, places, guide)), None

        samples = samples[:MOST_SAMPLES]
        with quiet_nncf(self.name, graph) as nncf:
            quantised = nncf.quantize_with_accuracy_control(
                load_graph(graph),
                nncf.Dataset(samples, lambda sample: {input_name: sample}),
                nncf.Dataset(range(len(guide.batches))),
                validate,
                max_drop=guide.max_drop,
                preset=nncf.QuantizationPreset.PERFORMANCE,
                target_device=nncf.TargetDevice.CPU,
                subset_size=len(samples),
                fast_bias_correction=True,
                advanced_accuracy_restorer_parameters=nncf.AdvancedAccuracyRestorerParameters(
                    max_num_iterations=MOST_LAYERS_BACK, ranking_subset_size=min(RANKING_BATCHES, len(guide.batches))
                ),
            )
        save_graph(quantised, out)
        settings: dict[str, object] = {"max_drop": guide.max_drop, "most_layers_back": MOST_LAYERS_BACK}
        return make_facts(self.name, settings, len(samples))


def run_batches(
    model: onnx.ModelProto, input_name: str, places: Iterable[int], guide: Guide
) -> Iterator[tuple[int, Mapping[str, np.ndarray]]]:
    """Place and outputs of each of the guide's batches that NNCF wants. Raises: Exhausted when time is over."""
    with TemporaryDirectory(prefix="sightline-control-") as folder:
        graph = Path(folder) / "validated.onnx"
        save_graph(model, graph)
        with closing(open_runnable(graph, {input_name: guide.batches[0]})) as session:
            for place in places:
                if guide.is_late():
                    raise Exhausted("the time limit was reached while layers were ranked; raise the time limit")
                yield place, session.infer({input_name: guide.batches[place]})


def open_runnable(graph: Path, inputs: Mapping[str, np.ndarray]) -> Session:
    """A session of the first engine that runs the file, which shows only when it runs. Raises: Unsupported when none does."""
    options = SessionOptions("fp32", 1, read_settings().threads)
    reasons = []
    for engine in VALIDATING_ENGINES:
        try:
            session = load_backend(engine).open(graph, options)
        except InvalidInput as error:
            reasons.append(str(error))
            continue
        try:
            session.infer(inputs)
            return session
        except InvalidInput as error:
            session.close()
            reasons.append(str(error))
    raise Unsupported(f"no engine runs what accuracy control tries: {' | '.join(reasons)}; another quantiser may do")
