"""Chosen thresholds against every threshold tried in turn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_curve

from judged_pairs import judge_arrays, make_judged
from pellucid.errors import UsageError
from pellucid.evaluation.decisions.operating_point import Wishes, choose_points, youden_point


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 10), st.booleans()), min_size=2, max_size=40),
    st.sampled_from([0.5, 0.8, 0.9, 0.95, 1.0]),
    st.sampled_from([0.2, 1.0, 3.0, 20.0]),
    st.sampled_from([None, 0.05, 0.5]),
)
def test_every_point_is_the_best_of_all_thresholds(
    rows: list[tuple[int, bool]], wanted: float, ratio: float, prevalence: float | None
) -> None:
    p, y = np.array([r[0] / 10 for r in rows]), np.array([r[1] for r in rows])
    if y.all() or not y.any():
        return
    judged = judge_arrays(p, y.astype(int), split="validation")
    wishes = Wishes(wanted, wanted, ratio, prevalence)
    found = {point.name: point for point in choose_points(judged, wishes)}
    assert list(found) == ["youden", "sensitivity", "specificity", "cost_ratio"]
    tried = {t: (np.mean(p[y] >= t), np.mean(p[~y] < t)) for t in np.unique(p)}
    best = max(se + sp for se, sp in tried.values())
    youden = found["youden"].threshold
    if youden is None:
        assert best <= 1 + 1e-12
    else:
        assert sum(tried[youden]) == pytest.approx(best)
        assert all(t <= youden for t, pair in tried.items() if sum(pair) > best - 1e-12)
    reach = {t: sp for t, (se, sp) in tried.items() if se >= wanted - 1e-12}
    point = found["sensitivity"]
    if point.threshold is None:
        assert max(reach.values()) == 0
        assert point.reason
    else:
        assert point.threshold == max(reach)
        assert reach[point.threshold] == max(reach.values())
    reach = {t: se for t, (se, sp) in tried.items() if sp >= wanted - 1e-12}
    point = found["specificity"]
    if point.threshold is None:
        assert not any(reach.values())
    else:
        assert reach[point.threshold] == max(reach.values())
    share = y.mean() if prevalence is None else prevalence
    costs = {t: ratio * share * (1 - se) + (1 - share) * (1 - sp) for t, (se, sp) in tried.items()}
    point = found["cost_ratio"]
    least = min(*costs.values(), ratio * share, 10**9)
    if point.threshold is not None:
        assert costs[point.threshold] == pytest.approx(least)
    elif "no image positive" in point.reason:
        assert least == pytest.approx(ratio * share)
    else:
        assert costs[p.min()] == pytest.approx(least)


def test_youden_is_as_before_on_untied_scores() -> None:
    random = np.random.default_rng(0)
    p, y = random.random(300), random.random(300) < 0.4
    p[y] = np.sqrt(p[y])
    fpr, tpr, thresholds = roc_curve(y, p, drop_intermediate=False)
    point = youden_point(p, y, "validation")
    assert point is not None
    assert point.threshold == thresholds[np.argmax(tpr - fpr)]


def test_prevalence_moves_the_cost_point_and_validation_is_named() -> None:
    judged = make_judged(400, seed=4, split="validation")
    rare, common = (
        choose_points(judged, Wishes(None, None, 5, prevalence))[1] for prevalence in (0.05, 0.7)
    )
    assert rare.threshold is not None
    assert common.threshold is not None
    assert rare.threshold > common.threshold
    assert (rare.chosen_on, rare.wanted, rare.reason) == ("validation", 5, "")


def test_a_sensitivity_that_rounds_is_reached() -> None:
    p = np.r_[np.linspace(0.5, 1, 20), np.linspace(0, 0.52, 20)]
    judged = judge_arrays(p, np.repeat([1, 0], 20))
    point = choose_points(judged, Wishes(0.95, None))[1]
    assert point.threshold == np.linspace(0.5, 1, 20)[1]


def test_absent_classes_and_constant_scores_give_reasons() -> None:
    alone = judge_arrays(np.array([0.1, 0.9]), np.array([1, 1]), split="validation")
    assert [point.reason for point in choose_points(alone)] == [
        "no image of class a in validation"
    ] * 3
    flat = judge_arrays(np.full(4, 0.3), np.array([0, 1, 0, 1]), split="validation")
    points = choose_points(flat, Wishes(cost_ratio=100))
    assert all(point.threshold is None and point.reason for point in points)
    assert points[3].reason.endswith("calling every image positive costs least")


@pytest.mark.parametrize(
    "wish",
    [{"sensitivity": 0}, {"specificity": 1.1}, {"cost_ratio": -1}, {"prevalence": 1}],
)
def test_wishes_outside_their_range_are_refused(wish: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=str(*wish.values())):
        Wishes(**wish)
