"""predict(model, images) → Predictions: from files or pixels to logits and probabilities.

    files.py     images → the table, in batches that are decoded ahead
    streaming.py any number of images → a file, to be gone on with after a stop
    listing.py   which images: files, folders, a manifest, standard input
    decoding.py  images read on worker threads while the network computes
    engines.py   who computes the logits: torch, onnxruntime or OpenVINO, chosen and opened
    decisions.py probabilities → a class called at an operating point, and the classes in question
    class_map.py where the last feature map speaks for a class, without torch
    eager.py     logits, maps and pooled features by torch, from pixels in memory
    tables.py    logits → the predictions table

Stands on the bundle alone; the training code is not needed. It does not judge: that is
`evaluation`, which needs only the table that this room writes. Names load on first use, so that a
bundle's graph answers without loading torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pellucid.prediction.eager import images_at_once, predict_logits, predict_pooled
    from pellucid.prediction.files import predict
    from pellucid.prediction.tables import tabulate_unlabelled

__all__ = [
    "images_at_once",
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
    "tabulate_unlabelled": "tables",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'pellucid.prediction' has no attribute {name!r}")
    value = getattr(import_module(f"pellucid.prediction.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
