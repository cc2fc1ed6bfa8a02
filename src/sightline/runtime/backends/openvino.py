"""OpenVINO on the CPU.

The graph is compiled once for each of the first few input shapes it meets, since a fixed shape is faster (mobilenet_v3_large
BF16, batch 1: 3.6-4.0 ms against 4.9-5.2 ms), and once with a dynamic batch for all other shapes. Pictures as uint8 have
plans of their own, in which normalisation, channel order and layout are part of the network. Graphs of free sizes may be
compiled once for all sizes instead, before the first inference: see `SessionOptions.plans_any_size`.

An IR's plans for fixed shapes can be kept on the disk, without the weights, and opened again: for mobilenet_v3_large INT8
0.8 MB and 0.08 s in place of 0.4 s of compiling. An ONNX graph is compiled each time: its plans would hold the weights.
"""

import contextlib
import functools
import importlib.util
import queue
import threading
from collections.abc import Generator, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sightline.core.errors import InvalidInput
from sightline.core.manifests import InputSpec, Precision
from sightline.imaging.preprocessing import is_identity
from sightline.runtime.backend import (
    LayerRow,
    RunsOnCpu,
    SessionOptions,
    Tensors,
    TensorType,
    check_open,
    check_openable,
    check_profiled,
    convert_inputs,
)
from sightline.runtime.backends.openvino_plans import WITHOUT_WEIGHTS, open_keeper
from sightline.runtime.in_flight import InFlight
from sightline.runtime.ordered import run_in_order
from sightline.runtime.telemetry import silence_telemetry

PRECISION_OF_TYPE = {"i8": "int8", "u8": "int8", "f32": "fp32", "bf16": "bf16", "f16": "fp16"}
HINTS = {"fp32": "f32", "int8": "f32", "bf16": "bf16"}  # what an INT8 graph leaves in float stays FP32
NO_WORK = {"Parameter", "Result", "Constant", "Input", "Output", "Const"}

Shapes = tuple[tuple[int, ...], ...]
PlanKey = tuple[Shapes | None, bool]  # shapes, or None for any; whether the input is pictures


class _Running(NamedTuple):
    """A request in flight, with the input arrays it reads without copying."""

    request: Any
    plan: "_Plan"
    inputs: dict[str, np.ndarray]


class _Plan:
    """The graph compiled for one shape, with its free requests.

    A request is made whenever none is free, so nobody waits for a request that a paused reader holds.
    """

    def __init__(self, compiled: Any) -> None:
        self.compiled = compiled
        self.free: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def take_request(self) -> Any:
        try:
            return self.free.get_nowait()
        except queue.Empty:
            return self.compiled.create_infer_request()


