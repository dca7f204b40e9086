"""McNemar's test and its interval, against published examples, SciPy and simulation."""

from __future__ import annotations

from itertools import product

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import binomtest, chi2, kstest

from pellucid.evaluation.comparing.mcnemar import (
    exact_p,
    obuchowski_p,
    paired_proportions,
    tango_interval,
)

COUNTS = st.integers(0, 12)


def answers(both: int, first: int, second: int, neither: int) -> tuple[npt.NDArray[np.bool_], ...]:
    """Who was right on each image: both, the first alone, the second alone, neither."""
    numbers = [both, first, second, neither]
    return np.repeat([1, 1, 0, 0], numbers) > 0, np.repeat([1, 0, 1, 0], numbers) > 0


def test_many_discordant_pairs_give_agrestis_statistic() -> None:
    # Approval of the prime minister, two surveys (Agresti, Categorical Data Analysis, 10.1.1):
    # 150 and 86 changed their minds; z squared is 17.36.
    found = paired_proportions(*answers(794, 150, 86, 570))
    assert found.test == "McNemar"
    assert chi2.isf(found.p, 1) == pytest.approx(17.36, abs=0.005)
    assert found.difference == pytest.approx((86 - 150) / 1600)


def test_few_discordant_pairs_give_the_published_exact_p_and_interval() -> None:
    # Airway hyper-responsiveness before and after transplantation (Bentur et al. 2009), in
    # Fagerland, Lydersen and Laake: exact p 0.070 (2013), Tango -0.517 to -0.026 (2014, table V).
    found = paired_proportions(*answers(1, 7, 1, 12))
    assert found.test == "McNemar, exact binomial"
    assert found.p == pytest.approx(0.0703, abs=5e-5)
    assert (found.low, found.high) == pytest.approx((-0.517, -0.026), abs=5e-4)


def test_glands_of_patients_give_obuchowskis_published_statistic() -> None:
    # PET and SPECT of the glands of 21 patients (Obuchowski 1998): chi-square 2.8571, p 0.09097.
    balances = np.zeros(21)
    balances[[0, 1, 4, 8, 14, 17]] = [2, 1, 1, -1, 2, 1]
    assert obuchowski_p(balances) == pytest.approx(0.09097, abs=5e-6)
    assert chi2.isf(obuchowski_p(balances), 1) == pytest.approx(2.8571, abs=5e-5)


@given(COUNTS, COUNTS)
def test_the_exact_test_is_the_binomial_one(first: int, second: int) -> None:
    both_ways = binomtest(first, first + second).pvalue if first + second else 1.0
    balances = np.repeat([-1.0, 1.0], [first, second])
    assert exact_p(balances) == pytest.approx(both_ways, rel=1e-9)


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=9))
def test_the_exact_test_counts_every_swap_within_patients(balances: list[int]) -> None:
    sums = [
        abs(sum(sign * size for sign, size in zip(signs, balances, strict=True)))
        for signs in product([-1, 1], repeat=len(balances))
    ]
    share = np.mean([total >= abs(sum(balances)) for total in sums])
    assert exact_p(np.array(balances, dtype=float)) == pytest.approx(share)


@given(COUNTS, COUNTS, st.integers(1, 20))
def test_the_interval_is_where_the_likelihood_score_reaches_the_quantile(
    first: int, second: int, concordant: int
) -> None:
    n = first + second + concordant
    low, high = tango_interval(second, first, n)
    assert low <= (second - first) / n <= high
    for bound in (low, high):
        if 1e-6 < abs(bound) < 1 - 1e-6:
            assert score_by_search(second, first, n, bound) == pytest.approx(1.959964, abs=2e-3)


