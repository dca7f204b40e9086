"""All metrics of one target and split for many weighings of its patients at once.

Knows which metrics there are; not how they are computed, nor how sure they are (`figures`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pellucid.evaluation.judged import Judged
from pellucid.evaluation.measures import metrics
from pellucid.evaluation.measures.averages import averages
from pellucid.evaluation.measures.probability_metrics import ProbabilityScores
from pellucid.evaluation.measures.ranks import ClassRanks

ALL = ""  # the owner of figures that belong to no single class

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Values = dict[tuple[str, str], Floats]


class Statistic:
    """All metrics of one target and split, for patient weights (b, n_patients).

    `cells` (n,) say where each image stands in the confusion matrix: K · true + predicted.
    `ordered` classes have weighted kappas; a stated `prevalence`, of the positive class or (K,) of
    each, has predictive values; `only_counts` leaves out what no threshold changes.
    Keys are (class, metric), or (`ALL`, metric) for all classes together; values (b,).
    """

    def __init__(
        self,
        judged: Judged,
        cells: Ints,
        *,
        ordered: bool = False,
        prevalence: float | Sequence[float] | None = None,
        only_counts: bool = False,
    ) -> None:
        self._classes = judged.target.classes
        self._of_image = judged.patients.of_image
        self._counts = np.zeros((judged.patients.n, len(self._classes) ** 2))
        np.add.at(self._counts, (self._of_image, cells), 1.0)
        self._ordered = ordered
        self._prevalence = None if prevalence is None else _of_each_class(prevalence)
        self._ranks: ClassRanks | None = None
        self._scores: ProbabilityScores | None = None
        if not only_counts:
            self._ranks = ClassRanks(judged.probabilities, judged.codes, self._of_image)
            self._scores = ProbabilityScores(judged.probabilities, judged.codes, self._of_image)

    def __call__(self, weights: Floats) -> Values:
        """The metrics of these weighings."""
        k = len(self._classes)
        confusion = (weights @ self._counts).reshape(len(weights), k, k)
        by_class = self._ranks(weights) if self._ranks else {}
        by_class |= {name: metric(confusion) for name, metric in metrics.PER_CLASS.items()}
        if self._prevalence is not None:
            for name, at in metrics.AT_PREVALENCE.items():
                by_class[name] = at(confusion, self._prevalence)
        together = {name: metric(confusion) for name, metric in metrics.OVERALL.items()}
        if self._ordered:
            together |= {name: metric(confusion) for name, metric in metrics.ORDERED.items()}
        if k > 2:
            together |= averages(by_class, confusion)
        if self._scores:
            together |= self._scores(weights)
        return self._owned(by_class) | {(ALL, name): row for name, row in together.items()}

    def points(self, weights: Floats) -> Values:
        """Sensitivity at a wanted specificity and the reverse: what the bootstrap is needed for."""
        return self._owned(self._ranks.points(weights)) if self._ranks else {}

    def _owned(self, by_class: dict[str, Floats]) -> Values:
        return {
            (owner, name): column[:, number]
            for number, owner in enumerate(self._classes)
            for name, column in by_class.items()
        }


def _of_each_class(prevalence: float | Sequence[float]) -> Floats:
    """The share of each class: a single number is the positive class's."""
    shares = np.atleast_1d(np.asarray(prevalence, dtype=np.float64))
    return np.array([1 - shares[0], shares[0]]) if len(shares) == 1 else shares
