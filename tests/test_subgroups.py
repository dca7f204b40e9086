"""Subgroups: who stands in which, what is suppressed, and whether a gap is more than chance."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom
from sklearn.metrics import roc_auc_score

from pellucid.evaluation.groups.fact_groups import (
    AGE_BANDS,
    FactGroups,
    age_in_years,
    group_by_facts,
)
from pellucid.evaluation.groups.group_gap import (
    MANY_PATIENTS,
    GroupAreas,
    compare_groups,
    deal_groups,
    gap_interval,
)
from pellucid.evaluation.groups.subgroups import judge_subgroups
from pellucid.evaluation.judged import Judged
from pellucid.evaluation.uncertainty.delong import auroc_delong
from pellucid.evaluation.uncertainty.figures import build_figures, main_metrics
from pellucid.task import Target

Ints = np.ndarray[tuple[int], np.dtype[np.int64]]


def make_judged(
    seed: int,
    patients: int = 60,
    most_images: int = 1,
    groups: int = 2,
    *,
    separations: tuple[float, ...] = (1.5, 1.5, 1.5, 1.5),
    classes: tuple[str, ...] = ("well", "sick"),
    scales: tuple[float, ...] = (1, 1, 1, 1),
    wandering: float = 0.0,
    **facts: object,
) -> tuple[Judged, Ints]:
    """Patients with 1 to `most_images` images whose scores are alike; and the group of each."""
    random = np.random.default_rng(seed)
    patient = np.repeat(np.arange(patients), random.integers(1, most_images + 1, patients))
    codes = random.integers(0, len(classes), patients)[patient]
    group = random.integers(0, groups, patients)[patient]
    moves = random.random(len(patient)) < wandering
    group = np.where(moves, random.integers(0, groups, len(patient)), group)
    own = random.normal(size=(patients, len(classes)))[patient] * math.sqrt(0.6)
    logits = own + random.normal(size=own.shape) * math.sqrt(0.4)
    logits[np.arange(len(codes)), codes] += np.array(separations)[group]
    logits *= np.array(scales)[group][:, None]
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    table = pd.DataFrame(
        {
            "image_id": [f"i{number}" for number in range(len(patient))],
            "patient_id": [f"p{number}" for number in patient],
            "group": np.array(list("ABCDEFGH"), dtype=object)[group],
            **facts,
        }
    )
    return Judged(Target(name="t", classes=classes), "test", shares, codes, table), group


def with_facts(judged: Judged, **facts: object) -> Judged:
    table = judged.table.drop(columns="group").assign(**facts)
    return Judged(judged.target, judged.split, judged.probabilities, judged.codes, table)


def grouped(values: list[object], name: str = "fact") -> FactGroups | None:
    found = group_by_facts(pd.DataFrame({name: pd.Series(values, dtype=object)}))
    return found[0] if found else None


# ---- facts


@pytest.mark.parametrize(
    ("text", "years"),
    [
        ("045Y", 45),
        ("006M", 0.5),
        ("052W", 364 / 365.25),
        ("010D", 10 / 365.25),
        ("45", 45),
        ("45.5", 45.5),
        (" 45 years ", 45),
        ("90+", 90),
        (">89", 89),
        ("adult", math.nan),
        ("-3", math.nan),
        ("999", math.nan),
        ("", math.nan),
    ],
)
def test_ages_are_read_in_every_usual_form(text: str, years: float) -> None:
    assert age_in_years(text) == pytest.approx(years, nan_ok=True)


def test_ages_become_bands_and_what_is_no_age_is_unknown() -> None:
    ages: list[object] = ["017Y", "18", 39.0, "040Y", 59, "60", "080Y", "006M", None, "", "?"]
    groups = grouped(ages * 3 + ["old"], "PatientAge")
    assert groups is not None
    assert groups.values == (*AGE_BANDS, "unknown")
    shown = [groups.values[code] for code in groups.codes[:11]]
    bands = ["0–17", "18–39", "18–39", "40–59", "40–59", "60–79", "80+", "0–17"]
    assert shown == [*bands, *["unknown"] * 3]
    assert groups.values[groups.codes[-1]] == "unknown"


def test_the_unit_of_an_age_may_stand_in_the_name_of_the_column() -> None:
    groups = grouped([12, 240, 480, 600] * 5, "age_months")
    assert groups is not None
    assert groups.values == ("0–17", "18–39", "40–59")


def test_ages_in_words_stay_words() -> None:
    groups = grouped(["adult", "child"] * 10, "age")
    assert groups is not None
    assert set(groups.values) == {"adult", "child"}


def test_other_numbers_become_quarters_of_the_images() -> None:
    groups = grouped([*np.linspace(18, 40, 100), math.nan, math.inf], "bmi")
    assert groups is not None
    assert len(groups.values) == 5
    assert np.bincount(groups.codes).tolist() == [24, 25, 25, 26, 2]
    assert groups.values[0].startswith("under ")
    assert groups.values[3].endswith(" or more")


def test_equal_numbers_stay_together() -> None:
    groups = grouped([0.0] * 90 + [float(k) for k in range(1, 31)], "pack_years")
    assert groups is not None
    assert groups.values == ("under 1", "1 or more")
    assert groups.codes.tolist() == [0] * 90 + [1] * 30


def test_few_numbers_are_categories_in_their_order() -> None:
    groups = grouped([3, 1.5, 3, 3, 1.5, 7] * 5, "field_strength_t")
    assert groups is not None
    assert groups.values == ("1.5", "3", "7")


def test_spellings_are_one_value_and_missing_words_are_unknown() -> None:
    groups = grouped(["M", "m", " M ", "F", "f", "F", "n/a", None, "Unknown", "M"], "sex")
    assert groups is not None
    assert groups.values == ("M", "F", "unknown")
    assert groups.codes.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 0]


def test_a_gap_in_a_column_of_whole_numbers_changes_no_name() -> None:
    groups = grouped([1.0, 2.0, math.nan] * 5, "site")
    assert groups is not None
    assert groups.values == ("1", "2", "unknown")


def test_twelve_values_at_most_the_rarest_are_other() -> None:
    sites = [f"site {k}" for k in range(20) for _ in range(40 - k)]
    groups = grouped(list(sites), "site")
    assert groups is not None
    assert len(groups.values) == 12
    assert groups.values[0] == "site 0"
    assert groups.values[-1] == "other"
    assert (groups.codes == 11).sum() == sum(40 - k for k in range(11, 20))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("image_path", ["a", "b"] * 20),
        ("StudyDate", ["20200101", "20200102"] * 20),
        ("acquired", list(pd.date_range("2020-01-01", periods=40))),
        ("clinical_notes", ["a", "b"] * 20),
        ("SOPInstanceUID", ["1.2", "1.3"] * 20),
        ("constant", ["same"] * 40),
        ("half_empty", ["same", None] * 20),
        ("hospital_id", [f"h{k}" for k in range(40)]),
        ("remark", [f"text {k}" for k in range(40)]),
        ("empty", [None] * 40),
    ],
)
def test_what_groups_nobody_is_left_out(name: str, values: list[object]) -> None:
    assert grouped(values, name) is None


@pytest.mark.parametrize("name", ["view", "laterality", "Manufacturer", "site_id", "profile"])
def test_what_groups_is_kept(name: str) -> None:
    groups = grouped(["x", "y", "y"] * 10, name)
    assert groups is not None
    assert groups.values == ("y", "x")


def test_odd_columns_do_no_harm() -> None:
    facts = pd.DataFrame({"lists": [[1], [2]] * 10, "flags": [True, False] * 10})
    facts["kind"] = pd.Categorical(["a", "b"] * 10)
    facts = pd.concat([facts, facts[["flags"]]], axis=1)
    facts.columns = ["lists", "flags", 7, "flags"]
    assert [groups.fact for groups in group_by_facts(facts)] == ["lists", "flags", "7", "flags"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.none(), st.text(), st.floats(), st.integers(), st.booleans())))
def test_any_column_gives_each_image_one_group(values: list[object]) -> None:
    groups = grouped(values)
    if groups is not None:
        assert len(groups.codes) == len(values)
        assert 2 <= len(groups.values) <= 13
        assert len(set(groups.values)) == len(groups.values)
        assert set(groups.codes.tolist()) == set(range(len(groups.values)))


# ---- the test of no difference


@pytest.mark.parametrize("most_images", [1, 4])
def test_areas_are_scikit_learns_and_variances_delongs(most_images: int) -> None:
    judged, group = make_judged(3, 150, most_images, groups=3, separations=(0.5, 0.5, 0.5))
    judged.probabilities[:] = judged.probabilities.round(1)  # ties
    areas, covariance = GroupAreas(judged, group)(group)
    for number in range(3):
        part = judged.rows(group == number)
        assert areas[number] == pytest.approx(roc_auc_score(part.codes, part.probabilities[:, 1]))
        value, variance = auroc_delong(part.probabilities[:, 1], part.codes == 1, part.patient_ids)
        assert areas[number] == pytest.approx(value)
        assert covariance[number, number] == pytest.approx(variance)
    assert covariance[0, 1] == 0.0


def test_areas_of_three_classes_are_macro_one_vs_rest() -> None:
    judged, group = make_judged(4, 90, 3, classes=("a", "b", "c"))
    areas, _ = GroupAreas(judged, group)(group)
    part = judged.rows(group == 1)
    macro = roc_auc_score(part.codes, part.probabilities, multi_class="ovr", average="macro")
    assert areas[1] == pytest.approx(macro)


def test_a_perfect_group_is_not_certain() -> None:
    judged, group = make_judged(5, 40, separations=(40, 40))
    areas, covariance = GroupAreas(judged, group)(group)
    assert areas.tolist() == [1.0, 1.0]
    assert (np.diag(covariance) > 0).all()
    assert compare_groups(judged, group, (99, 0)).p == 1.0


def test_dealing_moves_whole_patients_and_keeps_every_class_in_every_group() -> None:
    judged, group = make_judged(6, 50, 5, groups=3, wandering=0.2)
    fixed = pd.Series(group).groupby(judged.patient_ids).nunique() == 1
    dealings = deal_groups(judged, group, np.random.default_rng(0))
    changed = 0
    for _ in range(20):
        dealt = next(dealings)
        changed += int((dealt != group).sum())
        of_patient = pd.Series(dealt).groupby(judged.patient_ids).nunique()
        assert (of_patient[fixed] == 1).all()
        mixed = ~fixed.loc[list(judged.patient_ids)].to_numpy()
        before = pd.crosstab([judged.patient_ids[mixed], judged.codes[mixed]], group[mixed])
        after = pd.crosstab([judged.patient_ids[mixed], judged.codes[mixed]], dealt[mixed])
        assert (before == after).all(axis=None)
        patients = pd.DataFrame({"p": judged.patient_ids, "c": judged.codes, "g": dealt})
        counts = patients.drop_duplicates().groupby(["c", "g"]).size()
        patients["g"] = group
        assert counts.equals(patients.drop_duplicates().groupby(["c", "g"]).size())
    assert changed > 100


def _rejections(make: Callable[[int], tuple[Judged, Ints]], runs: int) -> np.ndarray:
    p = [compare_groups(*make(seed), (99, seed)).p for seed in range(runs)]
    return np.array([np.mean(np.array(p) <= level) for level in (0.05, 0.2, 0.5)])


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda seed: make_judged(seed, 60, 1), id="one image a patient"),
        pytest.param(lambda seed: make_judged(seed, 80, 6, 3), id="many images a patient"),
        pytest.param(lambda seed: make_judged(seed, 80, 6, wandering=0.4), id="patients in both"),
        pytest.param(lambda seed: make_judged(seed, 150, 3, 3, scales=(1, 2, 4)), id="unlike"),
        pytest.param(lambda seed: make_judged(seed, 90, 2, classes=("a", "b", "c")), id="three"),
        pytest.param(lambda seed: make_judged(seed, 800, 2), id="chi-square"),
    ],
)
def test_without_a_gap_p_is_about_uniform(make: Callable[[int], tuple[Judged, Ints]]) -> None:
    """At 5, 20 and 50 % no more rejections than 120 fair tests show, but for 1 in 1000."""
    runs = 120
    found = _rejections(make, runs) * runs
    for rejected, level in zip(found, (0.05, 0.2, 0.5), strict=True):
        low, high = binom.ppf([0.0005, 0.9995], runs, level)
        assert low <= rejected <= high


def test_testing_images_as_if_independent_would_find_gaps_that_are_not_there() -> None:
    """Why patients are dealt: dealing images rejects far more often than 5 %."""
    naive = []
    for seed in range(60):
        judged, group = make_judged(seed, 30, 10, separations=(1, 1))
        table = judged.table.assign(patient_id=judged.image_ids)
        alone = Judged(judged.target, "test", judged.probabilities, judged.codes, table)
        naive.append(compare_groups(alone, group, (99, seed)).p)
    assert np.mean(np.array(naive) <= 0.05) > 0.15


def test_chi_square_where_every_group_has_many_patients() -> None:
    judged, group = make_judged(0, 5 * MANY_PATIENTS)
    assert compare_groups(judged, group, (99, 0)).test.startswith("chi-square")
    judged, group = make_judged(0, MANY_PATIENTS)
    assert compare_groups(judged, group, (99, 0)).test.startswith("permutation")


def test_the_interval_of_the_gap_holds_the_true_gap() -> None:
    """True areas 0.7 and 0.9 (normals 0.74 and 1.81 deviations apart)."""
    held = held_none = 0
    for seed in range(200):
        judged, group = make_judged(seed, 100, 2, separations=(0.7416, 1.8124))
        areas = GroupAreas(judged, group)
        low, high = gap_interval(*areas(group), areas.fewest, seed)
        held += low <= 0.2 <= high
        judged, group = make_judged(seed, 100, 2, groups=4)
        areas = GroupAreas(judged, group)
        held_none += gap_interval(*areas(group), areas.fewest, seed)[0] == 0.0
    assert held >= 182  # 95 % of 200, less 2.6 standard errors
    assert held_none >= 182


# ---- the block


def test_a_planted_gap_is_found_and_told() -> None:
    judged, _ = make_judged(1, 300, 2, separations=(0.2, 2.5))
    random = np.random.default_rng(0)
    judged = with_facts(
        judged, group=judged.table["group"], sex=random.choice(["F", "M"], judged.n)
    )
    planted, chance = judge_subgroups(judged, (200, 0))
    assert planted["fact"] == "group"
    assert planted["p_corrected"] < 0.05
    assert planted["p_corrected"] >= planted["p"]
    figures = {v["value"]: v["metrics"]["auroc"]["value"] for v in planted["values"]}
    assert planted["gap"]["value"] == pytest.approx(figures["B"] - figures["A"])
    assert planted["gap"]["low"] > 0
    assert "more than chance" in planted["verdict"]
    assert "in A and" in planted["verdict"]
    assert chance["p_corrected"] > 0.05
    assert chance["gap"]["low"] == 0.0
    assert "within chance" in chance["verdict"]
    json.dumps([planted, chance], allow_nan=False)


def test_the_figures_of_a_group_are_those_of_its_images_alone() -> None:
    judged, _ = make_judged(2, 100)
    (entry,) = judge_subgroups(judged, (50, 0), threshold=0.7)
    for value in entry["values"]:
        inside = judged.table["group"].to_numpy() == value["value"]
        part, called = judged.rows(inside), judged.probabilities[inside, 1] >= 0.7
        assert value["n_images"] == inside.sum()
        assert list(value["metrics"]) == ["auroc", "sensitivity", "specificity", "ppv", "npv"]
        expected = called[part.codes == 1].mean()
        assert value["metrics"]["sensitivity"]["value"] == pytest.approx(expected)
        assert value["metrics"]["auroc"]["value"] == pytest.approx(
            roc_auc_score(part.codes, part.probabilities[:, 1])
        )
    cells = 2 * judged.codes + (judged.probabilities[:, 1] >= 0.7)
    assert judge_subgroups(judged, (50, 0), cells=cells) == [entry]


def test_small_cells_are_suppressed_and_their_figures_nowhere() -> None:
    judged, _ = make_judged(3, 120, 2)
    site = np.where(np.isin(judged.patient_ids, [f"p{k}" for k in range(7)]), "tiny", "large")
    odd = np.array(judged.patient_ids) == "p20"
    site = np.where(odd, "", site).astype(object)
    (entry,) = judge_subgroups(with_facts(judged, site=site), (50, 0))
    large, tiny, unknown = entry["values"]
    assert (large["value"], tiny["value"], unknown["value"]) == ("large", "tiny", "unknown")
    for value in (tiny, unknown):
        assert value["suppressed"]
        assert value["metrics"] == {}
        assert value["n_images"] is None
        assert value["n_patients"] is None
        assert "fewer than 10 patients" in value["reason"]
    assert not large["suppressed"]
    part = judged.rows(site == "tiny")
    exact = roc_auc_score(part.codes, part.probabilities[:, 1])
    written = json.dumps(entry)
    assert str(exact) not in written
    assert entry["gap"] is None
    assert entry["p"] is None
    assert entry["p_corrected"] is None
    assert "cannot be compared" in entry["verdict"]


def test_a_group_with_few_of_a_class_is_suppressed_however_many_images_they_have() -> None:
    judged, _ = make_judged(4, 60)
    sick = np.flatnonzero(judged.codes == 1)
    site = np.where(judged.codes == 1, "rest", "other place").astype(object)
    site[np.flatnonzero(judged.codes == 0)[:12]] = "rest"
    site[sick[:4]] = "other place"
    (entry,) = judge_subgroups(with_facts(judged, site=site), (50, 0))
    by_name = {value["value"]: value for value in entry["values"]}
    assert by_name["other place"]["reason"] == "fewer than 5 patients of class sick"
    assert by_name["other place"]["n_patients"] >= 10
    assert not by_name["rest"]["suppressed"]


def test_unknown_is_shown_and_not_part_of_the_gap() -> None:
    judged, _ = make_judged(5, 300, separations=(1.5, 1.5, -3.0), groups=3)
    site = judged.table["group"].where(judged.table["group"] != "C")
    (entry,) = judge_subgroups(with_facts(judged, site=site), (99, 0))
    unknown = entry["values"][-1]
    assert unknown["value"] == "unknown"
    assert unknown["metrics"]["auroc"]["value"] < 0.3
    assert entry["gap"]["value"] < 0.3
    assert entry["p"] > 0.01


@pytest.mark.parametrize("classes", [("well", "sick"), ("a", "b", "c")])
def test_figures_are_those_of_an_evaluation_of_the_group(classes: tuple[str, ...]) -> None:
    judged, _ = make_judged(2, 100, 2, classes=classes)
    (entry,) = judge_subgroups(judged, (50, 0))
    for value in entry["values"]:
        part = judged.rows(judged.table["group"].to_numpy() == value["value"])
        called = part.probabilities.argmax(axis=1)
        figures = build_figures(part, len(classes) * part.codes + called, (50, 0))
        expected = main_metrics(figures, part.target)
        assert value["metrics"] == {name: expected[name] for name in value["metrics"]}


def test_three_classes() -> None:
    judged, _ = make_judged(6, 200, 2, classes=("a", "b", "c"), separations=(0.3, 3.0))
    (entry,) = judge_subgroups(judged, (99, 0))
    for value in entry["values"]:
        assert list(value["metrics"]) == ["auroc", "balanced_accuracy", "accuracy"]
    assert entry["p"] <= 0.02


def test_neither_the_order_of_rows_nor_a_second_run_changes_what_is_said() -> None:
    judged, _ = make_judged(7, 300, 2, separations=(0.2, 2.5))
    (entry,) = judge_subgroups(judged, (99, 3))
    assert judge_subgroups(judged, (99, 3)) == [entry]
    order = np.random.default_rng(0).permutation(judged.n)
    shuffled = Judged(
        judged.target,
        "test",
        judged.probabilities[order],
        judged.codes[order],
        judged.table.iloc[order].reset_index(drop=True),
    )
    (again,) = judge_subgroups(shuffled, (99, 3))
    assert [v["value"] for v in again["values"]] == [v["value"] for v in entry["values"]]
    assert again["gap"]["value"] == pytest.approx(entry["gap"]["value"])
    assert again["gap"]["low"] == pytest.approx(entry["gap"]["low"], abs=1e-6)


def test_without_facts_there_are_no_subgroups() -> None:
    judged, _ = make_judged(8, 30)
    assert judge_subgroups(with_facts(judged), (50, 0)) == []


def test_one_patient_and_one_class_are_told_not_judged() -> None:
    judged, _ = make_judged(9, 30, 4)
    one = judged.rows(judged.codes == 1)
    (entry,) = judge_subgroups(one, (50, 0))
    assert all(value["suppressed"] for value in entry["values"])
    assert entry["test"].startswith("not made")


def test_the_covid_table_by_sex_age_and_view(shared_data: Path) -> None:
    facts = pd.read_csv(shared_data / "covid_xray" / "metadata.csv", dtype=str)
    random = np.random.default_rng(0)
    codes = random.integers(0, 2, len(facts))
    sick = 1 / (1 + np.exp(-random.normal(1.5 * codes - 0.75)))
    table = facts.rename(columns={"filename": "image_id", "patientid": "patient_id"})
    judged = Judged(
        Target(name="t", classes=("no", "yes")),
        "test",
        np.stack([1 - sick, sick], axis=1),
        codes,
        table[["image_id", "patient_id", "sex", "age", "view", "license", "url"]],
    )
    sex, age, view = judge_subgroups(judged, (200, 0))
    assert [v["value"] for v in sex["values"]] == ["M", "F", "unknown"]
    assert [v["suppressed"] for v in sex["values"]] == [False, False, True]
    assert [v["value"] for v in age["values"]] == ["18–39", "40–59", "unknown"]
    assert age["p"] is None  # five of the hundred have an age
    assert [v["value"] for v in view["values"]] == ["PA", "AP Supine", "AP"]
    assert view["p"] is not None