class OpenVinoSession:
    """An opened graph, ONNX or OpenVINO IR."""

    def __init__(self, graph: Path, options: SessionOptions) -> None:
        silence_telemetry()
        import openvino

        use_binding_once()
        self._openvino = openvino
        self._core = get_core()
        self._keeper = None if options.profile else open_keeper(graph, options.plan_folder)  # no names of layers are kept
        try:
            self._model = self._core.read_model(graph)
        except RuntimeError as error:
            raise InvalidInput(f"OpenVINO cannot open {graph}: {' '.join(str(error).split())}") from error
        if self._keeper is not None and not self._keeper.prepare(self._model):
            self._keeper = None
        self._options = options
        self.input_names = tuple(node.any_name for node in self._model.inputs)
        self.output_names = tuple(find_output_name(output) for output in self._model.outputs)
        self._kinds = [node.element_type for node in (*self._model.inputs, *self._model.outputs)]  # as the graph states them
        self._model = widen_bf16(self._model)
        self._types = {node.any_name: node.element_type.to_dtype() for node in self._model.inputs}
        self._folded = self._fold_pixels()  # the same network, which takes uint8 pictures
        self._plans: dict[PlanKey, _Plan] = {}
        self._lock = threading.Lock()
        self._in_flight = InFlight()
        self._started: dict[int, _Running] = {}  # by streams, which wait for them
        self._first_us: dict[str, float] = {}
        self._mean_us: dict[str, float] = {}
        self._inference_count = 0
        self._last_plan: _Plan | None = None
        self._fixed_shapes = options.fixed_shapes
        if options.plans_any_size and self._has_free_sizes():
            self._fixed_shapes = 0
            key: PlanKey = (None, self._folded is not None)
            self._plans[key] = self._plan(key)

    @property
    def plan_count(self) -> int:
        """Kinds and shapes of inputs that it is compiled for."""
        return len(self._plans)

    def describe_tensors(self) -> tuple[tuple[TensorType, ...], tuple[TensorType, ...]]:
        """Element types and shapes of the inputs and outputs."""
        check_open(self._model is not None)
        nodes = (*self._model.inputs, *self._model.outputs)
        described = tuple(map(_describe_tensor, nodes, (*self.input_names, *self.output_names), self._kinds))
        count = len(self.input_names)
        return described[:count], described[count:]

    def infer(self, inputs: Mapping[str, np.ndarray]) -> Tensors:
        """Run one batch, in the calling thread as far as the engine lets it.

        Handing the work to a thread of the engine and waiting for it lets cores idle: two threads that call this reach 1.09
        times the pictures/s that they reach with `start_async` and `wait` (mobilenet_v3_large INT8 behind JPEG decoding,
        median of 6).

        Raises: InvalidInput on wrong names, types or shapes.
        """
        with self._in_flight:
            running = self._take(inputs)
            try:
                running.request.infer(running.inputs, share_inputs=True, share_outputs=True)
            except RuntimeError as error:
                running.plan.free.put(running.request)
                raise InvalidInput(f"OpenVINO refuses this input: {' '.join(str(error).split())}") from error
            return self._read_outputs(running)

    def stream(self, inputs: Iterable[Mapping[str, np.ndarray]]) -> Generator[Tensors, None, None]:
        """Run many batches, in order; one more than `streams` is taken, so that no stream waits for the reader."""
        return run_in_order(inputs, self._start, self._finish, self._discard, self._options.streams + 1)

    def layers(self) -> list[LayerRow]:
        """Layers of the shape last used, with their mean time.

        OpenVINO's counters are means over all inferences so far, and the first of them also compiles kernels: a layer of 10 µs
        was seen to take 3,500 µs. So the first is taken out of the mean when there are more.
        """
        check_profiled(self._options.profile, self._inference_count)
        assert self._last_plan is not None
        with self._lock:
            times_us = leave_out_first(self._first_us, self._mean_us, self._inference_count)
        return read_layer_rows(self._last_plan.compiled.get_runtime_model(), times_us)

    def close(self) -> None:
        """Wait for what is in flight and free memory. Of a stream, what was started ends; it takes nothing further."""
        self._in_flight.close()
        for running in list(self._started.values()):
            with contextlib.suppress(RuntimeError):  # its reader is told
                running.request.wait()
        self._plans.clear()
        self._last_plan = self._model = self._folded = None

    def _take(self, inputs: Mapping[str, np.ndarray]) -> _Running:
        """A free request of the plan for these inputs."""
        is_pixels = self._folded is not None and self._is_pixels(inputs)
        arrays = dict(inputs) if is_pixels else convert_inputs(inputs, self._types, self._options.pixels)
        plan = self._find_plan((tuple(array.shape for array in arrays.values()), is_pixels))
        return _Running(plan.take_request(), plan, arrays)

    def _start(self, inputs: Mapping[str, np.ndarray]) -> _Running:
        with self._in_flight:
            running = self._take(inputs)
            try:
                running.request.start_async(running.inputs, share_inputs=True)
            except RuntimeError as error:
                running.plan.free.put(running.request)
                raise InvalidInput(f"OpenVINO refuses this input: {' '.join(str(error).split())}") from error
            self._started[id(running)] = running
            return running

    def _finish(self, running: _Running) -> Tensors:
        self._started.pop(id(running))
        try:
            running.request.wait()
        except RuntimeError as error:
            running.plan.free.put(running.request)
            raise InvalidInput(f"OpenVINO failed on this input: {' '.join(str(error).split())}") from error
        return self._read_outputs(running)

    def _read_outputs(self, running: _Running) -> Tensors:
        """Copies of a finished request's outputs; the request is free again afterwards."""
        try:
            if self._options.profile:
                self._record(running)
            return {
                name: np.array(running.request.get_output_tensor(index).data) for index, name in enumerate(self.output_names)
            }
        finally:
            running.plan.free.put(running.request)

    def _discard(self, running: _Running) -> None:
        self._started.pop(id(running))
        try:
            running.request.wait()
        except RuntimeError:
            pass  # the reader has left; nobody wants this error
        finally:
            running.plan.free.put(running.request)

    def _record(self, running: _Running) -> None:
        with self._lock:
            if self._last_plan is not running.plan:
                self._last_plan, self._inference_count = running.plan, 0
            self._mean_us = {info.node_name: info.real_time.total_seconds() * 1e6 for info in running.request.profiling_info}
            self._inference_count += 1
            if self._inference_count == 1:
                self._first_us = self._mean_us

    def _is_pixels(self, inputs: Mapping[str, np.ndarray]) -> bool:
        return tuple(inputs) == self.input_names and inputs[self.input_names[0]].dtype == np.uint8

    def _has_free_sizes(self) -> bool:
        """Whether more than the batch is free."""
        return any(-1 in tensor.shape[1:] for tensor in self.describe_tensors()[0])

    def _fold_pixels(self) -> Any:
        """The network that takes uint8 pictures; None when it is not asked for, or is this network itself."""
        spec = self._options.pixels
        if spec is None or self.input_names != (spec.name,):
            return None
        return fold_normalisation(self._model, spec)

    def _find_plan(self, key: PlanKey) -> _Plan:
        """The plan for these shapes; compiles it when it is new. Raises: InvalidInput for shapes the graph does not state."""
        known = self._plans.get(key)  # without the lock: nobody waits while another shape is compiled
        if known is not None:
            return known
        with self._lock:
            check_open(self._model is not None)
            shapes, is_pixels = key
            if key not in self._plans:
                self._check_shapes(shapes or (), is_pixels)
                if len(self._plans) >= self._fixed_shapes:
                    key = (None, is_pixels)
            if key not in self._plans:
                self._plans[key] = self._plan(key)
            return self._plans[key]

    def _check_shapes(self, shapes: Shapes, is_pixels: bool) -> None:
        """A reshape would silently make another network of other channels or sizes, where the other engines refuse them."""
        model = self._folded if is_pixels else self._model
        for name, shape, node in zip(self.input_names, shapes, model.inputs, strict=True):
            stated = node.get_partial_shape()
            if not stated.compatible(self._openvino.PartialShape(list(shape))):
                raise InvalidInput(f"expected {name!r} of shape {stated}, got {shape}; prepare it by the Model's input spec")

    def _plan(self, key: PlanKey) -> _Plan:
        """The plan for a key: opened where it is kept, else compiled, and kept where that can be."""
        keeper, properties = self._keeper, make_properties(self._options)
        shapes, is_pixels = key
        if keeper is None or shapes is None:
            return _Plan(self._compile(key, properties))
        name = keeper.name_plan(shapes, self._options.pixels if is_pixels else None, properties, self._openvino.__version__)
        opened = keeper.open_kept(name, self._core, properties)
        if opened is not None:
            return _Plan(opened)
        if not keeper.keeps:
            return _Plan(self._compile(key, properties))
        with keeper.store.hold(name):
            opened = keeper.open_kept(name, self._core, properties)  # another thread may have made it meanwhile
            if opened is None:
                opened = self._compile(key, {**properties, **WITHOUT_WEIGHTS})
                keeper.keep(name, opened, self._core, properties)
        return _Plan(opened)

    def _compile(self, key: PlanKey, properties: dict[str, object]) -> Any:
        shapes, is_pixels = key
        model = self._folded if is_pixels else self._model
        try:
            if shapes is not None:
                model = model.clone()
                model.reshape(dict(zip(model.inputs, (list(shape) for shape in shapes), strict=True)))
            return self._core.compile_model(model, "CPU", properties)
        except RuntimeError as error:
            wanted = "any shape" if shapes is None else f"shape {shapes}"
            raise InvalidInput(f"OpenVINO cannot run inputs of {wanted}: {' '.join(str(error).split())}") from error


