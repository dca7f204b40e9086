"""A classifier by torch with what belongs to it, as it is kept in a bundle and loaded from one.

Loading checks every digest, and that every tensor fits the network that the card describes.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from pellucid.bundle import files
from pellucid.bundle.card import read_card
from pellucid.bundle.files import BundleFiles, open_files
from pellucid.bundle.graph import probe, to_graph
from pellucid.bundle.guard import Guard
from pellucid.errors import BundleError, MissingPackage, PellucidError, UsageError
from pellucid.images.preprocessing import Preprocessing
from pellucid.network.classifier import Classifier, NetworkSpec, build_classifier
from pellucid.storage import write_bytes, write_json
from pellucid.task import Task


@dataclass(frozen=True)
class Bundle:
    """A classifier in evaluation mode with what belongs to it.

    `card` holds the facts as JSON: "evaluation", "training", "versions", "dataset" and more.
    `guard` tells images that are unlike those of training; None where nothing is known of them.
    """

    classifier: Classifier
    spec: NetworkSpec
    task: Task
    preprocessing: Preprocessing
    card: dict[str, Any]
    guard: Guard | None = None


def save_bundle(folder: Path, bundle: Bundle) -> Path:
    """Write a bundle folder; the card is written last, so that a half-written bundle has none.

    A network that cannot become a graph is kept without one, and the card says why.
    """
    (folder / files.CARD).unlink(missing_ok=True)
    state = {name: value.contiguous() for name, value in bundle.classifier.state_dict().items()}
    parts = {files.WEIGHTS: save(state)}
    try:
        parts[files.GRAPH] = to_graph(bundle.classifier, bundle.preprocessing)
        about = {"file": files.GRAPH}
    except UsageError as error:
        about = {"reason": str(error)}
    if bundle.guard is not None:
        parts[files.GUARD] = bundle.guard.to_bytes()
    for name, data in parts.items():
        write_bytes(folder / name, data)
    for name in (files.GRAPH, files.GUARD):
        if name not in parts:
            (folder / name).unlink(missing_ok=True)
    card = {
        **bundle.card,
        "format": files.FORMAT,
        "version": files.VERSION,
        "task": bundle.task.model_dump(mode="json"),
        "network": bundle.spec.model_dump(mode="json"),
        "preprocessing": bundle.preprocessing.model_dump(mode="json"),
        "graph": about,
        "probe": probe(bundle.classifier, bundle.preprocessing),
        "guard": None if bundle.guard is None else bundle.guard.facts,
        "files": files.describe_files(parts),
    }
    write_json(folder / files.CARD, files.sign(card))
    return folder


def load_bundle(path: str | os.PathLike[str]) -> Bundle:
    """Read a bundle folder, a bundle's .zip, or the bundle of a run folder.

    Raises `BundleError` when it is no bundle, damaged, changed since it was written, or made by a
    newer Pellucid. Nothing in it is executed.
    """
    return load_from(open_files(path))


def load_from(opened: BundleFiles) -> Bundle:
    """`load_bundle` for files whose card has been read."""
    opened.check(but=(files.WEIGHTS, files.GUARD))
    card, weights = opened.card, opened.read(files.WEIGHTS)
    task, preprocessing = read_card(opened)
    try:
        spec = NetworkSpec.model_validate(card["network"])
        _check_size(spec, task, weights)
        classifier = build_classifier(spec, task)
        classifier.load_state_dict(load(weights))
    except (BundleError, MissingPackage):
        raise
    except (PellucidError, KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise BundleError(f"The bundle {opened.place} is damaged ({reason})") from error
    guard = Guard.load(opened) if opened.has(files.GUARD) else None
    return Bundle(classifier.eval(), spec, task, preprocessing, card, guard)


def _check_size(spec: NetworkSpec, task: Task, weights: bytes) -> None:
    """Raise `BundleError` before memory is taken for a network that the weights cannot be of."""
    with torch.device("meta"):
        alone = build_classifier(spec.model_copy(update={"members": 1}), task)
    of_one = sum(p.numel() for p in alone.parameters()) - task.n_logits  # biases are shared
    if 4 * spec.members * of_one > len(weights):
        found = f"{spec.members} × {spec.name} in {len(weights):,} bytes"
        raise BundleError("The weights are too few for the network of the card", found)
