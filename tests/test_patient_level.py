"""From images to patients: by hand, by pandas, and what happens to contradicting labels."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.errors import UsageError
from pellucid.evaluation.judged import Judged
from pellucid.evaluation.measures.patient_level import RULES, by_patient
from pellucid.task import Target

TWO = Target(name="label", classes=("no", "yes"))
THREE = Target(name="label", classes=("a", "b", "c"))


def judged_of(
    target: Target, patients: list[str], codes: list[int], probabilities: np.ndarray, **facts: list
) -> Judged:
    """Images of these patients; facts are columns of the table."""
    rows = {"image_id": [f"i{n}" for n in range(len(codes))], "patient_id": patients, **facts}
    return Judged(target, "test", probabilities, np.array(codes), pd.DataFrame(rows))


def binary(patients: list[str], codes: list[int], positive: list[float], **facts: list) -> Judged:
    shares = np.stack([1 - np.array(positive), positive], axis=1)
    return judged_of(TWO, patients, codes, shares, **facts)


def test_the_three_rules_by_hand() -> None:
    images = binary(["P2", "P1", "P2", "P1", "P3"], [1, 0, 1, 0, 0], [0.5, 0.2, 0.9, 0.4, 0.3])
    expected = {"mean": [0.3, 0.7, 0.3], "max": [0.4, 0.9, 0.3], "noisy_or": [0.52, 0.95, 0.3]}
    assert list(RULES) == list(expected)
    for rule, positive in expected.items():
        level = by_patient(images, rule)
        assert level.judged is not None
        assert level.judged.probabilities[:, 1] == pytest.approx(positive)
        assert level.judged.probabilities.sum(axis=1) == pytest.approx(np.ones(3))
        assert level.judged.patient_ids.tolist() == ["P1", "P2", "P3"]
        assert level.judged.image_ids.tolist() == ["P1", "P2", "P3"]
        assert level.judged.codes.tolist() == [0, 1, 0]
        assert (level.n_mixed, level.n_left_out, level.reason, level.rule) == (0, 0, "", rule)


def test_the_rules_for_several_classes() -> None:
    shares = np.array([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.1, 0.1, 0.8]])
    images = judged_of(THREE, ["P", "P", "Q"], [1, 1, 2], shares)
    expected = {
        "mean": [0.4, 0.5, 0.1],
        "max": [0.6 / 1.4, 0.7 / 1.4, 0.1 / 1.4],
        "noisy_or": [0.4, 0.5, 0.1],
    }
    for rule, row in expected.items():
        level = by_patient(images, rule)
        assert level.judged is not None
        assert level.judged.probabilities[0] == pytest.approx(row)
        assert level.judged.probabilities[1] == pytest.approx([0.1, 0.1, 0.8])


def test_a_patient_with_one_diseased_image_is_positive_and_told() -> None:
    images = binary(["A", "A", "B", "C", "C"], [0, 1, 0, 1, 0], [0.1, 0.8, 0.2, 0.6, 0.7])
    level = by_patient(images, "max")
    assert level.judged is not None
    assert level.judged.codes.tolist() == [1, 0, 1]
    assert (level.n_mixed, level.n_left_out) == (2, 0)
    assert level.reason == "2 patients have images of both classes and count as yes"


def test_a_patient_of_several_classes_is_left_out_and_told() -> None:
    shares = np.random.default_rng(0).dirichlet(np.ones(3), 5)
    images = judged_of(THREE, ["A", "A", "B", "C", "C"], [0, 1, 0, 2, 2], shares)
    level = by_patient(images, "mean")
    assert level.judged is not None
    assert level.judged.patient_ids.tolist() == ["B", "C"]
    assert level.judged.codes.tolist() == [0, 2]
    assert level.judged.probabilities[1] == pytest.approx(shares[3:].mean(axis=0))
    assert (level.n_mixed, level.n_left_out) == (1, 1)
    assert "1 patient has images of different classes and is left out" in level.reason


def test_where_nobody_is_left_nothing_is_judged() -> None:
    images = judged_of(THREE, ["A", "A"], [0, 1], np.full((2, 3), 1 / 3))
    level = by_patient(images, "mean")
    assert level.judged is None
    assert (level.n_mixed, level.n_left_out) == (1, 1)


def test_one_patient_gives_one_row_whose_auroc_is_undefined() -> None:
    level = by_patient(binary(["A", "A", "A"], [1, 1, 1], [0.2, 0.5, 0.9]), "mean")
    assert level.judged is not None
    assert level.judged.n == level.judged.patients.n == 1
    assert np.isnan(level.judged.rankings[1].auroc(np.ones((1, 1)))[0])


def test_certain_images_need_no_warning() -> None:
    images = binary(["A", "A", "B", "B"], [1, 1, 0, 0], [1.0, 1.0, 0.0, 0.0])
    for rule in RULES:
        level = by_patient(images, rule)
        assert level.judged is not None
        assert level.judged.probabilities.tolist() == [[0.0, 1.0], [1.0, 0.0]]


def test_facts_are_kept_where_a_patients_images_agree() -> None:
    images = binary(
        ["A", "A", "B", "B"],
        [0, 0, 1, 1],
        [0.1, 0.2, 0.8, 0.9],
        sex=["F", "F", "M", "M"],
        view=["PA", "lateral", "PA", "PA"],
        age=[50, 50, 61, 62],
        site=["x", None, None, None],
    )
    level = by_patient(images, "mean")
    assert level.judged is not None
    facts = level.judged.facts
    assert list(facts) == ["sex", "view", "age", "site"]
    assert facts["sex"].tolist() == ["F", "M"]
    assert facts["view"].isna().tolist() == [True, False]
    assert facts["age"].isna().tolist() == [False, True]
    assert facts["site"].isna().all()


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(UsageError, match='Did you mean "noisy_or"'):
        by_patient(binary(["A"], [1], [0.5]), "noisyor")


@settings(deadline=None, max_examples=60)
@given(st.integers(2, 4), st.integers(1, 40), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_rules_equal_pandas_and_ignore_the_order_of_images(
    k: int, n: int, n_patients: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    target = TWO if k == 2 else Target(name="t", classes=tuple("abcd"[:k]))
    shares, codes = random.dirichlet(np.ones(k), n), random.integers(0, k, n)
    patients = [f"P{number}" for number in random.integers(0, n_patients, n)]
    images = judged_of(target, patients, codes.tolist(), shares)
    groups = pd.DataFrame(shares).groupby(np.array(patients))
    labels = pd.Series(codes).groupby(np.array(patients))
    order = random.permutation(n)
    shuffled = judged_of(target, [patients[i] for i in order], codes[order].tolist(), shares[order])
    highest = groups.max()
    expected = {
        "mean": groups.mean(),
        "max": pd.DataFrame({0: 1 - highest[1], 1: highest[1]})
        if k == 2
        else highest.div(highest.sum(axis=1), axis=0),
        "noisy_or": groups.agg(lambda p: 1 - np.prod(1 - p)) if k == 2 else groups.mean(),
    }
    kept = labels.nunique() == 1 if k > 2 else labels.nunique() > 0
    for rule, table in expected.items():
        level, again = by_patient(images, rule), by_patient(shuffled, rule)
        assert level.n_mixed == (labels.nunique() > 1).sum()
        assert level.n_left_out == (~kept).sum()
        if level.judged is None or again.judged is None:
            assert not kept.any()
            continue
        column = slice(1, None) if k == 2 else slice(None)
        ours = level.judged.probabilities[:, column]
        assert ours == pytest.approx(table[kept].to_numpy()[:, column], abs=1e-12)
        assert level.judged.codes.tolist() == labels.max()[kept].tolist()
        assert level.judged.patient_ids.tolist() == kept.index[kept].tolist()
        assert again.judged.probabilities == pytest.approx(level.judged.probabilities, abs=1e-12)
        assert again.judged.codes.tolist() == level.judged.codes.tolist()
