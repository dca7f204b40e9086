"""Metrics of ranks, from scores sorted once: AUROC, AUPRC, specificity at a wanted sensitivity.

Each is computed for one or for many weightings of the images at once. Weights are (B, n), one
column an image; with `owners` (n,) they are (B, P), and image i has the weight of column owners[i],
so that resampled patients need not be spread over their images first.
An undefined value is NaN. A NaN among the scores makes every metric NaN: it has no rank.
Sources: Hanley and McNeil 1982 (AUROC); Davis and Goadrich 2006 (why precision is not
interpolated); Zweig and Campbell 1993 (sensitivity at a wanted specificity, and the reverse).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pellucid.errors import UsageError
from pellucid.evaluation.measures.ratios import ratio

WANTED = (0.90, 0.95)
"""The sensitivities and specificities at which the other one is told."""

RANK_NAMES = (
    "auroc",
    "auprc",
    *(f"specificity_at_sensitivity_{100 * wanted:.0f}" for wanted in WANTED),
    *(f"sensitivity_at_specificity_{100 * wanted:.0f}" for wanted in WANTED),
)

_CELLS = 200_000  # weights sorted at once: they stay in the cache, which is six times faster
_ROUNDING = 1e-9  # 0.9 of 10 patients is 9, however the sum of weights was rounded

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class RankCounts:
    """The ROC curve in counts, for B weightings and T distinct scores.

    `tp` and `fp` (B, T + 1) are the weights of the class's and of the other images that score at
    least so high: column 0 calls nobody, column t those of the t highest distinct scores.
    """

    tp: Floats
    fp: Floats

    def auroc(self) -> Floats:
        """Area under the ROC curve (B,), ties counting half; NaN where a class has no weight."""
        twice = np.einsum("bt,bt->b", np.diff(self.fp), self.tp[:, 1:] + self.tp[:, :-1])
        return ratio(twice / 2, self.tp[:, -1] * self.fp[:, -1])

    def auprc(self) -> Floats:
        """Average precision (B,): precision at each score, weighted by the recall that it adds.

        NaN where the class has no weight, 1 where only the class has.
        """
        called = self.tp + self.fp
        precision = np.divide(self.tp, called, out=np.zeros_like(called), where=called > 0)
        return ratio(
            np.einsum("bt,bt->b", np.diff(self.tp), precision[:, 1:]), self.tp[:, -1].copy()
        )

    def specificity_at_sensitivity(self, wanted: float) -> Floats:
        """The best specificity (B,) of the thresholds whose sensitivity is at least `wanted`.

        On the empirical ROC curve: only scores that occur are thresholds, nothing is interpolated.
        NaN where a class has no weight.
        """
        _check_wanted(wanted)
        positive, negative = self.tp[:, -1], self.fp[:, -1]
        too_few = self.tp < (wanted - _ROUNDING) * positive[:, None]
        first = too_few.sum(axis=1, keepdims=True).clip(max=self.tp.shape[1] - 1)
        fp = np.take_along_axis(self.fp, first, axis=1)[:, 0]
        return np.where(positive > 0, ratio(negative - fp, negative), np.nan)

    def sensitivity_at_specificity(self, wanted: float) -> Floats:
        """The best sensitivity (B,) of the thresholds whose specificity is at least `wanted`.

        On the empirical ROC curve, with the point that calls nobody: 0 where no score is specific
        enough. NaN where a class has no weight.
        """
        _check_wanted(wanted)
        positive, negative = self.tp[:, -1], self.fp[:, -1]
        allowed = self.fp <= (1 - wanted + _ROUNDING) * negative[:, None]
        last = allowed.sum(axis=1, keepdims=True) - 1
        tp = np.take_along_axis(self.tp, last, axis=1)[:, 0]
        return np.where(negative > 0, ratio(tp, positive), np.nan)

    def opposite(self) -> RankCounts:
        """The same for the other of two classes, whose score is 1 - the score of this one."""
        tp = self.fp[:, -1:] - self.fp[:, ::-1]
        return RankCounts(tp, self.tp[:, -1:] - self.tp[:, ::-1])

    def metrics(self) -> dict[str, Floats]:
        """Every metric of `RANK_NAMES`, each (B,)."""
        values = [self.auroc(), self.auprc()]
        values += [self.specificity_at_sensitivity(wanted) for wanted in WANTED]
        values += [self.sensitivity_at_specificity(wanted) for wanted in WANTED]
        return dict(zip(RANK_NAMES, values, strict=True))


class Ranking:
    """One class's scores, sorted once; then the rank metrics of any weighting of the images.

    `scores` (n,) are probabilities of the class, `is_class` (n,) whether the image has it. Ties
    count half in AUROC and stand at one threshold elsewhere, as in scikit-learn.
    """

    def __init__(self, scores: Floats, is_class: Bools, owners: Ints | None = None) -> None:
        order = np.argsort(-scores, kind="stable")
        ranked, of_class = scores[order], is_class[order]
        columns = order if owners is None else owners[order]
        self._of_class, self._of_rest = columns[of_class], columns[~of_class]
        last = np.flatnonzero(np.r_[ranked[1:] != ranked[:-1], True])[: len(ranked)]
        self._found = np.r_[0, np.cumsum(of_class)[last]]
        self._false = np.r_[0, np.cumsum(~of_class)[last]]
        self._unranked = bool(np.isnan(scores).any())

    def counts(self, weights: Floats) -> RankCounts:
        """The counts at each distinct score, for all of these weights at once."""
        if self._unranked:
            unknown = np.full((len(weights), len(self._found)), np.nan)
            return RankCounts(unknown, unknown)
        return RankCounts(
            _running_sums(weights, self._of_class)[:, self._found],
            _running_sums(weights, self._of_rest)[:, self._false],
        )

    def blocks(self, weights: Floats) -> Iterator[RankCounts]:
        """The counts of all weights, a few weightings at a time (at least one block)."""
        rows = max(1, _CELLS // (len(self._of_class) + len(self._of_rest) + 1))
        for start in range(0, max(len(weights), 1), rows):
            yield self.counts(weights[start : start + rows])

    def auroc(self, weights: Floats) -> Floats:
        """Area under the ROC curve (B,); NaN where a class has no weight."""
        return np.concatenate([counts.auroc() for counts in self.blocks(weights)])

    def auprc(self, weights: Floats) -> Floats:
        """Average precision (B,); NaN where the class has no weight."""
        return np.concatenate([counts.auprc() for counts in self.blocks(weights)])

    def specificity_at_sensitivity(self, weights: Floats, wanted: float) -> Floats:
        """The best specificity (B,) with at least this sensitivity; see `RankCounts`."""
        blocks = self.blocks(weights)
        return np.concatenate([counts.specificity_at_sensitivity(wanted) for counts in blocks])

    def sensitivity_at_specificity(self, weights: Floats, wanted: float) -> Floats:
        """The best sensitivity (B,) with at least this specificity; see `RankCounts`."""
        blocks = self.blocks(weights)
        return np.concatenate([counts.sensitivity_at_specificity(wanted) for counts in blocks])

    def metrics(self, weights: Floats) -> dict[str, Floats]:
        """Every metric of `RANK_NAMES`, each (B,), from one pass over the weights."""
        return _joined([counts.metrics() for counts in self.blocks(weights)])

    def metrics_of_two(self, weights: Floats) -> dict[str, Floats]:
        """Those of the other class and of this one, each (B, 2), from the ranking of this one."""
        parts = [_both_classes(counts) for counts in self.blocks(weights)]
        return _joined(parts)


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

    def __call__(self, weights: Floats) -> dict[str, Floats]:
        """Every metric of `RANK_NAMES` by class (B, K)."""
        if len(self._rankings) == 1:
            return self._rankings[0].metrics_of_two(weights)
        by_class = [ranking.metrics(weights) for ranking in self._rankings]
        return {name: np.stack([one[name] for one in by_class], axis=1) for name in RANK_NAMES}


def _running_sums(weights: Floats, columns: Ints) -> Floats:
    """The sums of the first 0, 1, …, m of these columns (B, m + 1)."""
    sums = np.zeros((len(weights), len(columns) + 1))
    np.cumsum(np.take(weights, columns, axis=1), axis=1, out=sums[:, 1:])
    return sums


def _both_classes(counts: RankCounts) -> dict[str, Floats]:
    """One class's sensitivity is the other's specificity; only the AUPRC is computed anew."""
    of_class = counts.metrics()
    of_rest = {"auroc": of_class["auroc"], "auprc": counts.opposite().auprc()}
    for wanted in (f"{100 * wanted:.0f}" for wanted in WANTED):
        one, other = f"specificity_at_sensitivity_{wanted}", f"sensitivity_at_specificity_{wanted}"
        of_rest |= {one: of_class[other], other: of_class[one]}
    return {name: np.stack([of_rest[name], of_class[name]], axis=1) for name in RANK_NAMES}


def _joined(parts: list[dict[str, Floats]]) -> dict[str, Floats]:
    return {name: np.concatenate([part[name] for part in parts]) for name in RANK_NAMES}


def _check_wanted(wanted: float) -> None:
    if not 0 <= wanted <= 1:
        raise UsageError(
            "A wanted sensitivity or specificity must be in [0, 1]",
            f"{wanted:g}",
            "Give a share, not a percentage.",
        )
