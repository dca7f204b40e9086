"""Quantiles and tails against `scipy.stats`, at usual and at odd arguments."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pellucid.evaluation.uncertainty.distributions import (
    beta_quantile,
    chi_square_tail,
    hypergeometric_tail,
    normal_quantile,
    normal_share,
    student_quantile,
)

SHARES = st.floats(1e-6, 1 - 1e-6)


@settings(deadline=None)
@given(SHARES, st.floats(0.3, 1e6))
def test_quantiles(share: float, degrees: float) -> None:
    assert normal_quantile(share) == pytest.approx(stats.norm.ppf(share), rel=1e-9, abs=1e-12)
    expected = stats.t.ppf(share, degrees)
    assert student_quantile(share, degrees) == pytest.approx(expected, rel=1e-7, abs=1e-9)
    expected = stats.beta.ppf(share, degrees, 3.0)
    assert beta_quantile(share, degrees, 3.0) == pytest.approx(expected, rel=1e-7)


def test_infinite_degrees_are_the_normal_distribution() -> None:
    assert student_quantile(0.975, np.inf) == normal_quantile(0.975)


def test_tails() -> None:
    z = np.array([-40.0, -3.0, 0.0, 2.5])
    np.testing.assert_allclose(normal_share(z), stats.norm.cdf(z), rtol=1e-12)
    for value in (0.0, 0.3, 4.0, 90.0):
        assert chi_square_tail(value, 3) == pytest.approx(stats.chi2.sf(value, 3), rel=1e-9)


@settings(deadline=None)
@given(st.data())
def test_the_hypergeometric_tail(data: st.DataObject) -> None:
    total = data.draw(st.integers(1, 3000))
    marked, drawn = data.draw(st.integers(0, total)), data.draw(st.integers(0, total))
    at_least = data.draw(st.integers(0, drawn))
    expected = stats.hypergeom.sf(at_least - 1, total, marked, drawn)
    found = hypergeometric_tail(at_least, drawn, marked, total)
    assert found == pytest.approx(expected, rel=1e-7, abs=1e-12)