class OpenVinoBackend(RunsOnCpu):
    """OpenVINO's CPU plug-in."""

    name = "openvino"
    device = "cpu"
    graph_suffixes: tuple[str, ...] = (".xml", ".onnx")

    @functools.cached_property
    def precisions(self) -> tuple[Precision, ...]:
        """INT8, FP32, and BF16 where the CPU has it; elsewhere OpenVINO would quietly run FP32."""
        silence_telemetry()
        capabilities = get_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        return ("int8", "bf16", "fp32") if "BF16" in capabilities else ("int8", "fp32")

    def missing(self) -> str | None:
        """What must be installed, or None."""
        return None if importlib.util.find_spec("openvino") else "OpenVINO is not installed; pip install openvino"

    def open(self, graph: Path, options: SessionOptions) -> OpenVinoSession:
        """Open an `.xml` (with its `.bin`) or `.onnx` file. Raises: NotFound, Unsupported, InvalidInput."""
        check_openable(self, graph, options)
        return OpenVinoSession(graph, options)


@functools.cache
def get_core() -> Any:
    """The Core of this process, for any thread.

    One for all: the CPU plug-in of OpenVINO 2026.4 gives the thread that loads it a stack for signals, and when it is unloaded
    takes back the stack before it, which may be that of a plug-in unloaded earlier. Ctrl-C then killed the process.
    """
    import openvino

    return openvino.Core()


