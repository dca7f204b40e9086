"""A classifier as an ONNX graph from uint8 pixels to logits, converted once and kept.

The graph holds the normalisation, so an engine needs nothing else. It is kept in the user's cache
folder under a digest of the weights and of all that the card says of the network, so a changed
bundle finds none. With a kept graph a bundle is used without loading torch; everything that can be
wrong with a bundle was checked when the graph was made from it. Knows no engine.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pellucid import __version__
from pellucid.errors import UsageError
from pellucid.images.preprocessing import Preprocessing
from pellucid.storage import cache_root, write_bytes
from pellucid.task import Task

if TYPE_CHECKING:
    from pellucid.bundle import Bundle

FORMAT = 1  # raise it when the same bundle would become another graph
PIXELS, LOGITS = "pixels", "logits"  # the names of the graph's input and output
_MOST_BYTES = 2**30  # of all kept graphs; the one used longest ago goes first
_MOST_CARD_BYTES = 2**24
_DECIDING = ("format", "version", "network", "task", "preprocessing", "weights_sha256")


class KeptGraph(NamedTuple):
    """What is needed to use a bundle without its weights."""

    task: Task
    preprocessing: Preprocessing
    graph: bytes
    place: Path


def convert(bundle: Bundle) -> bytes:
    """The bundle's classifier with its normalisation as an ONNX graph for any number of images.

    By torch's exporter that traces: it takes under a second where the newer one, which analyses
    the program, takes seven for the same graph. Raises `UsageError` for a network it cannot trace.
    """
    import torch

    from pellucid.network.classifier import evaluating, normalise

    class FromPixels(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.classifier = bundle.classifier

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            x = normalise(pixels, bundle.preprocessing.mean, bundle.preprocessing.std)
            logits: torch.Tensor = self.classifier(x)
            return logits

    side, channels = bundle.preprocessing.image_size, bundle.preprocessing.channels
    example = torch.zeros((2, channels, side, side), dtype=torch.uint8)
    file, rows = io.BytesIO(), {0: "n"}
    try:
        with warnings.catch_warnings(), evaluating(bundle.classifier):
            warnings.simplefilter("ignore")  # advice about the exporter, not about this network
            torch.onnx.export(
                FromPixels().eval(),
                (example,),
                file,  # type: ignore[arg-type]  # the tracing exporter also writes to memory
                dynamo=False,
                input_names=[PIXELS],
                output_names=[LOGITS],
                dynamic_axes={PIXELS: rows, LOGITS: rows},
            )
    except (RuntimeError, ValueError, TypeError, NotImplementedError, ImportError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
        raise cannot_convert(bundle.spec.name, reason) from error
    return file.getvalue()


def cannot_convert(network: str, reason: str) -> UsageError:
    """The plain error for a network that only torch can compute."""
    rule = f"The network {network} cannot be computed by another engine than torch ({reason})"
    return UsageError(rule, remedy="Leave the engine out, or ask for torch.")


def find_kept(model: Path) -> KeptGraph | None:
    """The graph that was made of this very bundle or run, or None where there is none."""
    for folder in (model, model / "bundle"):
        try:
            card = _read_card(folder / "card.json")
            place = _place(card)
            graph = place.read_bytes()
            with (folder / "weights.safetensors").open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except (OSError, ValueError, KeyError, TypeError):
            continue  # whatever is wrong, loading the bundle says it in plain words
        if digest != card["weights_sha256"]:
            return None
        _touch(place)
        preprocessing = Preprocessing.model_validate(card["preprocessing"])
        return KeptGraph(Task.model_validate(card["task"]), preprocessing, graph, place)
    return None


def _read_card(path: Path) -> dict[str, Any]:
    if path.stat().st_size > _MOST_CARD_BYTES:
        raise ValueError
    card: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return card


def keep(bundle: Bundle, graph: bytes) -> None:
    """Keep the graph of a loaded bundle; a folder that cannot be written keeps nothing."""
    try:
        place = _place(bundle.card)
        write_bytes(place, graph)
        _forget(place)
    except (UsageError, OSError, KeyError):
        return


def _place(card: dict[str, Any]) -> Path:
    """Where the graph of a bundle with this card is kept."""
    deciding = [FORMAT, __version__, *(card[name] for name in _DECIDING)]
    text = json.dumps(deciding, sort_keys=True)
    return cache_root() / "graphs" / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.onnx"


def _touch(place: Path) -> None:
    try:
        os.utime(place)
    except OSError:
        return


def _forget(newest: Path) -> None:
    """Delete the graphs used longest ago until the others fit; the newest always stays."""
    found = [(path.stat(), path) for path in newest.parent.glob("*.onnx")]
    size = 0
    for status, path in sorted(found, key=lambda pair: -pair[0].st_mtime):
        size += status.st_size
        if size > _MOST_BYTES and path != newest:
            path.unlink(missing_ok=True)
