"""Who computes the logits: torch, onnxruntime or OpenVINO, chosen and opened.

An engine is a function from uint8 pixels (n, channel, row, column) to float32 logits
(n, task.n_logits). OpenVINO and onnxruntime compute the bundle's graph, torch the classifier
itself. All give the same probabilities to 1e-3 in float32, and a graph is not trusted before it
has answered the card's images of noise as torch did. Both packages report their use over the
network by default; here neither does. Knows no files of images.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pellucid.bundle import files
from pellucid.bundle.card import read_card
from pellucid.bundle.files import BundleFiles, digest_of, open_files
from pellucid.bundle.graph import (
    LOGITS,
    MAPS,
    PIXELS,
    cannot_convert,
    probe,
    probe_pixels,
    reason_of,
    to_graph,
)
from pellucid.bundle.guard import Guard
from pellucid.errors import BundleError, MissingPackage, UsageError, did_you_mean
from pellucid.images.preprocessing import Preprocessing
from pellucid.task import Task

if TYPE_CHECKING:
    from pellucid.bundle import Bundle

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Compute = Callable[[Pixels], Floats]
ComputeMaps = Callable[[Pixels], tuple[Floats, Floats]]

ENGINES = ("auto", "torch", "onnxruntime", "openvino")
PRECISIONS = ("float32", "bfloat16")
TOLERANCE = 1e-3  # of the largest logit, or of 1, between a graph and torch in float32
_GRAPH_ENGINES = {
    "bfloat16": ("openvino",),
    "float32": ("openvino", "onnxruntime"),
}  # preferred first


class Engine(NamedTuple):
    """Functions from pixels to logits, and to logits with the feature map before pooling.

    `precision` is what is really used: a processor without bfloat16 computes in float32.
    """

    compute: Compute
    compute_maps: ComputeMaps
    name: str
    precision: str


class OpenedModel(NamedTuple):
    """A model ready to compute: what it answers, what it wants, who computes, what is like it.

    `card` is the bundle's, `source` the bundle in memory or its files.
    """

    task: Task
    preprocessing: Preprocessing
    card: dict[str, Any]
    guard: Guard | None
    source: Bundle | BundleFiles
    engine: Engine

    @property
    def compute(self) -> Compute:
        """From uint8 pixels (n, channel, row, column) to logits (n, task.n_logits)."""
        return self.engine.compute

    @property
    def digest(self) -> str:
        """The model's name; of one in memory, of its card."""
        source = self.source
        return source.digest if isinstance(source, BundleFiles) else digest_of(self.card)

    @property
    def name(self) -> str:
        """Who computes."""
        return self.engine.name

    @property
    def precision(self) -> str:
        """In what numbers."""
        return self.engine.precision


def open_engine(
    model: Bundle | str | os.PathLike[str], engine: str = "auto", precision: str = "float32"
) -> OpenedModel:
    """Open a bundle, or the bundle or run at a path, with the engine asked for.

    "auto" takes, for a path, the first of OpenVINO, onnxruntime and torch that is installed and can
    compute the network: a bundle holds its graph, so that none of it loads torch. A bundle in
    memory has torch loaded already, so "auto" computes it with torch. Raises `UsageError`,
    `BundleError`, and `MissingPackage` for an engine that is not installed.
    """
    names = _engines_for(engine, precision)
    if not isinstance(model, str | os.PathLike):
        return _open_bundle(model, names[-1], precision)
    opened = open_files(model)
    parts = *read_card(opened), opened.card
    guard = Guard.load(opened) if opened.has(files.GUARD) else None
    refused: UsageError | None = None
    able = [name for name in names if name != "torch"] if opened.has(files.GRAPH) else []
    if able:
        opened.check(but=(files.GRAPH, files.GUARD))
    graph = opened.read(files.GRAPH) if able else b""
    for name in able:
        try:
            return OpenedModel(*parts, guard, opened, _open_graph(graph, name, parts, precision))
        except UsageError as error:
            refused = error
    if refused is not None and names[-1] != "torch":
        raise refused
    if find_spec("torch") is None:
        raise refused or _needs_an_engine(opened)
    return _open_bundle(_load(opened), names[-1], precision)


def _engines_for(engine: str, precision: str) -> list[str]:
    """The engine asked for; for "auto" all that are installed and can, preferred first."""
    for what, given, known in (("engine", engine, ENGINES), ("precision", precision, PRECISIONS)):
        if given not in known:
            remedy = did_you_mean(given, list(known))
            raise UsageError(f"The {what} is {', '.join(known)}", repr(given), remedy)
    able = _GRAPH_ENGINES[precision]
    if engine == "auto":
        return [*(name for name in able if find_spec(name)), "torch"]
    if find_spec(engine) is None:
        extra = "train" if engine == "torch" else "onnx"
        remedy = f'Install it: pip install "pellucid[{extra}]"'
        raise MissingPackage(f"The engine {engine} needs the package {engine}", "", remedy)
    if engine not in (*able, "torch"):
        remedy = f"Ask for {able[0]} or torch, or leave the precision out."
        raise UsageError(f"{engine} computes in float32", precision, remedy)
    return [engine]


def _needs_an_engine(opened: BundleFiles) -> MissingPackage:
    """Why a model cannot be computed here."""
    if opened.has(files.GRAPH):
        rule = "A model is computed by onnxruntime, OpenVINO or torch; none of them is installed"
        return MissingPackage(rule, remedy='Install one: pip install "pellucid[serve]"')
    rule = f"The bundle {opened.place} holds no graph, so only torch can compute it"
    return MissingPackage(rule, remedy='Install it: pip install "pellucid[train]"')


