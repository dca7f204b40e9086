"""Whether AUROC differs between groups of images, and by how much, where patients are clusters.

The statistic is Wald's, of the groups' areas with the covariance of their placement values summed
by patient, so that a patient with several images, or with images in several groups, counts as one.
Its reference is found by permuting: a patient moves to another group with all its images, among
patients that show the same classes; a patient with images in several groups has them permuted
within itself and class. That is exact where groups are alike, and, since the statistic is
studentised, holds in large samples where only their areas are. Where every group has many patients
of each class, the reference is chi-square.
Sources: DeLong et al. 1988 and Obuchowski 1997 (covariance); Chung and Romano 2013 and Pauly,
Asendorf and Konietschke 2016 (studentised permutation); Phipson and Smyth 2010 (p is never 0).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import chi2

from pellucid.evaluation.judged import Judged
from pellucid.evaluation.uncertainty.intervals import Patients

MANY_PATIENTS = 100  # of each class in each group, from which on chi-square is the reference
_WORK = 40_000_000  # images times permutations, beyond which fewer permutations are made
_FEWEST_PERMUTATIONS = 199
_DRAWS = 10_000

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class GroupTest(NamedTuple):
    """The p-value of "the groups' areas are equal" and how it was found."""

    p: float
    test: str


class GroupAreas:
    """AUROC of each group and their covariance, for any dealing of the images to groups.

    `groups` (n,) are codes 0 to G-1. Of two classes the area is that of the positive class, of more
    the plain mean of one-vs-rest areas. Every group needs images of every class.
    """

    def __init__(self, judged: Judged, groups: Ints) -> None:
        k = len(judged.target.classes)
        self._classes = [1] if k == 2 else list(range(k))
        self._codes, self._probabilities = judged.codes, judged.probabilities
        self._orders = [
            np.argsort(judged.probabilities[:, c], kind="stable") for c in self._classes
        ]
        self._patient, self._n_patients = judged.patients.of_image, judged.patients.n
        self.n_groups = int(groups.max()) + 1
        self._of_class = [_patients_of(judged, groups, judged.codes == c) for c in self._classes]
        self._of_rest = [_patients_of(judged, groups, judged.codes != c) for c in self._classes]
        self.fewest: Ints = np.min(self._of_class + self._of_rest, axis=0)

    def __call__(self, groups: Ints) -> tuple[Floats, Floats]:
        """Areas (G,) and covariance (G, G)."""
        areas = np.zeros(self.n_groups)
        residuals = np.zeros(len(groups))
        for number in range(len(self._classes)):
            area, residual = self._one_class(number, groups)
            areas += area / len(self._classes)
            residuals += residual / len(self._classes)
        cell = self._patient * self.n_groups + groups
        sums = np.bincount(cell, weights=residuals, minlength=self._n_patients * self.n_groups)
        of_patients = sums.reshape(self._n_patients, self.n_groups)
        return areas, self._at_least(np.asarray(of_patients.T @ of_patients))

    def _at_least(self, covariance: Floats) -> Floats:
        """No area is surer than half a patient of its rarer class: 1.0 of few is not certain."""
        floor = (0.5 / (self.fewest + 1)) ** 2
        return np.asarray(covariance + np.diag(np.maximum(floor - np.diag(covariance), 0.0)))

    def _one_class(self, number: int, groups: Ints) -> tuple[Floats, Floats]:
        """One class's areas (G,) and each image's share (n,) in their error."""
        order = self._orders[number]
        order = order[np.argsort(groups[order], kind="stable")]
        group = groups[order]
        is_class = self._codes[order] == self._classes[number]
        scores = self._probabilities[order, self._classes[number]]
        n_class = np.bincount(group, weights=is_class, minlength=self.n_groups).astype(np.float64)
        n_rest = np.bincount(group, minlength=self.n_groups) - n_class
        placed = np.where(
            is_class,
            _below(~is_class, group, scores, n_rest) / n_rest[group],
            1.0 - _below(is_class, group, scores, n_class) / n_class[group],
        )
        areas = np.bincount(group, weights=placed * is_class, minlength=self.n_groups) / n_class
        of_class, of_rest = self._of_class[number], self._of_rest[number]
        scale = np.where(
            is_class, (_unbiased(of_class) / n_class)[group], (_unbiased(of_rest) / n_rest)[group]
        )
        residuals = np.empty(len(groups))
        residuals[order] = (placed - areas[group]) * scale
        return areas, residuals


def compare_groups(judged: Judged, groups: Ints, draw: tuple[int, int]) -> GroupTest:
    """The test of equal areas in groups (n,) of codes 0 to G-1, each with every class."""
    areas = GroupAreas(judged, groups)
    observed = _wald(*areas(groups))
    if areas.fewest.min() >= MANY_PATIENTS:
        p = float(chi2.sf(observed, areas.n_groups - 1))
        return GroupTest(p, "chi-square of the groups' AUROCs, DeLong variances by patient")
    n = int(np.clip(_WORK // judged.n, min(_FEWEST_PERMUTATIONS, draw[0]), draw[0]))
    random = np.random.default_rng(draw[1])
    nearly = observed * (1 - 1e-9)  # equal dealings differ by rounding
    dealings = deal_groups(judged, groups, random)
    larger = sum(_wald(*areas(next(dealings))) >= nearly for _ in range(n))
    return GroupTest((1 + larger) / (1 + n), f"permutation of patients' groups, {n} permutations")


def deal_groups(judged: Judged, groups: Ints, random: np.random.Generator) -> Iterator[Ints]:
    """Groups (n,) dealt anew without end, as they might be if they meant nothing."""
    patients = judged.patients
    low = np.full(patients.n, len(groups))
    np.minimum.at(low, patients.of_image, groups)
    high = np.zeros(patients.n, dtype=np.int64)
    np.maximum.at(high, patients.of_image, groups)
    strata = _members(patients, low == high)
    mixed = np.flatnonzero((low != high)[patients.of_image])
    cells = patients.of_image[mixed] * len(judged.target.classes) + judged.codes[mixed]
    by_cell = np.argsort(cells, kind="stable")
    while True:
        of_patient = low.copy()
        for inside in strata:
            of_patient[inside] = random.permutation(of_patient[inside])
        dealt = of_patient[patients.of_image]
        shuffled = np.lexsort((random.random(len(mixed)), cells))
        dealt[mixed[by_cell]] = groups[mixed[shuffled]]
        yield dealt


def gap_interval(
    areas: Floats, covariance: Floats, fewest: Ints, seed: int, confidence: float = 0.95
) -> tuple[float, float]:
    """The interval of the largest true area minus the smallest, of areas (G,), covariance (G, G).

    From intervals of all pairs that hold together: the true range lies between the largest lower
    and the largest upper bound. So it reaches 0 unless some pair differs, and is not drawn upward
    by picking the extremes. `fewest` (G,) patients of the rarer class give the t distribution its
    degrees of freedom. Source: Hsu 1996, 5.1, for simultaneous pairs; Tukey 1953.
    """
    random = np.random.default_rng(seed)
    first, second = np.triu_indices(len(areas), 1)
    variances = np.diag(covariance)
    errors = np.sqrt(variances[first] + variances[second] - 2 * covariance[first, second])
    errors = np.maximum(errors, 1e-9)
    degrees = max(2 * int(fewest.min()) - 2, 1)
    drawn = random.multivariate_normal(np.zeros(len(areas)), covariance, _DRAWS, method="eigh")
    drawn /= np.sqrt(random.chisquare(degrees, (_DRAWS, 1)) / degrees)
    largest = (np.abs(drawn[:, first] - drawn[:, second]) / errors).max(axis=1)
    reach = np.quantile(largest, confidence) * errors
    between = np.abs(areas[first] - areas[second])
    return float(max((between - reach).max(), 0.0)), float(min((between + reach).max(), 1.0))


def _wald(areas: Floats, covariance: Floats) -> float:
    """The squared distance of the areas (G,) from their best common value, in units of error."""
    ones = np.ones(len(areas))
    solved = np.linalg.solve(covariance + 1e-12 * np.eye(len(areas)), np.stack([ones, areas], 1))
    by_ones, by_areas = solved.T
    return float(areas @ by_areas - (ones @ by_areas) ** 2 / (ones @ by_ones))


def _below(counted: Bools, group: Ints, scores: Floats, totals: Floats) -> Floats:
    """How many counted images of its group score lower than each (n,), ties by half.

    Images stand in order of group, then score; `totals` (G,) are the counted images of each group.
    """
    starts = np.flatnonzero(np.r_[True, (group[1:] != group[:-1]) | (scores[1:] != scores[:-1])])
    tied = np.add.reduceat(counted.astype(np.float64), starts)
    before = np.r_[0.0, np.cumsum(totals)[:-1]]
    lower = np.cumsum(tied) - 0.5 * tied - before[group[starts]]
    return np.repeat(lower, np.diff(np.r_[starts, len(group)]))


def _members(patients: Patients, movable: Bools) -> list[Ints]:
    """The movable patients of each stratum, where there are at least two."""
    strata = (
        np.flatnonzero(movable & (patients.stratum == s)) for s in np.unique(patients.stratum)
    )
    return [inside for inside in strata if len(inside) > 1]


def _patients_of(judged: Judged, groups: Ints, inside: Bools) -> Ints:
    """How many patients of each group have an image for which `inside` (n,) holds (G,)."""
    pairs = np.unique(np.stack([groups[inside], judged.patients.of_image[inside]]), axis=1)
    return np.bincount(pairs[0], minlength=int(groups.max()) + 1)


def _unbiased(n: Ints) -> Floats:
    return np.sqrt(n / np.maximum(n - 1, 1))
