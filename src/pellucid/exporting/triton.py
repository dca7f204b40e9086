"""The folder that NVIDIA Triton serves a model from.

    REPOSITORY/NAME/config.pbtxt   inputs, outputs, batching
    REPOSITORY/NAME/labels_1.txt   the classes of each target, a line each
    REPOSITORY/NAME/1/model.onnx   version 1 of the model, preprocessing inside

Source: Triton's "Model Repository" and "Model Configuration" documents.
"""

from __future__ import annotations

import re
from pathlib import Path

from pellucid.bundle import Bundle
from pellucid.errors import UsageError
from pellucid.exporting.runtimes import IMAGES, LOGITS, output_names
from pellucid.storage import write_bytes, write_text

MOST_IMAGES = 32


def check_name(folder: Path) -> None:
    """Raise `UsageError` for a folder whose name no model can have."""
    if not re.fullmatch(r"[\w.-]+", folder.name, re.ASCII):
        rule = "Triton calls a model after its folder: letters, digits, dot, dash and underscore"
        raise UsageError(rule, repr(folder.name), "Choose another --out.")


def write_repository(bundle: Bundle, graph: bytes, folder: Path) -> Path:
    """Write a model's folder; its name is the folder's own."""
    for number, target in enumerate(bundle.task.targets, start=1):
        lines = [" ".join(name.split()) for name in target.classes]
        write_text(folder / f"labels_{number}.txt", "\n".join(lines) + "\n")
    write_text(folder / "config.pbtxt", _config(bundle, folder.name))
    write_bytes(folder / "1" / "model.onnx", graph)
    return folder


def _config(bundle: Bundle, name: str) -> str:
    outputs = [_output(LOGITS, bundle.task.n_logits)]
    for number, (target, output) in enumerate(
        zip(bundle.task.targets, output_names(bundle), strict=True), start=1
    ):
        outputs.append(_output(output, len(target.classes), f"labels_{number}.txt"))
    joined = ",\n".join(outputs)
    return (
        f'name: "{name}"\n'
        'platform: "onnxruntime_onnx"\n'
        f"max_batch_size: {MOST_IMAGES}\n"
        "input [\n"
        f'  {{ name: "{IMAGES}" data_type: TYPE_FP32 dims: [ -1, -1, -1 ] }}\n'
        "]\n"
        f"output [\n{joined}\n]\n"
        "dynamic_batching { max_queue_delay_microseconds: 500 }\n"
    )


def _output(name: str, n: int, labels: str = "") -> str:
    written = f' label_filename: "{labels}"' if labels else ""
    return f'  {{ name: "{name}" data_type: TYPE_FP32 dims: [ {n} ]{written} }}'
