"""A classifier from raw pixels to calibrated probabilities, as ONNX and by torch.export.

Both take `images`, float32 (n, 1 or 3, row, column) in [0, 1], of any number and size, and give
`logits` and the probabilities of each target: `probabilities`, or `probabilities_1` … where there
are several targets.
"""

from __future__ import annotations

import io
import json
import os
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from pellucid.bundle import Bundle
from pellucid.bundle.graph import cannot_convert, reason_of
from pellucid.errors import MissingPackage
from pellucid.exporting.parity import Pixels, Probabilities
from pellucid.exporting.raw_pixels import FromRawPixels
from pellucid.network.classifier import evaluating

IMAGES, LOGITS = "images", "logits"
_TELLING = ("stack_trace", "nn_module_stack", "source_fn_stack", "torch_fn")
_MOST = 2**20  # rows or columns, for torch.export, which wants bounds


def output_names(bundle: Bundle) -> list[str]:
    """The names of the probabilities, target by target."""
    n = len(bundle.task.targets)
    return ["probabilities"] if n == 1 else [f"probabilities_{k}" for k in range(1, n + 1)]


def to_onnx(bundle: Bundle, about: dict[str, Any]) -> bytes:
    """The model as ONNX; `about` is written into it as metadata, a JSON text by key.

    Raises `UsageError` for a network that cannot be traced, `MissingPackage` without onnx.
    """
    try:
        import onnx
    except ImportError as error:
        remedy = 'Install it: pip install "pellucid[onnx]"'
        raise MissingPackage("Exporting needs the package onnx", "", remedy) from error
    module = FromRawPixels(bundle.classifier, bundle.preprocessing).eval()
    names, file = [LOGITS, *output_names(bundle)], io.BytesIO()
    axes = {name: {0: "n"} for name in names}
    try:
        with warnings.catch_warnings(), evaluating(bundle.classifier):
            warnings.simplefilter("ignore")  # advice about the exporter, not about this network
            torch.onnx.export(
                module,
                (_example(bundle),),
                file,  # type: ignore[arg-type]  # the tracing exporter also writes to memory
                dynamo=False,
                input_names=[IMAGES],
                output_names=names,
                dynamic_axes={IMAGES: {0: "n", 1: "channels", 2: "rows", 3: "columns"}, **axes},
            )
    except Exception as error:  # the exporter raises whatever a network's own code does
        raise cannot_convert(bundle.spec.name, reason_of(error)) from error
    graph = onnx.load_model_from_string(file.getvalue())
    for key, value in about.items():
        entry = graph.metadata_props.add()
        entry.key, entry.value = key, value if isinstance(value, str) else json.dumps(value)
    whole: bytes = graph.SerializeToString()
    return whole


def ask_onnx(graph: bytes, bundle: Bundle) -> Callable[[Pixels], Probabilities]:
    """A function from pixels (channel, row, column) to what the graph says, by onnxruntime."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # see prediction.engines
    try:
        import onnxruntime  # type: ignore[import-untyped]  # it ships no types
    except ImportError as error:
        remedy = 'Install it: pip install "pellucid[onnx]"'
        rule = "An exported graph is checked by the package onnxruntime"
        raise MissingPackage(rule, "", remedy) from error
    names = output_names(bundle)
    try:
        session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises its own kinds
        raise cannot_convert(bundle.spec.name, reason_of(error)) from error

    def answer(pixels: Pixels) -> Probabilities:
        try:
            found = session.run(names, {IMAGES: pixels[np.newaxis]})
        except Exception as error:
            raise cannot_convert(bundle.spec.name, reason_of(error)) from error
        return [np.asarray(one, dtype=np.float64) for one in found]

    return answer


def to_torch(bundle: Bundle) -> torch.export.ExportedProgram:
    """The model by torch.export, for any number of images of any size."""
    dim = torch.export.Dim
    module = FromRawPixels(bundle.classifier, bundle.preprocessing).eval()
    sizes = {
        0: dim("n", min=1),
        2: dim("rows", min=2, max=_MOST),
        3: dim("columns", min=2, max=_MOST),
    }
    try:
        with torch.no_grad(), evaluating(bundle.classifier):
            return torch.export.export(module, (_example(bundle),), dynamic_shapes=(sizes,))
    except Exception as error:  # the exporter raises whatever a network's own code does
        raise cannot_convert(bundle.spec.name, reason_of(error)) from error


def torch_bytes(program: torch.export.ExportedProgram, about: dict[str, Any]) -> bytes:
    """The program as a .pt2 file has it, with `about` in its `pellucid.json`.

    What torch notes of where each step was written goes: it names folders of this machine.
    """
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, torch.fx.GraphModule) else ():
            for told in _TELLING:
                node.meta.pop(told, None)
    file = io.BytesIO()
    torch.export.save(program, file, extra_files={"pellucid.json": json.dumps(about)})
    return file.getvalue()


def ask_torch(program: torch.export.ExportedProgram) -> Callable[[Pixels], Probabilities]:
    """A function from pixels (channel, row, column) to what the exported program says."""
    module = program.module()

    def answer(pixels: Pixels) -> Probabilities:
        colour = np.broadcast_to(pixels, (3, *pixels.shape[1:]))
        with torch.inference_mode():
            found = module(torch.from_numpy(np.array(colour))[np.newaxis])
        return [one.double().numpy() for one in found[1:]]

    return answer


def _example(bundle: Bundle) -> torch.Tensor:
    """Two images of a size that nothing else has, so that no dimension is taken for another."""
    side = bundle.preprocessing.image_size
    return torch.rand((2, 3, side + 37, 2 * side + 11), generator=torch.Generator().manual_seed(0))
