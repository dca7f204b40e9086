"""What the document says of a method and of chance: curves, gains, random weights, pointing.

Knows what was measured and turns it to JSON-able figures with intervals over patients; it computes
no map.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pellucid.bundle import Bundle
from pellucid.explanation.faithfulness.deletion import Removal
from pellucid.explanation.faithfulness.figures import mean_curve, mean_figure, share_figure
from pellucid.explanation.faithfulness.pointing import (
    default_tolerance,
    mask_shares,
    overlap_energy,
    overlap_iou,
    point_at_centre,
    point_at_random,
    pointing_game,
)
from pellucid.explanation.faithfulness.randomisation import BOUND, Randomisation
from pellucid.explanation.goals import Goal, find_target

ALL = "all"
UNIT = (0.0, 1.0)

Document = dict[str, Any]
Masks = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Measured:
    """The images that are measured: pixels, goals, masks or None, patients as numbers (n,)."""

    bundle: Bundle
    pixels: npt.NDArray[np.uint8]
    goals: tuple[Goal, ...]
    masks: Masks | None
    patients: npt.NDArray[np.int64]

    def take(self, rows: npt.NDArray[np.int64]) -> Measured:
        """The same of some rows."""
        masks = None if self.masks is None else self.masks[rows]
        goals = tuple(self.goals[row] for row in rows)
        return Measured(self.bundle, self.pixels[rows], goals, masks, self.patients[rows])

    @property
    def labels(self) -> npt.NDArray[np.str_]:
        """The goals' classes (n,)."""
        return np.array([goal.label for goal in self.goals])

    def by_class(self) -> Iterator[tuple[str, npt.NDArray[np.bool_]]]:
        """All images, then those of each class in the task's order: name and rows (n,)."""
        yield ALL, np.ones(len(self.goals), dtype=bool)
        for label in find_target(self.bundle.task, self.goals[0].target).classes:
            if (rows := self.labels == label).any():
                yield label, rows


def curves_entry(removal: Removal, measured: Measured, kind: str) -> Document:
    """Both mean curves with their bands, the areas, and the gain over random maps."""
    own, random = getattr(removal, kind), getattr(removal, f"random_{kind}")
    return {
        "shares": removal.shares.tolist(),
        "map": mean_curve(own, measured.patients),
        "random": mean_curve(random, measured.patients),
        "area": mean_figure(removal.area(own), measured.patients, UNIT),
        "random_area": mean_figure(removal.area(random), measured.patients, UNIT),
        "gain": mean_figure(getattr(removal, f"{kind}_gains"), measured.patients),
    }


def gain_entries(removal: Removal, measured: Measured) -> Iterator[Document]:
    """The gains of deletion and insertion over random maps, by class."""
    for label, rows in measured.by_class():
        patients = measured.patients[rows]
        yield {
            "class": label,
            "n": int(rows.sum()),
            "deletion_gain": mean_figure(removal.deletion_gains[rows], patients),
            "insertion_gain": mean_figure(removal.insertion_gains[rows], patients),
        }


def randomisation_entry(randomised: Randomisation, measured: Measured) -> Document:
    """The sanity check: likeness at each stage, what chance gives, and the verdict."""
    strength = randomised.strength
    return {
        "stages": list(randomised.stages),
        "correlation": mean_curve(strength.T, measured.patients),
        "signed": _means(randomised.correlations),
        "magnitude": _means(np.abs(randomised.magnitude_correlations)),
        "chance": _means(randomised.chance[None])[0],
        "n_silent": randomised.n_silent,
        "n_networks": randomised.correlations.shape[1],
        "final": mean_figure(strength[-1], measured.patients, UNIT),
        "bound": BOUND,
        "verdict": randomised.verdict,
        "reason": randomised.reason,
    }


def _means(values: npt.NDArray[np.float64]) -> list[float | None]:
    """The mean of each row, over all else, NaN left out."""
    rows = values.reshape(len(values), -1)
    return [None if np.isnan(row).all() else float(np.nanmean(row)) for row in rows]


def pointing_entries(measured: Measured, values: npt.NDArray[Any]) -> Iterator[Document]:
    """Hits and overlap by class, of the images that have a mask."""
    if measured.masks is None:
        return
    near = pointing_game(values, measured.masks, default_tolerance(values.shape[-1]))
    strict = pointing_game(values, measured.masks)
    overlap = overlap_iou(values, measured.masks)
    energy = overlap_energy(values, measured.masks)
    for label, rows in _with_masks(measured):
        yield {
            "class": label,
            "n": int(rows.sum()),
            "pointing": share_figure(near[rows], measured.patients[rows]),
            "strict": share_figure(strict[rows], measured.patients[rows]),
            "iou": mean_figure(overlap[rows], measured.patients[rows], UNIT),
            "energy": mean_figure(energy[rows], measured.patients[rows], UNIT),
        }


def chance_entries(measured: Measured) -> Iterator[Document]:
    """What pointing without a map would hit, by class: anywhere, at the centre, also strictly.

    Strictly, without a tolerance, pointing at random hits the mask's share of the images.
    """
    if measured.masks is None:
        return
    tolerance = default_tolerance(measured.masks.shape[-1])
    shares = mask_shares(measured.masks)
    random = point_at_random(measured.masks, tolerance)
    centre = point_at_centre(measured.masks, tolerance)
    strict = point_at_centre(measured.masks)
    for label, rows in _with_masks(measured):
        patients = measured.patients[rows]
        yield {
            "class": label,
            "n": int(rows.sum()),
            "mask_share": mean_figure(shares[rows], patients, UNIT),
            "random": mean_figure(random[rows], patients, UNIT),
            "centre": share_figure(centre[rows], patients),
            "strict_centre": share_figure(strict[rows], patients),
        }


def _with_masks(measured: Measured) -> Iterator[tuple[str, npt.NDArray[np.bool_]]]:
    if measured.masks is None:
        return
    has_mask = measured.masks.any(axis=(1, 2))
    for label, rows in measured.by_class():
        if (rows & has_mask).any():
            yield label, rows & has_mask
