"""A classifier as an ONNX graph from uint8 pixels to logits, converted once and kept.

The graph holds the normalisation, so an engine needs nothing else. It is kept in the user's cache
folder under a digest of the weights, of all that the card says of the network and of the engine
that was checked with it, so a changed bundle and another engine find none. Who may write that
folder decides what is computed, so a graph of another user is not taken. With a kept graph a bundle
is used without loading torch; everything that can be wrong with a bundle was checked when the graph
was made from it. Knows no engine.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import time
import warnings
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pellucid import __version__
from pellucid.errors import PellucidError, UsageError
from pellucid.images.preprocessing import Preprocessing
from pellucid.storage import cache_root, write_bytes
from pellucid.task import Task

if TYPE_CHECKING:
    from pellucid.bundle import Bundle

FORMAT = 1  # raise it when the same bundle would become another graph
PIXELS, LOGITS = "pixels", "logits"  # the names of the graph's input and output
_MOST_BYTES = 2**30  # of all kept graphs; the one used longest ago goes first
_LARGEST_GRAPH = 2**31  # what the format's encoding allows
_MOST_CARD_BYTES = 2**24
_DAY_S = 86400.0
_DECIDING = ("format", "version", "network", "task", "preprocessing", "weights_sha256")


class KeptGraph(NamedTuple):
    """What is needed to use a bundle without its weights."""

    task: Task
    preprocessing: Preprocessing
    card: dict[str, Any]
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
    except Exception as error:  # the exporter raises whatever a network's own code does
        raise cannot_convert(bundle.spec.name, reason_of(error)) from error
    return file.getvalue()


def reason_of(error: Exception) -> str:
    """The first line of what an engine or exporter says, or the kind of its error."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]


def cannot_convert(network: str, reason: str) -> UsageError:
    """The plain error for a network that only torch can compute."""
    rule = f"The network {network} cannot be computed by another engine than torch ({reason})"
    return UsageError(rule, remedy="Leave the engine out, or ask for torch.")


def find_kept(model: Path, engine: str) -> KeptGraph | None:
    """The graph that was made of this very bundle or run for an engine, or None."""
    is_bundle = (model / "card.json").is_file()  # as `load_bundle` chooses
    folder = model if is_bundle else model / "bundle"
    try:
        card = _read_card(folder / "card.json")
        place = _place(card, engine)
        graph = _read_own(place)
        with (folder / "weights.safetensors").open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != card["weights_sha256"]:
            return None
        preprocessing = Preprocessing.model_validate(card["preprocessing"])
        task = Task.model_validate(card["task"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError, PellucidError):
        return None  # whatever is wrong, loading the bundle says it in plain words
    _touch(place)
    return KeptGraph(task, preprocessing, card, graph, place)


def _read_own(place: Path) -> bytes:
    """A graph of bounded size that this user (or the system's) has written."""
    status = place.stat()
    own = not hasattr(os, "getuid") or status.st_uid in (os.getuid(), 0)
    if not own or status.st_size > _LARGEST_GRAPH:
        raise ValueError
    return place.read_bytes()


def _read_card(path: Path) -> dict[str, Any]:
    if path.stat().st_size > _MOST_CARD_BYTES:
        raise ValueError
    card: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return card


def keep(bundle: Bundle, engine: str, graph: bytes) -> None:
    """Keep the graph of a loaded bundle, which this engine computed like torch.

    A folder that cannot be written keeps nothing.
    """
    try:
        place = _place(bundle.card, engine)
        write_bytes(place, graph)
        _forget(place)
    except (UsageError, OSError, KeyError):
        return


def _place(card: dict[str, Any], engine: str) -> Path:
    """Where the graph of a bundle with this card is kept for the engine that is installed."""
    made_by = [FORMAT, __version__, engine, _version(engine)]
    deciding = [*made_by, *(card[name] for name in _DECIDING)]
    text = json.dumps(deciding, sort_keys=True)
    return cache_root() / "graphs" / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.onnx"


def _version(engine: str) -> str:
    try:
        return metadata.version(engine)
    except metadata.PackageNotFoundError:  # installed under another name, such as -gpu
        return ""


def _touch(place: Path) -> None:
    try:
        os.utime(place)
    except OSError:
        return


def _forget(newest: Path) -> None:
    """Delete the graphs used longest ago until the others fit; the newest always stays.

    What a killed process left half written goes after a day.
    """
    for path in newest.parent.glob(".*.tmp"):
        if time.time() - path.stat().st_mtime > _DAY_S:
            path.unlink(missing_ok=True)
    found = [(path.stat(), path) for path in newest.parent.glob("*.onnx")]
    size = 0
    for status, path in sorted(found, key=lambda pair: -pair[0].st_mtime):
        size += status.st_size
        if size > _MOST_BYTES and path != newest:
            path.unlink(missing_ok=True)