_first_use = threading.Lock()
_used = threading.Event()


def use_binding_once() -> None:
    """Walk through the binding's calls in one thread, the first time that it is needed in this process.

    Parts of the binding are made at their first use, under a lock of their own and with the interpreter's lock let go in
    between: two threads that come first at the same time wait for each other for ever. Seen when sessions were opened, or
    inferred for the first time, by two threads at once.
    """
    if _used.is_set():
        return
    with _first_use:
        if _used.is_set():
            return
        import openvino
        from openvino import opset13

        pixels = opset13.parameter([-1, 2, 2, 3], np.float32, name="pixels")
        model = openvino.Model([opset13.relu(pixels)], [pixels], "first use")
        spec = InputSpec(name="pixels", width=2, height=2, layout="NHWC")
        half = opset13.parameter([-1], openvino.Type.bf16, name="half")
        widen_bf16(openvino.Model([opset13.relu(half)], [half], "first use"))
        folded = fold_normalisation(model, spec).clone()
        folded.inputs[0].get_partial_shape().compatible(openvino.PartialShape([1, 2, 2, 3]))
        folded.reshape({folded.inputs[0]: [1, 2, 2, 3]})
        properties = make_properties(SessionOptions(threads=1, profile=True))
        core = get_core()
        exported = core.compile_model(folded, "CPU", properties).export_model().getvalue()
        request = core.import_model(exported, "CPU", properties).create_infer_request()
        picture = {"pixels": np.zeros((1, 2, 2, 3), np.uint8)}
        request.infer(picture, share_inputs=True, share_outputs=True)
        request.start_async(picture, share_inputs=True)
        request.wait()
        np.array(request.get_output_tensor(0).data)
        [info.real_time for info in request.profiling_info]
        _used.set()


def make_properties(options: SessionOptions) -> dict[str, object]:
    """OpenVINO's properties for these options; the precision hint is always set, since its default is the machine's choice."""
    return {
        "INFERENCE_PRECISION_HINT": HINTS[options.precision],
        "NUM_STREAMS": options.streams,
        "INFERENCE_NUM_THREADS": options.streams * options.threads,
        "ENABLE_CPU_PINNING": False,  # pinned processes fight for the same core when several share a machine
        "PERF_COUNT": options.profile,
    }