def _load(opened: BundleFiles) -> Bundle:
    from pellucid.bundle.artefact import load_from

    return load_from(opened)


def _open_bundle(bundle: Bundle, name: str, precision: str) -> OpenedModel:
    """A bundle by torch, or its network as a graph that is made now."""
    parts = bundle.task, bundle.preprocessing, bundle.card
    if name == "torch":
        computed = _torch(bundle, precision)
    else:
        graph = to_graph(bundle.classifier, bundle.preprocessing)
        card = {**bundle.card, "probe": probe(bundle.classifier, bundle.preprocessing)}
        computed = _open_graph(graph, name, (*parts[:2], card), precision)
    return OpenedModel(*parts, bundle.guard, bundle, computed)


def _open_graph(
    graph: bytes,
    name: str,
    parts: tuple[Task, Preprocessing, dict[str, Any]],
    precision: str,
) -> Engine:
    """A graph's engine once it has shown in float32 that it answers as torch did.

    Raises `UsageError` where the engine cannot compute it, or computes something else.
    """
    task, preprocessing, card = parts
    make = _openvino if name == "openvino" else _onnxruntime
    network = (card.get("network") or {}).get("name", "network")  # a card in memory may have none
    try:
        computed = Engine(*make(graph, "float32"))
        answered = computed.compute(probe_pixels(preprocessing))
        _check_same(task, card, answered, name, network)
        return computed if precision == "float32" else Engine(*make(graph, precision))
    except (UsageError, BundleError):
        raise
    except Exception as error:  # each engine raises its own kinds
        reason = reason_of(error)
        raise UsageError(f"{name} cannot compute this network ({reason})") from error


def _check_same(
    task: Task, card: dict[str, Any], answered: Floats, name: str, network: str
) -> None:
    """Refuse a graph that gives other logits than torch gave for the images of noise."""
    try:
        expected = np.array(card["probe"]["logits"], dtype=np.float32)
        expected = expected.reshape(len(answered), task.n_logits)
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError("A card with a graph tells what it answers for its probe") from error
    gap = float(np.abs(answered - expected).max())
    if not gap <= TOLERANCE * max(1.0, float(np.abs(expected).max())):
        raise cannot_convert(network, f"in {name} its logits differ by {gap:.2g}")


def _openvino(graph: bytes, precision: str) -> tuple[Compute, ComputeMaps, str, str]:
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
    requests: dict[tuple[str, ...], Any] = {}

    def compile_for(wanted: tuple[str, ...]) -> str:
        core = openvino.Core()
        whole = core.read_model(graph)
        # an output that nobody wants would keep its layer from being fused with the next
        model = openvino.Model([whole.output(name) for name in wanted], whole.get_parameters())
        compiled = core.compile_model(model, "CPU", hints)
        requests[wanted] = compiled.create_infer_request()
        return str(compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name())

    def infer(pixels: Pixels, wanted: tuple[str, ...]) -> list[Floats]:
        if wanted not in requests:
            compile_for(wanted)
        found = requests[wanted].infer([np.ascontiguousarray(pixels)], share_inputs=True)
        return [np.array(found[number]) for number in range(len(wanted))]

    def compute(pixels: Pixels) -> Floats:
        return thread.submit(infer, pixels, (LOGITS,)).result()[0]

    def compute_maps(pixels: Pixels) -> tuple[Floats, Floats]:
        logits, maps = thread.submit(infer, pixels, (LOGITS, MAPS)).result()
        return logits, maps

    used = thread.submit(compile_for, (LOGITS,)).result()
    return compute, compute_maps, "openvino", "bfloat16" if used == "bf16" else "float32"


def _onnxruntime(graph: bytes, precision: str) -> tuple[Compute, ComputeMaps, str, str]:
    # Its import writes an id of the user and reports to its makers unless told so (Privacy.md).
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime  # type: ignore[import-untyped]  # it ships no types

    options = onnxruntime.SessionOptions()
    # waiting threads that spin would take the processor from those that decode the next batch
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def compute(pixels: Pixels) -> Floats:
        return np.asarray(session.run([LOGITS], {PIXELS: pixels})[0])

    def compute_maps(pixels: Pixels) -> tuple[Floats, Floats]:
        logits, maps = session.run([LOGITS, MAPS], {PIXELS: pixels})
        return np.asarray(logits), np.asarray(maps)

    return compute, compute_maps, "onnxruntime", precision


def _torch(bundle: Bundle, precision: str) -> Engine:
    """The classifier itself, a copy with its weights laid out as they are used.

    Maps are computed by another copy, so that no hook on the bundle's own sees these images.
    """
    from copy import deepcopy

    import torch

    from pellucid.prediction.eager import in_bfloat16, predict_logits, predict_maps

    whole = deepcopy(bundle.classifier).eval()
    classifier = deepcopy(bundle.classifier).eval().to(memory_format=torch.channels_last)
    preprocessing = bundle.preprocessing
    forward = None
    if precision != "float32":
        for module in classifier.backbone.modules():
            if type(module) is torch.nn.Conv2d:
                module.to(torch.bfloat16)  # else autocast would do it again for every batch
        forward = in_bfloat16(classifier)

    def compute(pixels: Pixels) -> Floats:
        return predict_logits(classifier, pixels, preprocessing, forward=forward)

    def compute_maps(pixels: Pixels) -> tuple[Floats, Floats]:
        return predict_maps(whole, pixels, preprocessing)

    return Engine(compute, compute_maps, "torch", precision)
