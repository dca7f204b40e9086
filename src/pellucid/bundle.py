"""The trained artefact: everything needed to use a classifier, and nothing that can run code.

    bundle/
      card.json            task, network, preprocessing, training facts, evaluation, versions
      weights.safetensors  the best epoch's weights

Loading checks the digest of the weights and that every tensor fits the network that the card
describes. There is no pickle, no picture, no patient and no path of the training machine in it.
This module knows how to rebuild the network; it does not know how it was trained.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from pellucid.errors import BundleError, PellucidError
from pellucid.images.preprocessing import Preprocessing
from pellucid.network.classifier import Classifier, NetworkSpec, build_classifier
from pellucid.task import Task

FORMAT = "pellucid-bundle"
VERSION = 1
_MAX_CARD_BYTES = 16 * 2**20


@dataclass(frozen=True)
class Bundle:
    """A classifier in evaluation mode with what belongs to it.

    `card` holds the facts as JSON: "evaluation", "training", "versions", "dataset".
    """

    classifier: Classifier
    spec: NetworkSpec
    task: Task
    preprocessing: Preprocessing
    card: dict[str, Any]


def save_bundle(folder: Path, bundle: Bundle) -> Path:
    """Write a bundle folder; the card is written last, so that a half-written bundle has none."""
    folder.mkdir(parents=True, exist_ok=True)
    card_path, weights_path = folder / "card.json", folder / "weights.safetensors"
    card_path.unlink(missing_ok=True)
    state = {name: value.contiguous() for name, value in bundle.classifier.state_dict().items()}
    save_file(state, weights_path)
    card = {
        **bundle.card,
        "format": FORMAT,
        "version": VERSION,
        "task": bundle.task.model_dump(mode="json"),
        "network": bundle.spec.model_dump(mode="json"),
        "preprocessing": bundle.preprocessing.model_dump(mode="json"),
        "weights_sha256": _sha256(weights_path),
    }
    temporary = card_path.with_suffix(".tmp")
    temporary.write_text(json.dumps(card, indent=1, ensure_ascii=False), encoding="utf-8")
    temporary.replace(card_path)
    return folder


def load_bundle(path: str | os.PathLike[str]) -> Bundle:
    """Read a bundle folder, or the bundle of a run folder.

    Raises `BundleError` when it is no bundle, damaged, changed since it was written, or made by a
    newer Pellucid. Nothing in the folder is executed.
    """
    folder = _bundle_folder(Path(path))
    card = _read_card(folder / "card.json")
    weights_path = folder / "weights.safetensors"
    if not weights_path.is_file():
        raise BundleError(f"The bundle {folder} has no weights.safetensors")
    if _sha256(weights_path) != card.get("weights_sha256"):
        raise BundleError(
            f"The weights of the bundle {folder} differ from the digest in its card",
            remedy="The file was damaged or changed; copy the bundle again.",
        )
    try:
        task = Task.model_validate(card["task"])
        spec = NetworkSpec.model_validate(card["network"])
        preprocessing = Preprocessing.model_validate(card["preprocessing"])
        _check_size(spec, task, weights_path)
        classifier = build_classifier(spec, task)
        classifier.load_state_dict(load_file(weights_path))
    except PellucidError:
        raise
    except (KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0]
        raise BundleError(f"The bundle {folder} is damaged ({reason})") from error
    return Bundle(classifier.eval(), spec, task, preprocessing, card)


def _check_size(spec: NetworkSpec, task: Task, weights_path: Path) -> None:
    """Raise `BundleError` before memory is taken for a network that the weights cannot be of."""
    if spec.members > 1:
        with torch.device("meta"):
            alone = build_classifier(spec.model_copy(update={"members": 1}), task)
        backbone = sum(p.numel() for p in alone.backbone.parameters())
        if 4 * spec.members * backbone > weights_path.stat().st_size:
            found = f"{spec.members} networks in {weights_path.stat().st_size:,} bytes"
            raise BundleError("The weights are too few for the network of the card", found)


def _bundle_folder(path: Path) -> Path:
    for folder in (path, path / "bundle"):
        if (folder / "card.json").is_file():
            return folder
    if not path.exists():
        raise BundleError(f"There is no model at {path}", remedy="Give a bundle or a run folder.")
    raise BundleError(
        f"{path} is neither a bundle nor a finished run: it holds no card.json",
        remedy="If a run was interrupted, finish it with `pellucid train … --resume`.",
    )


def _read_card(path: Path) -> dict[str, Any]:
    if path.stat().st_size > _MAX_CARD_BYTES:
        raise BundleError(f"{path} is larger than a card can be")
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise BundleError(f"{path} is not a readable card", type(error).__name__) from error
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise BundleError(f"{path} is not the card of a Pellucid bundle")
    version = card.get("version")
    if not isinstance(version, int) or version > VERSION:
        raise BundleError(
            f"{path} was written by a newer Pellucid (bundle version {version}; this one reads "
            f"up to {VERSION})",
            remedy="Update Pellucid.",
        )
    return card


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()
