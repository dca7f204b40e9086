"""Who computes the logits: torch, onnxruntime or OpenVINO, chosen and opened.

An engine is a function from uint8 pixels (n, channel, row, column) to float32 logits
(n, task.n_logits). OpenVINO and onnxruntime compute a graph (`graphs.py`), torch the classifier
itself. All give the same probabilities to 1e-3 in float32, and a new graph is not trusted before it
has shown that. Both packages report their use over the network by default; here neither does. Knows
no files of images.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pellucid.errors import MissingPackage, UsageError, did_you_mean
from pellucid.images.preprocessing import Preprocessing
from pellucid.outputs import probabilities_from_logits
from pellucid.prediction import graphs
from pellucid.task import Task

if TYPE_CHECKING:
    from pellucid.bundle import Bundle

Pixels = npt.NDArray[np.uint8]
Logits = npt.NDArray[np.float32]
Compute = Callable[[Pixels], Logits]

ENGINES = ("auto", "torch", "onnxruntime", "openvino")
PRECISIONS = ("float32", "bfloat16")
TOLERANCE = 1e-3  # of a probability, between a graph and torch in float32
_GRAPH_ENGINES = {
    "bfloat16": ("openvino",),
    "float32": ("openvino", "onnxruntime"),
}  # preferred first


class OpenedModel(NamedTuple):
    """A model ready to compute: what it answers, what it wants, and who computes in what numbers.

    `precision` is what the engine really uses: a processor without bfloat16 computes in float32.
    """

    task: Task
    preprocessing: Preprocessing
    compute: Compute
    name: str
    precision: str


def open_engine(
    model: Bundle | str | os.PathLike[str], engine: str = "auto", precision: str = "float32"
) -> OpenedModel:
    """Open a bundle, or the bundle or run at a path, with the engine asked for.

    "auto" takes, for a path, OpenVINO or else onnxruntime where one is installed and can compute
    the network, and otherwise torch. The first use of a path converts its network, which takes a
    second where loading torch takes several; later ones find the graph kept and load no torch. A
    bundle in memory has torch loaded already, so "auto" computes it with torch. Raises
    `UsageError`, and `MissingPackage` for an engine that is not installed.
    """
    name = _check_asked(engine, precision)
    if not isinstance(model, str | os.PathLike):
        return _open_bundle(model, "torch" if engine == "auto" else name, precision)
    path = Path(model)
    if name != "torch" and (kept := graphs.find_kept(path)):
        try:
            return OpenedModel(
                kept.task, kept.preprocessing, *_open_graph(kept.graph, name, precision)
            )
        except UsageError:
            kept.place.unlink(missing_ok=True)  # damaged, or for another version of the engine
    bundle = _load(path)
    try:
        return _open_bundle(bundle, name, precision, keep=True)
    except UsageError:
        if engine != "auto":
            raise
        return _open_bundle(bundle, "torch", precision)


def _check_asked(engine: str, precision: str) -> str:
    """The engine to use; for "auto" the preferred one of those installed that can."""
    for what, given, known in (("engine", engine, ENGINES), ("precision", precision, PRECISIONS)):
        if given not in known:
            remedy = did_you_mean(given, list(known))
            raise UsageError(f"The {what} is {', '.join(known)}", repr(given), remedy)
    able = _GRAPH_ENGINES[precision]
    if engine == "auto":
        return next((name for name in able if find_spec(name)), "torch")
    if engine != "torch" and find_spec(engine) is None:
        remedy = 'Install it: pip install "pellucid[onnx]"'
        raise MissingPackage(f"The engine {engine} needs the package {engine}", "", remedy)
    if engine not in (*able, "torch"):
        remedy = f"Ask for {able[0]} or torch, or leave the precision out."
        raise UsageError(f"{engine} computes in float32", precision, remedy)
    return engine


def _load(path: Path) -> Bundle:
    from pellucid.bundle import load_bundle

    return load_bundle(path)


def _open_bundle(bundle: Bundle, name: str, precision: str, *, keep: bool = False) -> OpenedModel:
    """A loaded bundle in an engine; a new graph shows that it says the same before it is used."""
    task, preprocessing = bundle.task, bundle.preprocessing
    if name == "torch":
        return OpenedModel(task, preprocessing, _torch(bundle, precision), "torch", precision)
    graph = graphs.convert(bundle)
    opened = _open_graph(graph, name, "float32")
    _check_same(bundle, opened[0], name)
    if precision != "float32":
        opened = _open_graph(graph, name, precision)
    if keep:
        graphs.keep(bundle, graph)
    return OpenedModel(task, preprocessing, *opened)


def _check_same(bundle: Bundle, compute: Compute, name: str) -> None:
    """Refuse a graph that gives other probabilities than torch for three images of noise."""
    from pellucid.prediction.eager import predict_logits

    side, channels = bundle.preprocessing.image_size, bundle.preprocessing.channels
    noise = np.random.default_rng(0).integers(0, 256, (3, channels, side, side), dtype=np.uint8)
    ours, theirs = predict_logits(bundle.classifier, noise, bundle.preprocessing), compute(noise)
    for target in bundle.task.targets:
        part = bundle.task.slices()[target.name]
        pair = [probabilities_from_logits(logits[:, part], target) for logits in (ours, theirs)]
        gap = float(np.abs(pair[0] - pair[1]).max())
        if not gap <= TOLERANCE:
            reason = f"in {name} its probabilities differ by {gap:.2g}"
            raise graphs.cannot_convert(bundle.spec.name, reason)


def _open_graph(graph: bytes, name: str, precision: str) -> tuple[Compute, str, str]:
    """Function, name and precision of a graph's engine; `UsageError` where it cannot compute it."""
    try:
        opened = _openvino(graph, precision) if name == "openvino" else _onnxruntime(graph)
    except Exception as error:  # each engine raises its own kinds
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
        raise UsageError(f"{name} cannot compute this network ({reason})") from error
    compute, used = opened
    return compute, name, used


