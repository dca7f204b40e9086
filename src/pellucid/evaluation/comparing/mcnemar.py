"""Two models' right and wrong calls on the same images: McNemar's test, also by patient.

Only the images on which exactly one of the two is right say which is better. Images of one patient
are not independent, so what is counted is each patient's balance: how many images the second alone
got right, minus those that the first alone got right.
Sources: McNemar 1947, Psychometrika 12:153; Obuchowski 1998, Stat Med 17:1495, for several images a
patient; Tango 1998, Stat Med 17:891, for the interval; Fagerland, Lydersen and Laake 2014, Stat Med
33:2850, who recommend that interval and the test without continuity correction.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pellucid.evaluation.uncertainty.distributions import chi_square_tail, normal_quantile

FEW = 25  # discordant patients below which the test is computed exactly

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


class PairedProportions(NamedTuple):
    """The second share minus the first, its interval, the p-value of equality, and the test."""

    difference: float
    low: float
    high: float
    p: float
    test: str
    interval: str


class Balance(NamedTuple):
    """What the test needs: images and patients, images that one model alone got right, balances.

    `by_patient` and `images` (n_patients,): each patient's balance and number of images.
    """

    second_only: int
    first_only: int
    by_patient: Floats
    images: Floats

    @property
    def n(self) -> int:
        """How many images there are."""
        return int(self.images.sum())

    @property
    def difference(self) -> float:
        """The second share minus the first."""
        return (self.second_only - self.first_only) / self.n


def paired_proportions(
    first: Bools,
    second: Bools,
    clusters: npt.NDArray[Any] | None = None,
    confidence: float = 0.95,
) -> PairedProportions:
    """Compare two shares of the same images, of whether each model was right, (n,) each.

    `clusters` (n,) names the patient of each image; without it images are independent. All numbers
    are NaN where there is no image.

    >>> first = np.repeat([True, False, True, False], [1, 7, 1, 12])
    >>> second = np.repeat([True, True, False, False], [1, 7, 1, 12])
    >>> paired_proportions(first, second).p
    0.0703125
    """
    if not len(first):
        return PairedProportions(*(float("nan"),) * 4, "McNemar", "")
    balance = count_balance(first, second, clusters)
    several = bool((balance.images > 1).any())
    p, test = _test(balance, several)
    effect = design_effect(balance) if several else 1.0
    low, high = tango_interval(
        balance.second_only / effect, balance.first_only / effect, balance.n / effect, confidence
    )
    way = "Tango score interval" + (", widened by the patients' design effect" if several else "")
    return PairedProportions(balance.difference, low, high, p, test, way)


def count_balance(first: Bools, second: Bools, clusters: npt.NDArray[Any] | None) -> Balance:
    """How the images (n,) on which the models differ are spread over the patients."""
    patient = np.arange(len(first)) if clusters is None else _codes(clusters)
    change = second.astype(np.float64) - first
    return Balance(
        second_only=int((change > 0).sum()),
        first_only=int((change < 0).sum()),
        by_patient=np.bincount(patient, weights=change).astype(np.float64),
        images=np.bincount(patient).astype(np.float64),
    )


def exact_p(balances: Floats) -> float:
    """The two-sided p-value where in each patient the two models might as well be swapped.

    `balances` (n_patients,) are whole numbers. Of all swaps, the share whose sum is as far from
    zero. With one image a patient this is the exact binomial test of McNemar.

    >>> exact_p(np.array([1.0] * 7 + [-1.0]))
    0.0703125
    """
    sizes = np.abs(balances[balances != 0]).astype(np.int64)
    chances = np.ones(1)  # of each sum, from -total to total
    for size in sizes:
        step = np.zeros(2 * size + 1)
        step[[0, -1]] = 0.5
        chances = np.convolve(chances, step)
    total = int(sizes.sum())
    sums = np.abs(np.arange(-total, total + 1))
    return float(min(1.0, chances[sums >= abs(int(balances.sum()))].sum()))


def obuchowski_p(balances: Floats) -> float:
    """The p-value of equal shares, by the spread of the balances over all patients (n_patients,).

    Source: Obuchowski 1998 in the notation of Yang, Sun and Hardin 2010.
    """
    n = len(balances)
    statistic = (n - 1) / n * balances.sum() ** 2 / (balances**2).sum()
    return chi_square_tail(statistic, 1)


def design_effect(balance: Balance) -> float:
    """How many times wider the variance is than if images were independent; at least 1.

    Where the models never differ nothing tells it, and images of a patient count as one.
    Source: Rao and Scott 1992 for counts divided by it.
    """
    n_patients, difference = len(balance.images), balance.difference
    alone = balance.second_only + balance.first_only - balance.n * difference**2
    if not alone > 0 or n_patients < 2:
        return balance.n / n_patients
    spread = ((balance.by_patient - balance.images * difference) ** 2).sum()
    return max(1.0, float(n_patients / (n_patients - 1) * spread / alone))


def tango_interval(
    second_only: float, first_only: float, n: float, confidence: float = 0.95
) -> tuple[float, float]:
    """The score interval of the difference (second_only - first_only) / n of paired shares.

    It has width also where the models never differ, when every resample would be alike.
    """
    from scipy.optimize import brentq  # slow to load

    quantile = float(normal_quantile(0.5 + confidence / 2))
    observed = (second_only - first_only) / n

    def distance(difference: float) -> float:
        return _score(second_only, first_only, n, difference)

    edge = 1e-12
    low = high = observed
    if observed > -1 + edge:
        low = float(brentq(lambda d: distance(d) - quantile, -1 + edge, observed))
    if observed < 1 - edge:
        high = float(brentq(lambda d: distance(d) + quantile, observed, 1 - edge))
    return low, high


def _score(second_only: float, first_only: float, n: float, difference: float) -> float:
    """Tango's statistic: how far the observed difference is from a supposed one."""
    a = 2 * n
    b = -second_only - first_only + (2 * n - second_only + first_only) * difference
    c = -first_only * difference * (1 - difference)
    share = (np.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)
    variance = n * (2 * share + difference * (1 - difference))
    top = second_only - first_only - n * difference
    return float(top / np.sqrt(max(variance, 1e-300)))


def _test(balance: Balance, several: bool) -> tuple[float, str]:
    discordant = int((balance.by_patient != 0).sum())
    name = "McNemar by patient" if several else "McNemar"
    if discordant < FEW:
        way = "exact, by swaps" if several else "exact binomial"
        return exact_p(balance.by_patient), f"{name}, {way}"
    if several:
        return obuchowski_p(balance.by_patient), f"{name} (Obuchowski 1998)"
    statistic = (balance.second_only - balance.first_only) ** 2 / discordant
    return chi_square_tail(statistic, 1), name


def _codes(clusters: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    return np.unique(clusters.astype(str), return_inverse=True)[1].reshape(-1)
