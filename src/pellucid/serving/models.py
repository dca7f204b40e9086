"""The models that are served: each opened once, with its thresholds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pellucid.errors import UsageError
from pellucid.prediction.class_map import Floats, head_weights
from pellucid.prediction.decisions import choose_point
from pellucid.prediction.engines import OpenedModel, open_engine

PUBLIC = (  # of a card; what a client may read
    "task",
    "network",
    "preprocessing",
    "dataset",
    "split_digest",
    "training",
    "versions",
    "evaluation",
    "operating_points",
    "prediction_sets",
    "guard",
    "licence",
    "intended_use",
    "limits",
    "thresholds",
)


@dataclass(frozen=True)
class Served:
    """A model under its name, with the operating point that decides for each target.

    `place` is where it was opened: a run has a report beside its bundle.
    """

    name: str
    opened: OpenedModel
    points: Mapping[str, Mapping[str, Any] | None]
    heads: Mapping[str, Floats]
    place: Path

    @cached_property
    def digest(self) -> str:
        """What names the model wherever it lies."""
        return self.opened.digest

    def describe(self) -> dict[str, Any]:
        """What a client may know of it."""
        card = {key: self.opened.card.get(key) for key in PUBLIC}
        decides = {name: point and point["name"] for name, point in self.points.items()}
        return {
            "name": self.name,
            "digest": self.digest,
            "engine": self.opened.name,
            "precision": self.opened.precision,
            "decides_at": decides,
            "card": card,
        }


def open_models(
    places: Sequence[str],
    *,
    engine: str = "auto",
    precision: str = "float32",
    operating_point: str | None = None,
) -> dict[str, Served]:
    """Models by name, in the order given; a place is a path, or NAME=PATH.

    Raises `UsageError` for two of one name and for an operating point that a model has not, and
    what `open_engine` raises.
    """
    served: dict[str, Served] = {}
    for place in places:
        name, path = _name(place)
        if name in served:
            rule = "Models are served under names that differ"
            raise UsageError(rule, repr(name), "Write NAME=PATH.")
        opened = open_engine(path, engine, precision)
        served[name] = Served(
            name,
            opened,
            {t.name: choose_point(opened.card, t, operating_point) for t in opened.task.targets},
            head_weights(opened),
            path,
        )
    if not served:
        raise UsageError("A server needs a model", remedy="Give a bundle or a run.")
    return served


def _name(place: str) -> tuple[str, Path]:
    """The name and the path; a folder called "run" or "bundle" after the one that it is in."""
    name, equals, path = place.partition("=")
    if equals and name.strip() and not Path(place).exists():
        return name.strip(), Path(path)
    whole = Path(place)
    parts = [part for part in whole.resolve().parts if part not in ("bundle", "run")] or ["model"]
    return parts[-1].removesuffix(".zip"), whole