def fold_normalisation(model: Any, spec: InputSpec) -> Any:
    """The network with the steps from uint8 pictures `(N, H, W, C)` to its input in front; None when it has them already."""
    from openvino import Layout, Type
    from openvino.preprocess import PrePostProcessor

    node = model.inputs[0]
    if is_identity(spec) and node.element_type == Type.u8:
        return None
    steps = PrePostProcessor(model.clone())
    picture = steps.input()
    picture.tensor().set_element_type(Type.u8).set_layout(Layout("NHWC"))
    picture.model().set_layout(Layout(spec.layout))
    preprocess = picture.preprocess().convert_element_type(Type.f32)
    if spec.colour == "BGR":
        preprocess.reverse_channels()
    preprocess.mean(list(spec.mean)).scale(list(spec.std))
    if node.element_type != Type.f32:
        preprocess.convert_element_type(node.element_type)
    return steps.build()


def widen_bf16(model: Any) -> Any:
    """The network with its BF16 inputs and outputs as float32: numpy has no such type, and would read their bits as FP16."""
    from openvino import Type
    from openvino.preprocess import PrePostProcessor

    if all(node.element_type != Type.bf16 for node in (*model.inputs, *model.outputs)):
        return model
    steps = PrePostProcessor(model)
    for nodes, find_step in ((model.inputs, steps.input), (model.outputs, steps.output)):
        for index, node in enumerate(nodes):
            if node.element_type == Type.bf16:
                find_step(index).tensor().set_element_type(Type.f32)
    return steps.build()


def _describe_tensor(node: Any, name: str, kind: Any) -> TensorType:
    shape = tuple(-1 if size.is_dynamic else size.get_length() for size in node.get_partial_shape())
    return TensorType(name=name, dtype=_name_element(kind), shape=shape)


def _name_element(kind: Any) -> str:
    """Numpy's word for an element type; OpenVINO's own for one that numpy would read as another (packed, 8-bit floats)."""
    if kind.get_type_name() == "bf16":
        return "bfloat16"
    dtype = np.dtype(kind.to_dtype())
    return dtype.name if type(kind)(dtype) == kind else str(kind.get_type_name())


def find_output_name(output: Any) -> str:
    """The name the graph gives an output: a tensor may carry several, or none; the Result node tells which one was meant."""
    stated = str(output.node.friendly_name).split("/sink_port_")[0]
    return stated if stated in output.names or not output.names else str(output.any_name)


def leave_out_first(first_us: Mapping[str, float], mean_us: Mapping[str, float], count: int) -> dict[str, float]:
    """Mean times over inferences 2..count, from the first and the mean over all; the first itself when it is the only one."""
    if count == 1:
        return dict(mean_us)
    return {name: max(0.0, (mean * count - first_us.get(name, mean)) / (count - 1)) for name, mean in mean_us.items()}


def read_layer_rows(runtime_model: Any, times_us: Mapping[str, float]) -> list[LayerRow]:
    """Layer rows from the compiled model as it runs, in order of execution."""
    total = sum(times_us.values()) or 1.0
    rows = []
    for node in runtime_model.get_ordered_ops():
        facts = {
            key: _read_fact(node.rt_info, key)
            for key in ("originalLayersNames", "layerType", "primitiveType", "runtimePrecision")
        }
        if facts["layerType"] in NO_WORK:
            continue
        time_us = times_us.get(node.friendly_name, 0.0)
        rows.append(
            LayerRow(
                name=node.friendly_name,
                source_layers=tuple(name for name in facts["originalLayersNames"].split(",") if name),
                kind=facts["layerType"],
                primitive=facts["primitiveType"],
                precision=PRECISION_OF_TYPE.get(facts["runtimePrecision"], facts["runtimePrecision"]),
                time_us=time_us,
                share=time_us / total,
            )
        )
    return rows


def _read_fact(rt_info: Any, key: str) -> str:
    return str(rt_info[key].astype(str)) if key in rt_info else ""