def _openvino(graph: bytes, precision: str) -> tuple[Compute, str]:
    # Its import reports itself to its makers, with an id of the user; without this package it
    # does not (openvino.tools.ovc.telemetry_utils).
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino  # type: ignore[import-untyped]  # it ships no types

    hints: dict[str, Any] = {
        # without this hint it silently takes bfloat16 where the processor has it
        "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision],
        "PERFORMANCE_HINT": "LATENCY",
    }
    # A thread that compiles gets from OpenVINO a stack for signals, whose memory is given back with
    # the model: ctrl-C in that thread would then end Python without a word. So the main thread,
    # which takes the signals, never calls it.
    thread = ThreadPoolExecutor(1, "openvino")

    def compile_here() -> Any:
        core = openvino.Core()
        return core.compile_model(core.read_model(graph), "CPU", hints)

    compiled = thread.submit(compile_here).result()
    used = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    request = thread.submit(compiled.create_infer_request).result()

    def infer(pixels: Pixels) -> Logits:
        return np.array(request.infer([np.ascontiguousarray(pixels)], share_inputs=True)[0])

    def compute(pixels: Pixels) -> Logits:
        return thread.submit(infer, pixels).result()

    return compute, "bfloat16" if used == "bf16" else "float32"


def _onnxruntime(graph: bytes) -> tuple[Compute, str]:
    # Its import writes an id of the user and reports to its makers unless told so (Privacy.md).
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime  # type: ignore[import-untyped]  # it ships no types

    options = onnxruntime.SessionOptions()
    # waiting threads that spin would take the processor from those that decode the next batch
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def compute(pixels: Pixels) -> Logits:
        return np.asarray(session.run([graphs.LOGITS], {graphs.PIXELS: pixels})[0])

    return compute, "float32"


def _torch(bundle: Bundle, precision: str) -> Compute:
    """The classifier itself, a copy with its weights laid out as they are used."""
    from copy import deepcopy

    import torch

    from pellucid.prediction.eager import bfloat16_logits, predict_logits

    classifier = deepcopy(bundle.classifier).eval().to(memory_format=torch.channels_last)
    preprocessing = bundle.preprocessing
    if precision == "float32":
        return lambda pixels: predict_logits(classifier, pixels, preprocessing)
    for module in classifier.backbone.modules():
        if type(module) is torch.nn.Conv2d:
            module.to(torch.bfloat16)  # else autocast would do it again for every batch
    return lambda pixels: bfloat16_logits(classifier, pixels, preprocessing)
