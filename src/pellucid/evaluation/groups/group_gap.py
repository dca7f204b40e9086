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
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from pellucid.evaluation.judged import Judged
from pellucid.evaluation.uncertainty.distributions import chi_square_tail
from pellucid.evaluation.uncertainty.intervals import Patients

MANY_PATIENTS = 100  # of each class in each group, from which on chi-square is the reference
_WORK = 40_000_000  # images times permutations, beyond which fewer permutations are made
_FEWEST_PERMUTATIONS = 199
_DRAWS = 10_000
_CELLS = 100_000  # images of dealings looked at together: they stay in the cache
SIDES: tuple[Literal["left"], Literal["right"]] = ("left", "right")  # without ties, and with

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class GroupTest(NamedTuple):
    """The p-value of "the groups' areas are equal" and how it was found."""

    p: float
    test: str


class GroupAreas:
    """AUROC of each group and their covariance, for any dealings of the images to groups.

    `groups` (n,) are codes 0 to G-1. Of two classes the area is that of the positive class, of more
    the plain mean of one-vs-rest areas. Every group needs images of every class.
    """

    def __init__(self, judged: Judged, groups: Ints) -> None:
        k = len(judged.target.classes)
        self._patient, self._n_patients = judged.patients.of_image, judged.patients.n
        self.n_groups = int(groups.max()) + 1
        self._classes = [
            _Placed(judged.probabilities[:, c], judged.codes == c)
            for c in ([1] if k == 2 else range(k))
        ]
        sides = [side for one in self._classes for side in (one.of_class, one.of_rest)]
        patients = [self._patients_of(groups, side) for side in sides]
        self._unbiased = [np.sqrt(n / np.maximum(n - 1, 1)) for n in patients]
        self.fewest: Ints = np.min(patients, axis=0)

    def __call__(self, groups: Ints) -> tuple[Floats, Floats]:
        """Areas (G,) and covariance (G, G)."""
        areas, covariances = self.of_dealings(groups[None])
        return areas[0], covariances[0]

    def of_dealings(self, dealt: Ints) -> tuple[Floats, Floats]:
        """Areas (D, G) and covariances (D, G, G) of dealings (D, n) at once."""
        areas = np.zeros((len(dealt), self.n_groups))
        sums = np.zeros((len(dealt), self._n_patients, self.n_groups))
        for group in range(self.n_groups):
            inside = dealt == group
            errors = np.zeros(dealt.shape)
            for number, one in enumerate(self._classes):
                scale = [
                    unbiased[group] for unbiased in self._unbiased[2 * number : 2 * number + 2]
                ]
                areas[:, group] += one.add_errors(inside, scale, errors) / len(self._classes)
            sums[:, :, group] = self._by_patient(errors / len(self._classes))
        covariances = np.swapaxes(sums, 1, 2) @ sums
        return areas, self._at_least(covariances)

    def _by_patient(self, values: Floats) -> Floats:
        """Values of images (D, n) summed by patient (D, n_patients)."""
        rows = np.arange(len(values))[:, None] * self._n_patients
        cells = (rows + self._patient).ravel()
        sums = np.bincount(cells, values.ravel(), minlength=len(values) * self._n_patients)
        return np.asarray(sums, dtype=np.float64).reshape(len(values), self._n_patients)

    def _at_least(self, covariances: Floats) -> Floats:
        """No area is surer than half a patient of its rarer class: 1.0 of few is not certain."""
        floor = (0.5 / (self.fewest + 1)) ** 2
        places = np.arange(self.n_groups)
        covariances[:, places, places] = np.maximum(covariances[:, places, places], floor)
        return covariances

    def _patients_of(self, groups: Ints, side: Ints) -> Ints:
        """How many patients of each group (G,) have an image among these."""
        pairs = np.unique(np.stack([groups[side], self._patient[side]]), axis=1)
        return np.bincount(pairs[0], minlength=self.n_groups)


