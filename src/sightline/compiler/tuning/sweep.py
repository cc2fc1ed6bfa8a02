"""Speed of the chosen candidate over batch sizes and streams, and how much of the machine's own peak that is."""

import itertools
import statistics
from collections.abc import Sequence

import numpy as np

from sightline.compiler.candidates import Candidate
from sightline.compiler.report.records import PeakFacts, SpeedRow
from sightline.compiler.tuning.autotune import OpenSessions, choose_settings, measure_busy_ms, measure_stream
from sightline.compiler.tuning.probes import list_probes, measure_peaks
from sightline.core.errors import Exhausted
from sightline.core.manifests import Precision
from sightline.core.settings import read_settings
from sightline.runtime.backend import Session
from sightline.runtime.backends.table import load_backend, make_backend
from sightline.runtime.devices import DEVICES

ROUNDS = 3
ROUND_SECONDS = 0.15


def sweep_candidate(candidate: Candidate, input_name: str, samples: Sequence[np.ndarray]) -> list[SpeedRow]:
    """Time every batch size with every setting, in interleaved rounds; medians over them. What lacks memory is left out."""
    device = DEVICES[load_backend(candidate.engine).device]
    settings = choose_settings(batches=device.swept_batches, on_cores=device.on_cores)
    points = [(batch, streams, threads) for streams, threads, batch in settings]
    measured: list[list[tuple[float, float, float]]] = [[] for _ in points]

    def make_batch(place: int) -> np.ndarray:
        return np.concatenate([samples[index % len(samples)] for index in range(points[place][0])])

    def open_warm(place: int) -> Session:
        session = candidate.open(*points[place][1:])
        session.infer({input_name: make_batch(place)})  # compiles the shape
        return session

    with OpenSessions([candidate.size_bytes] * len(points), open_warm) as sessions:

        def take_turn(place: int) -> bool:
            """Whether the memory sufficed."""
            inputs = [make_batch(place)]
            try:
                with sessions.use(place) as session:
                    throughput, cpu_ms = measure_stream(session, input_name, inputs, ROUND_SECONDS)
                    is_alone = points[place][1] == 1
                    busy_ms = measure_busy_ms(session, input_name, inputs, 1, ROUND_SECONDS) if is_alone else (0.0,)
            except Exhausted:
                return False
            measured[place].append((throughput, cpu_ms, statistics.median(busy_ms)))
            return True

        for _, place in itertools.product(range(ROUNDS), range(len(points))):
            if not take_turn(place):
                sessions.close()
                take_turn(place)
    return [_sum_up(point, turns) for point, turns in zip(points, measured, strict=True) if turns]


def _sum_up(point: tuple[int, int, int], turns: Sequence[tuple[float, float, float]]) -> SpeedRow:
    batch, streams, threads = point
    throughput, cpu_ms, latency_ms = (statistics.median(values) for values in zip(*turns, strict=True))
    return SpeedRow(
        batch=batch,
        streams=streams,
        threads=threads,
        throughput=throughput,
        latency_ms=latency_ms if streams == 1 else None,
        cpu_ms=cpu_ms,
    )


def compare_with_peak(
    candidate: Candidate, precisions: Sequence[Precision], throughput: float, swept: float, flops: int
) -> PeakFacts:
    """How near the candidate comes to the machine's peak at its own precision.

    On a machine that others use too, a probe may fall into a busy moment; a rate that the network itself sustained is then the
    better lower bound of the peak, and the share an upper bound.

    Args:
        throughput: pictures a second at the chosen setting.
        swept: the most pictures a second of any batch and setting.
        flops: operations of one picture.
    """
    threads, device = read_settings().threads, DEVICES[make_backend(candidate.engine).device]
    peaks = {precision: peak.gflops for precision, peak in measure_peaks(candidate.engine, precisions, threads).items()}
    probes = list_probes(candidate.engine)
    reached, own_best = throughput * flops / 1e9, max(throughput, swept) * flops / 1e9
    is_own = own_best > peaks[candidate.precision]
    peaks[candidate.precision] = max(peaks[candidate.precision], own_best)
    return PeakFacts(
        gflops=peaks,
        reached_gflops=reached,
        share=reached / peaks[candidate.precision],
        is_own=is_own,
        method=f"The peak is the best rate of {len(probes)} probes ({', '.join(probes)}) and of this network itself at any "
        f"batch and setting, in {candidate.engine}" + (f" with {threads} threads." if device.on_cores else "."),
    )