def score_by_search(second: int, first: int, n: int, difference: float) -> float:
    """The score statistic with the nuisance share found by a search for the best likelihood."""

    def unlikely(share: float) -> float:
        cells = [share + difference, share, 1 - 2 * share - difference]
        terms = zip([second, first, n - first - second], np.maximum(cells, 1e-300), strict=True)
        return -sum(count * np.log(cell) for count, cell in terms)

    bounds = (max(0.0, -difference), (1 - difference) / 2)
    share = minimize_scalar(unlikely, bounds=bounds, method="bounded", options={"xatol": 1e-12}).x
    variance = (2 * share + difference - difference**2) / n
    return float(abs((second - first) / n - difference) / np.sqrt(variance))


def test_models_that_never_differ_leave_a_difference_open() -> None:
    right = np.ones(40, dtype=bool)
    found = paired_proportions(right, right)
    assert (found.difference, found.p) == (0, 1)
    assert found.high == pytest.approx(1.959964**2 / (40 + 1.959964**2), rel=1e-5)
    by_patient = paired_proportions(right, right, np.repeat(np.arange(10), 4))
    assert by_patient.high == pytest.approx(1.959964**2 / (10 + 1.959964**2), rel=1e-5)


@pytest.mark.parametrize("n_images", [1, 40])
def test_no_image_one_image_one_patient(n_images: int) -> None:
    nothing = paired_proportions(np.zeros(0, bool), np.zeros(0, bool))
    assert np.isnan([nothing.difference, nothing.low, nothing.high, nothing.p]).all()
    one = paired_proportions(
        np.zeros(n_images, bool), np.ones(n_images, bool), np.repeat("P", n_images)
    )
    assert (one.difference, one.p, one.high) == (1, 1, 1)
    assert one.low < 0.1


def test_one_image_a_patient_is_the_same_with_and_without_patients() -> None:
    first, second = answers(30, 20, 35, 15)
    assert paired_proportions(first, second) == paired_proportions(first, second, np.arange(100))


def test_swapping_the_models_turns_the_sign() -> None:
    random = np.random.default_rng(0)
    first, second = random.random((2, 200)) < 0.8
    patients = random.integers(0, 50, 200)
    there = paired_proportions(first, second, patients)
    back = paired_proportions(second, first, patients)
    assert there.p == pytest.approx(back.p)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low), abs=1e-9)


def one_trial(random: np.random.Generator, n_patients: int, n_images: int, gain: float):  # type: ignore[no-untyped-def]
    """Right answers of two models, alike within patients, the second better by `gain` at most."""
    patients = np.repeat(np.arange(n_patients), n_images)
    hard = random.normal(size=(2, n_patients))[:, patients] + random.normal(size=(2, len(patients)))
    first, second = hard < np.array([[0.8], [0.8 + gain]])
    return first, second, patients


@pytest.mark.parametrize(("n_patients", "n_images"), [(400, 1), (100, 4), (60, 10)])
def test_p_values_are_even_where_there_is_no_difference(n_patients: int, n_images: int) -> None:
    random = np.random.default_rng(1)
    p_values = [
        paired_proportions(*one_trial(random, n_patients, n_images, 0.0)).p for _ in range(600)
    ]
    # 0.067 is the 1 % critical value of 600; equal counts, which give p = 1, add to it
    assert kstest(p_values, "uniform").statistic < 0.1
    assert 0.03 < np.mean(np.array(p_values) < 0.05) < 0.075


def test_ignoring_patients_would_find_differences_that_are_not_there() -> None:
    random = np.random.default_rng(2)
    trials = [one_trial(random, 60, 10, 0.0) for _ in range(300)]
    naive = np.mean([paired_proportions(*trial[:2]).p < 0.05 for trial in trials])
    assert naive > 0.15


@pytest.mark.parametrize(("n_patients", "n_images", "gain"), [(80, 1, 0.4), (80, 5, 0.4)])
def test_the_interval_holds_the_true_difference(
    n_patients: int, n_images: int, gain: float
) -> None:
    random = np.random.default_rng(3)
    first, second, _ = one_trial(random, 200_000, 1, gain)
    true = second.mean() - first.mean()
    held = 0
    for _ in range(600):
        found = paired_proportions(*one_trial(random, n_patients, n_images, gain))
        held += found.low <= true <= found.high
    assert 0.93 < held / 600 < 0.975
