"""The trained artefact: everything needed to use a classifier, and nothing that can run code.

    bundle/
      card.json            task, network, preprocessing, thresholds, training, evaluation, digests
      weights.safetensors  the best epoch's weights
      model.onnx           the network as a graph, for machines without torch
      guard.safetensors    what the training images have in common, to know others by
      trained_on.json      keyed fingerprints of the patients it has seen; an exported one has none

    artefact.py   Bundle, load_bundle, save_bundle: the classifier by torch
    files.py      a folder or a .zip: names known, sizes bounded, every digest checked
    card.py       what a card says, and what a run says for it
    graph.py      the network as an ONNX graph
    trained_on.py whom the model was trained on, as fingerprints
    guard.py      whether an image is like those of training

There is no pickle, no picture, no patient and no path of the training machine in it. The room knows
how to rebuild a network; it does not know how it was trained. Names load on first use, so that a
graph is used without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pellucid.bundle.artefact import Bundle, load_bundle, save_bundle

__all__ = ["Bundle", "load_bundle", "save_bundle"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'pellucid.bundle' has no attribute {name!r}")
    value = getattr(import_module("pellucid.bundle.artefact"), name)
    globals()[name] = value
    return value
