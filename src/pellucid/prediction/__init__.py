"""predict(model, images) → Predictions: from files or pixels to logits and probabilities.

    files.py     image files or folders → the table, in batches that are decoded ahead
    decoding.py  files read on worker threads while the network computes
    engines.py   who computes the logits: torch, onnxruntime or OpenVINO, chosen and opened
    graphs.py    a classifier as an ONNX graph, converted once and kept
    eager.py     logits and pooled features by torch, from pixels in memory
    tables.py    logits → the predictions table

Stands on the bundle alone; the training code is not needed. It does not judge: that is
`evaluation`, which needs only the table that this room writes. Names load on first use, so that a
kept graph answers without loading torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pellucid.prediction.eager import images_at_once, predict_logits, predict_pooled
    from pellucid.prediction.files import list_image_files, predict
    from pellucid.prediction.tables import tabulate_unlabelled

__all__ = [
    "images_at_once",
    "list_image_files",
    "predict",
    "predict_logits",
    "predict_pooled",
    "tabulate_unlabelled",
]

_HOMES = {
    "images_at_once": "eager",
    "predict_logits": "eager",
    "predict_pooled": "eager",
    "predict": "files",
    "list_image_files": "files",
    "tabulate_unlabelled": "tables",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'pellucid.prediction' has no attribute {name!r}")
    value = getattr(import_module(f"pellucid.prediction.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
