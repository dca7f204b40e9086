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
from contextlib import suppress
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

    `card` is the bundle's. `precision` is what the engine really uses: a processor without bfloat16
    computes in float32.
    """

    task: Task
    preprocessing: Preprocessing
    card: dict[str, Any]
    compute: Compute
    name: str
    precision: str


def open_engine(
    model: Bundle | str | os.PathLike[str], engine: str = "auto", precision: str = "float32"
) -> OpenedModel:
    """Open a bundle, or the bundle or run at a path, with the engine asked for.

    "auto" takes, for a path, the first of OpenVINO, onnxruntime and torch that is installed and can
    compute the network. The first use of a path converts its network, which takes a second where
    loading torch takes several; later ones find the graph kept and load no torch. A bundle in
    memory has torch loaded already, so "auto" computes it with torch. Raises `UsageError`, and
    `MissingPackage` for an engine that is not installed.
    """
    names = _engines_for(engine, precision)
    if not isinstance(model, str | os.PathLike):
        return _open_bundle(model, names[-1], precision)
    path = Path(model)
    for name in names:
        if opened := _open_kept(path, name, precision):
            return opened
    bundle = _load(path)
    for name in names[:-1]:
        with suppress(UsageError):
            return _open_bundle(bundle, name, precision, keep=True)
    return _open_bundle(bundle, names[-1], precision, keep=True)


def _engines_for(engine: str, precision: str) -> list[str]:
    """The engine asked for; for "auto" all that are installed and can, preferred first."""
    for what, given, known in (("engine", engine, ENGINES), ("precision", precision, PRECISIONS)):
        if given not in known:
            remedy = did_you_mean(given, list(known))
            raise UsageError(f"The {what} is {', '.join(known)}", repr(given), remedy)
    able = _GRAPH_ENGINES[precision]
    if engine == "auto":
        return [*(name for name in able if find_spec(name)), "torch"]
    if engine != "torch" and find_spec(engine) is None:
        remedy = 'Install it: pip install "pellucid[onnx]"'
        raise MissingPackage(f"The engine {engine} needs the package {engine}", "", remedy)
    if engine not in (*able, "torch"):
        remedy = f"Ask for {able[0]} or torch, or leave the precision out."
        raise UsageError(f"{engine} computes in float32", precision, remedy)
    return [engine]


def _open_kept(path: Path, name: str, precision: str) -> OpenedModel | None:
    """The graph that was kept of this bundle for an engine; one that it cannot open is dropped."""
    kept = None if name == "torch" else graphs.find_kept(path, name)
    if kept is None:
        return None
    try:
        opened = _open_graph(kept.graph, name, precision)
    except UsageError:
        with suppress(OSError):  # a cache that cannot be written
            kept.place.unlink()
        return None
    return OpenedModel(kept.task, kept.preprocessing, kept.card, *opened)


def _load(path: Path) -> Bundle:
    from pellucid.bundle import load_bundle

    return load_bundle(path)


def _open_bundle(bundle: Bundle, name: str, precision: str, *, keep: bool = False) -> OpenedModel:
    """A loaded bundle in an engine; a new graph shows that it says the same before it is used."""
    parts = bundle.task, bundle.preprocessing, bundle.card
    if name == "torch":
        return OpenedModel(*parts, _torch(bundle, precision), "torch", precision)
    graph = graphs.convert(bundle)
    opened = _open_graph(graph, name, "float32")
    _check_same(bundle, opened[0], name)
    if precision != "float32":
        opened = _open_graph(graph, name, precision)
    if keep:
        graphs.keep(bundle, name, graph)
    return OpenedModel(*parts, *opened)


def _check_same(bundle: Bundle, compute: Compute, name: str) -> None:
    """Refuse a graph that gives other probabilities than torch for three images of noise."""
    from pellucid.prediction.eager import predict_logits

    side, channels = bundle.preprocessing.image_size, bundle.preprocessing.channels
    noise = np.random.default_rng(0).integers(0, 256, (3, channels, side, side), dtype=np.uint8)
    ours = predict_logits(bundle.classifier, noise, bundle.preprocessing)
    try:
        theirs = compute(noise)
    except Exception as error:  # each engine raises its own kinds
        raise graphs.cannot_convert(bundle.spec.name, graphs.reason_of(error)) from error
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
        reason = graphs.reason_of(error)
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

    def compile_here() -> tuple[Any, str]:
        core = openvino.Core()
        compiled = core.compile_model(core.read_model(graph), "CPU", hints)
        used = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        return compiled.create_infer_request(), str(used)

    request, used = thread.submit(compile_here).result()

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

    from pellucid.prediction.eager import in_bfloat16, predict_logits

    classifier = deepcopy(bundle.classifier).eval().to(memory_format=torch.channels_last)
    preprocessing = bundle.preprocessing
    if precision == "float32":
        return lambda pixels: predict_logits(classifier, pixels, preprocessing)
    for module in classifier.backbone.modules():
        if type(module) is torch.nn.Conv2d:
            module.to(torch.bfloat16)  # else autocast would do it again for every batch
    forward = in_bfloat16(classifier)
    return lambda pixels: predict_logits(classifier, pixels, preprocessing, forward=forward)