class _Placed:
    """Images of a class and all others, each side by score, and how many of the other are lower.

    That is found once; a dealing only says which of them belong together.
    """

    def __init__(self, scores: Floats, is_class: Bools) -> None:
        order = np.argsort(scores, kind="stable")
        self.of_class, self.of_rest = order[is_class[order]], order[~is_class[order]]
        mine, others = scores[self.of_class], scores[self.of_rest]
        self._below_class = [np.searchsorted(others, mine, side) for side in SIDES]
        self._below_rest = [np.searchsorted(mine, others, side) for side in SIDES]

    def add_errors(self, inside: Bools, scale: list[Floats], errors: Floats) -> Floats:
        """The areas (D,) of the images inside (D, n); their shares in its error join `errors`.

        `scale` unbiases the spread of the class's images and of the others.
        """
        mine, others = inside[:, self.of_class], inside[:, self.of_rest]
        n_mine, n_others = mine.sum(axis=1)[:, None], others.sum(axis=1)[:, None]
        placed = _lower(others, self._below_class) / n_others
        area = (placed * mine).sum(axis=1)[:, None] / n_mine
        errors[:, self.of_class] += mine * (placed - area) * (scale[0] / n_mine)
        placed = 1.0 - _lower(mine, self._below_rest) / n_mine
        errors[:, self.of_rest] += others * (placed - area) * (scale[1] / n_others)
        return np.asarray(area[:, 0])


def _lower(counted: Bools, below: list[Ints]) -> Floats:
    """How many of the counted (D, m), which ascend by score, are lower, ties by half (D, k)."""
    sums = np.zeros((len(counted), counted.shape[1] + 1), dtype=np.int32)
    np.cumsum(counted, axis=1, out=sums[:, 1:])
    return np.asarray(0.5 * (sums[:, below[0]] + sums[:, below[1]]))


def compare_groups(judged: Judged, groups: Ints, draw: tuple[int, int]) -> GroupTest:
    """The test of equal areas in groups (n,) of codes 0 to G-1, each with every class."""
    areas = GroupAreas(judged, groups)
    observed = float(_wald(*areas.of_dealings(groups[None]))[0])
    if areas.fewest.min() >= MANY_PATIENTS:
        p = chi_square_tail(observed, areas.n_groups - 1)
        return GroupTest(p, "chi-square of the groups' AUROCs, DeLong variances by patient")
    n = int(np.clip(_WORK // judged.n, min(_FEWEST_PERMUTATIONS, draw[0]), draw[0]))
    random = np.random.default_rng(draw[1])
    nearly = observed * (1 - 1e-9)  # equal dealings differ by rounding
    dealings = deal_groups(judged, groups, random)
    size, larger = max(1, _CELLS // judged.n), 0
    for start in range(0, n, size):
        dealt = np.stack([next(dealings) for _ in range(min(size, n - start))])
        larger += int((_wald(*areas.of_dealings(dealt)) >= nearly).sum())
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


def _wald(areas: Floats, covariances: Floats) -> Floats:
    """The squared distance (D,) of areas (D, G) from their best common value, in units of error."""
    ones = np.ones_like(areas)
    held = covariances + 1e-12 * np.eye(areas.shape[1])
    by_ones, by_areas = np.moveaxis(np.linalg.solve(held, np.stack([ones, areas], axis=2)), 2, 0)
    squares = (areas * by_areas).sum(axis=1)
    common = (ones * by_areas).sum(axis=1) ** 2 / (ones * by_ones).sum(axis=1)
    return np.asarray(squares - common)


def _members(patients: Patients, movable: Bools) -> list[Ints]:
    """The movable patients of each stratum, where there are at least two."""
    strata = (
        np.flatnonzero(movable & (patients.stratum == s)) for s in np.unique(patients.stratum)
    )
    return [inside for inside in strata if len(inside) > 1]
