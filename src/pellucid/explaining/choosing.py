"""Which images of a split are explained: by fixed rules, so that nobody can have picked them.

Knows predictions and labels; it does not know pixels or maps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pellucid.evaluation.groups.failures import called_classes
from pellucid.evaluation.judged import Judged

SHOWN = 2  # images of a class called rightly, and as many mistaken ones
CLASSES_SHOWN = 6
RULE = (
    "Of each class the two images called rightly with the highest probability, and the two with "
    "the highest probability for a wrong class; equal ones by name."
)
MEASURED_RULE = "Equally many of each class, drawn by the seed of the run."

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Chosen:
    """One image of a target with its truth, its call and the probability of that call."""

    target: str
    image_id: str
    truth: str
    called: str
    probability: float

    @property
    def is_right(self) -> bool:
        """Whether the call is the truth."""
        return self.truth == self.called


def choose_shown(judged: Judged) -> list[Chosen]:
    """The surest right calls and the surest mistakes of the first classes, as `RULE` says."""
    called, sure = called_classes(judged.probabilities)
    order = np.lexsort((judged.image_ids.astype(str), -sure))
    rows: list[int] = []
    for code in range(min(len(judged.target.classes), CLASSES_SHOWN)):
        of_class = order[judged.codes[order] == code]
        is_right = called[of_class] == code
        rows += [*of_class[is_right][:SHOWN], *of_class[~is_right][:SHOWN]]
    return [_chosen(judged, int(row), called, sure) for row in rows]


def choose_measured(judged: Judged, most: int, seed: int) -> list[Chosen]:
    """At most `most` images, equally many of each class, in the order of the table."""
    called, sure = called_classes(judged.probabilities)
    random = np.random.default_rng(seed)
    classes = np.unique(judged.codes)
    each = max(1, most // max(1, len(classes)))
    kept = [random.permutation(np.flatnonzero(judged.codes == code))[:each] for code in classes]
    rows = np.sort(np.concatenate(kept))[:most] if kept else np.zeros(0, dtype=np.int64)
    return [_chosen(judged, int(row), called, sure) for row in rows]


def _chosen(judged: Judged, row: int, called: Ints, sure: npt.NDArray[np.float64]) -> Chosen:
    classes = judged.target.classes
    return Chosen(
        target=judged.target.name,
        image_id=str(judged.image_ids[row]),
        truth=classes[judged.codes[row]],
        called=classes[called[row]],
        probability=float(sure[row]),
    )
