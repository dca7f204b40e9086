"""The anatomy of a network: every layer with its cost and what it sees, and the stages they form.

The rows are `network.summary`'s; here they get totals, shares of the image, a table for the screen
and the grouping into stages that a picture needs, so that a network of a hundred layers stays
legible. Works for a trained model and for a network by its name. It draws nothing.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from pellucid.bundle import Bundle
from pellucid.explanation.stages import Stage, group_rows, short_name
from pellucid.network.classifier import Classifier, NetworkSpec, build_classifier
from pellucid.network.summary import LayerRow, network_formula, summarise, summary_text
from pellucid.task import Target, Task

FORMAT, VERSION = "pellucid-anatomy", 1
_NOBODYS_TASK = Task(targets=(Target(name="label", classes=("no", "yes")),))


@dataclass(frozen=True)
class Anatomy:
    """A network layer by layer, for one image of `spec.channels` × `spec.image_size`²."""

    spec: NetworkSpec
    formula: str
    rows: tuple[LayerRow, ...]

    @property
    def parameters(self) -> int:
        """All of them; those of a layer that is run twice count once."""
        return sum(row.parameters for row in self.rows)

    @property
    def multiply_adds(self) -> int:
        """Of one image, in convolutions and fully connected layers."""
        return sum(row.multiply_adds for row in self.rows)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The layers in groups, as a picture shows them."""
        return group_rows(self.rows)

    def share_of_image(self, row: LayerRow) -> float | None:
        """The part of the image's area that one unit in its middle sees, at most 1."""
        field = row.receptive_field
        if field is None:
            return None
        return min(1.0, field.size / self.spec.image_size) ** 2

    def describe(self) -> str:
        """The table for the screen, with the cost below."""
        text = summary_text(self.rows, self.formula)
        global_rows = [row for row in self.rows if _is_global(row)]
        lost = [row for row in self.rows if row.not_followed]
        lines = [f"{self.multiply_adds:,} multiply-adds an image; sees: side in pixels, ? unknown"]
        if global_rows:
            first = short_name(global_rows[0].name)
            lines.append(f"From {first} on, units also know means over the whole image.")
        if lost:
            lines.append(
                f"Not followed from {short_name(lost[0].name)} on: {lost[0].not_followed}."
            )
        return "\n".join([text, *lines])

    def to_json(self) -> dict[str, Any]:
        """Everything as plain data."""
        rows = [{**asdict(row), "share_of_image": self.share_of_image(row)} for row in self.rows]
        return {
            "format": FORMAT,
            "version": VERSION,
            "network": self.spec.called,
            "image_size": self.spec.image_size,
            "channels": self.spec.channels,
            "formula": self.formula,
            "parameters": self.parameters,
            "multiply_adds": self.multiply_adds,
            "rows": rows,
            "stages": [asdict(stage) for stage in self.stages],
        }


def _is_global(row: LayerRow) -> bool:
    """Whether units keep a place and yet know the whole image."""
    field = row.receptive_field
    return field is not None and field.is_global and not field.is_whole_image


def anatomy(model: Bundle | Classifier) -> Anatomy:
    """The anatomy of a trained model, or of a classifier as `build_network` makes it."""
    classifier = model.classifier if isinstance(model, Bundle) else model
    spec = classifier.spec
    return Anatomy(spec, network_formula(spec), tuple(summarise(classifier, spec)))


def build_network(name: str, image_size: int = 224, channels: int = 3) -> Classifier:
    """An untrained network by its name, with one logit: enough to look at its build.

    Raises `PlanError` for an unknown name or an image that is too small for it.
    """
    spec = NetworkSpec(name=name, channels=channels, image_size=image_size)
    return build_classifier(spec, _NOBODYS_TASK)
