"""Metrics of ranks, from scores sorted once: AUROC, AUPRC, specificity at a wanted sensitivity.

Each is computed for one or for many weightings of the images at once. Weights are (B, n), one
column an image; with `owners` (n,) they are (B, P), and image i has the weight of column owners[i],
so that resampled patients need not be spread over their images first.
An undefined value is NaN. A NaN among the scores makes every metric NaN: it has no rank.
Sources: Hanley and McNeil 1982 (AUROC); Davis and Goadrich 2006 (why precision is not
interpolated); Zweig and Campbell 1993 (sensitivity at a wanted specificity, and the reverse).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt

from pellucid.errors import UsageError
from pellucid.evaluation.measures.ratios import ratio

WANTED = (0.90, 0.95)
"""The sensitivities and specificities at which the other one is told."""

AREA_NAMES = ("auroc", "auprc")
POINT_NAMES = (
    *(f"specificity_at_sensitivity_{100 * wanted:.0f}" for wanted in WANTED),
    *(f"sensitivity_at_specificity_{100 * wanted:.0f}" for wanted in WANTED),
)
RANK_NAMES = (*AREA_NAMES, *POINT_NAMES)

_CELLS = 200_000  # weights sorted at once: they stay in the cache, which is six times faster
_TINY = 1e-300  # in place of nobody, so that 0 of 0 is 0
_ROUNDING = 1e-9  # 0.9 of 10 patients is 9, however the sum of weights was rounded

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Values = dict[str, Floats]


class Ranking:
    """One class's scores, sorted once; then the rank metrics of any weighting of the images.

    `scores` (n,) are probabilities of the class, `is_class` (n,) whether the image has it. Ties
    count half in AUROC and stand at one threshold elsewhere, as in scikit-learn. The class's images
    and the others stand in two lists, highest score first, and each image knows how many of either
    list are above it and how many are above it or level.
    """

    def __init__(self, scores: Floats, is_class: Bools, owners: Ints | None = None) -> None:
        order = np.argsort(-scores, kind="stable")
        columns = order if owners is None else owners[order]
        of_class, falling = is_class[order], -scores[order]
        self.of_class, self.of_rest = columns[of_class], columns[~of_class]
        mine, others = falling[of_class], falling[~of_class]
        self.class_level = np.searchsorted(mine, mine, "right")
        self.rest_level = np.searchsorted(others, mine, "right")
        self.rest_above = np.searchsorted(others, mine, "left")
        self.class_above_rest = np.searchsorted(mine, others, "left")
        self.rest_above_rest = np.searchsorted(others, others, "left")
        # Called with the first i of the class: the others down to their level. Called with no more
        # than the first i of the others: the class's images above the next one.
        self.rest_called = np.r_[0, self.rest_level]
        self.class_called = np.r_[self.class_above_rest, len(mine)]
        self._unranked = bool(np.isnan(scores).any())

    def auroc(self, weights: Floats) -> Floats:
        """Area under the ROC curve (B,); NaN where a class has no weight."""
        return self._over(weights, lambda sums: {"": sums.areas()["auroc"]})[""]

    def auprc(self, weights: Floats) -> Floats:
        """Average precision (B,); NaN where the class has no weight."""
        return self._over(weights, lambda sums: {"": sums.areas()["auprc"]})[""]

    def specificity_at_sensitivity(self, weights: Floats, wanted: float) -> Floats:
        """The best specificity (B,) with at least this sensitivity; see `RankSums`."""
        return self._over(weights, lambda sums: {"": sums.specificity_at_sensitivity(wanted)})[""]

    def sensitivity_at_specificity(self, weights: Floats, wanted: float) -> Floats:
        """The best sensitivity (B,) with at least this specificity; see `RankSums`."""
        return self._over(weights, lambda sums: {"": sums.sensitivity_at_specificity(wanted)})[""]

    def metrics(self, weights: Floats) -> Values:
        """Every metric of `RANK_NAMES`, each (B,), from one pass over the weights."""
        return self._over(weights, lambda sums: sums.areas() | sums.points())

    def points(self, weights: Floats) -> Values:
        """The metrics of `POINT_NAMES`, which cost a third of all."""
        return self._over(weights, lambda sums: sums.points())

    def metrics_of_two(self, weights: Floats) -> Values:
        """Those of the other class and of this one, each (B, 2), from the ranking of this one."""
        return self._over(
            weights, lambda sums: sums.areas_of_both() | _points_of_both(sums.points())
        )

    def points_of_two(self, weights: Floats) -> Values:
        """The metrics of `POINT_NAMES` of the other class and of this one, each (B, 2)."""
        return self._over(weights, lambda sums: _points_of_both(sums.points()))

    def _over(self, weights: Floats, measure: Callable[[RankSums], Values]) -> Values:
        """What is measured of all weights, a few weightings at a time."""
        rows = max(1, _CELLS // (len(self.of_class) + len(self.of_rest) + 1))
        starts = range(0, max(len(weights), 1), rows)
        parts = [measure(RankSums(self, weights[start : start + rows])) for start in starts]
        values = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        if self._unranked:
            return {name: np.full_like(value, np.nan) for name, value in values.items()}
        return values


class RankSums:
    """Weights summed down a ranking, for B weightings of its m images of the class and r others.

    Column 0 is nobody, column i the first i images of a list.
    """

    def __init__(self, ranking: Ranking, weights: Floats) -> None:
        self._ranking = ranking
        self._of_class, self._of_rest = (
            np.take(weights, columns, axis=1) for columns in (ranking.of_class, ranking.of_rest)
        )
        self._true, self._false = _running_sums(self._of_class), _running_sums(self._of_rest)
        self._all_true, self._all_false = self._true[:, -1], self._false[:, -1]

    def areas(self) -> Values:
        """AUROC and average precision, each (B,): precision at each score, by the recall it adds.

        AUROC is NaN where a class has no weight, average precision where the class has none.
        """
        true = np.take(self._true, self._ranking.class_level, axis=1)
        false = np.take(self._false, self._ranking.rest_level, axis=1)
        wrongly = np.take(self._false, self._ranking.rest_above, axis=1)
        wrongly += false
        pairs = self._all_true * self._all_false
        missed = np.einsum("bm,bm->b", self._of_class, wrongly) / 2
        auprc = ratio(_weighed_precision(self._of_class, true, false), self._all_true)
        return {"auroc": ratio(pairs - missed, pairs), "auprc": auprc}

    def areas_of_both(self) -> Values:
        """The areas of the other class, whose score is 1 - the score, and of this one (B, 2)."""
        areas, ranking = self.areas(), self._ranking
        true = self._all_false[:, None] - np.take(self._false, ranking.rest_above_rest, axis=1)
        false = self._all_true[:, None] - np.take(self._true, ranking.class_above_rest, axis=1)
        auprc = ratio(_weighed_precision(self._of_rest, true, false), self._all_false)
        return {
            "auroc": np.stack([areas["auroc"], areas["auroc"]], axis=1),
            "auprc": np.stack([auprc, areas["auprc"]], axis=1),
        }

    def points(self) -> Values:
        """The metrics of `POINT_NAMES`, each (B,)."""
        values = [self.specificity_at_sensitivity(wanted) for wanted in WANTED]
        values += [self.sensitivity_at_specificity(wanted) for wanted in WANTED]
        return dict(zip(POINT_NAMES, values, strict=True))

    def specificity_at_sensitivity(self, wanted: float) -> Floats:
        """The best specificity (B,) of the thresholds whose sensitivity is at least `wanted`.

        On the empirical ROC curve: only scores that occur are thresholds, nothing is interpolated.
        NaN where a class has no weight.
        """
        _check_wanted(wanted)
        needed = _columns_before(self._true, (wanted - _ROUNDING) * self._all_true, "left")
        called = self._ranking.rest_called[needed.clip(max=self._true.shape[1] - 1)]
        false = self._false[np.arange(len(called)), called]
        specificity = ratio(self._all_false - false, self._all_false)
        return np.where(self._all_true > 0, specificity, np.nan)

    def sensitivity_at_specificity(self, wanted: float) -> Floats:
        """The best sensitivity (B,) of the thresholds whose specificity is at least `wanted`.

        On the empirical ROC curve, with the point that calls nobody: 0 where no score is specific
        enough. NaN where a class has no weight.
        """
        _check_wanted(wanted)
        most = (1 - wanted + _ROUNDING) * self._all_false
        allowed = _columns_before(self._false, most, "right") - 1
        called = self._ranking.class_called[allowed]
        true = self._true[np.arange(len(called)), called]
        return np.where(self._all_false > 0, ratio(true, self._all_true), np.nan)


class ClassRanks:
    """The rank metrics of each class against the rest, for many weightings at once.

    `probabilities` (n, K), `codes` (n,) the true classes, `owners` as the module says. Of two
    classes only the positive one (code 1) is ranked: the score of the other is 1 - its probability,
    so that its metrics follow by symmetry, also where a table's columns are rounded.
    """

    def __init__(self, probabilities: Floats, codes: Ints, owners: Ints | None = None) -> None:
        k = probabilities.shape[1]
        ranked = [1] if k == 2 else range(k)
        self._rankings = [Ranking(probabilities[:, c], codes == c, owners) for c in ranked]

    def __call__(self, weights: Floats) -> Values:
        """Every metric of `RANK_NAMES` by class (B, K)."""
        if len(self._rankings) == 1:
            return self._rankings[0].metrics_of_two(weights)
        return _side_by_side([ranking.metrics(weights) for ranking in self._rankings])

    def points(self, weights: Floats) -> Values:
        """The metrics of `POINT_NAMES` alone, by class (B, K)."""
        if len(self._rankings) == 1:
            return self._rankings[0].points_of_two(weights)
        return _side_by_side([ranking.points(weights) for ranking in self._rankings])


def _running_sums(weights: Floats) -> Floats:
    """The sums of the first 0, 1, …, m columns (B, m + 1)."""
    sums = np.empty((len(weights), weights.shape[1] + 1))
    sums[:, 0] = 0.0
    np.cumsum(weights, axis=1, out=sums[:, 1:])
    return sums


def _weighed_precision(weights: Floats, true: Floats, false: Floats) -> Floats:
    """The sum (B,) of weights · true / (true + false), all (B, m); `false` is used up."""
    false += true
    np.maximum(false, _TINY, out=false)
    np.divide(true, false, out=false)
    return np.asarray(np.einsum("bm,bm->b", weights, false))


def _columns_before(sums: Floats, limits: Floats, side: Literal["left", "right"]) -> Ints:
    """How many columns (B,) of rising rows (B, m) lie below the row's limit, or up to it."""
    found = [row.searchsorted(limit, side) for row, limit in zip(sums, limits, strict=True)]
    return np.array(found, dtype=np.int64)


def _points_of_both(of_class: Values) -> Values:
    """One class's sensitivity is the other's specificity."""
    both = {}
    for wanted in (f"{100 * wanted:.0f}" for wanted in WANTED):
        one, other = f"specificity_at_sensitivity_{wanted}", f"sensitivity_at_specificity_{wanted}"
        both[one] = np.stack([of_class[other], of_class[one]], axis=1)
        both[other] = np.stack([of_class[one], of_class[other]], axis=1)
    return both


def _side_by_side(by_class: list[Values]) -> Values:
    return {name: np.stack([one[name] for one in by_class], axis=1) for name in by_class[0]}


def _check_wanted(wanted: float) -> None:
    if not 0 <= wanted <= 1:
        raise UsageError(
            "A wanted sensitivity or specificity must be in [0, 1]",
            f"{wanted:g}",
            "Give a share, not a percentage.",
        )
