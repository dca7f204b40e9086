"""Corrections for many tests, against R's p.adjust, SciPy and their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from pellucid.evaluation.comparing.multiplicity import benjamini_hochberg, holm

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=30)


def test_holm_gives_what_r_gives() -> None:
    # p.adjust(c(0.01, 0.02, 0.03, 0.04, 0.05), "holm")
    assert holm([0.01, 0.02, 0.03, 0.04, 0.05]) == pytest.approx([0.05, 0.08, 0.09, 0.09, 0.09])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])


@given(P_VALUES)
def test_holm_rejects_as_its_step_down_rule_says(p_values: list[float]) -> None:
    level, m = 0.05, len(p_values)
    rejected = set()
    for step, place in enumerate(np.argsort(p_values, kind="stable")):
        if p_values[place] * (m - step) > level:
            break
        rejected.add(int(place))
    assert set(np.flatnonzero(holm(p_values) <= level)) == rejected


@given(P_VALUES)
def test_benjamini_hochberg_is_scipys(p_values: list[float]) -> None:
    assert benjamini_hochberg(p_values) == pytest.approx(false_discovery_control(p_values))


@given(P_VALUES)
def test_holm_is_never_milder_and_keeps_the_order(p_values: list[float]) -> None:
    strict, mild = holm(p_values), benjamini_hochberg(p_values)
    assert (strict >= mild - 1e-12).all()
    assert (mild >= np.asarray(p_values) - 1e-12).all()
    assert (np.diff(strict[np.argsort(p_values)]) >= 0).all()
    assert (strict <= 1).all()


@pytest.mark.parametrize("correct", [holm, benjamini_hochberg])
def test_tests_that_could_not_be_made_do_not_count(correct) -> None:  # type: ignore[no-untyped-def]
    with_gaps = correct([0.01, None, 0.04, float("nan")])
    assert with_gaps[[0, 2]] == pytest.approx(correct([0.01, 0.04]))
    assert np.isnan(with_gaps[[1, 3]]).all()
    assert len(correct([])) == 0
    assert np.isnan(correct([None, None])).all()
    with pytest.raises(ValueError, match=r"1\.3"):
        correct([0.1, 1.3])


def test_holm_keeps_the_chance_of_any_false_claim() -> None:
    random = np.random.default_rng(0)
    false_claims = sum(bool((holm(random.random(8)) <= 0.05).any()) for _ in range(4000))
    assert 0.04 < false_claims / 4000 < 0.06  # 0.05 ± three standard errors
