"""Comparing models: the same patients, paired tests, and a verdict that claims not too much."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, roc_auc_score

from pellucid.errors import PredictionsError
from pellucid.evaluation.comparing.comparison import (
    compare_predictions,
    describe_comparison,
    load_comparison,
    save_comparison,
)
from pellucid.evaluation.comparing.matching import match_tables
from pellucid.evaluation.comparing.multiplicity import holm
from pellucid.evaluation.comparing.pair_verdict import pair_verdict
from pellucid.evaluation.comparing.paired import (
    BOOTSTRAP,
    Model,
    bootstrap_p,
    compare_pair,
    draw_runs,
    has_formula,
    resample_together,
)
from pellucid.evaluation.uncertainty.delong import paired_delong
from tables import make_table

FEW = {"n_resamples": 200}


def other_model(
    table: pd.DataFrame, noise: float, *, seed: int = 1, gain: float = 0.0
) -> pd.DataFrame:
    """Another model on the same images: noisier logits that know the truth `gain` better."""
    random = np.random.default_rng(seed)
    columns = [name for name in table if str(name).startswith("probability_")]
    codes = pd.Index(columns).get_indexer("probability_" + table["y_true"])
    logits = np.log(table[columns].to_numpy()) + noise * random.normal(
        size=(len(table), len(columns))
    )
    logits[np.arange(len(table)), codes] += gain
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return table.assign(**{name: shares[:, k] for k, name in enumerate(columns)})


def pair_of(document: dict[str, Any], number: int = 0) -> dict[str, Any]:
    pair: dict[str, Any] = document["targets"][0]["pairs"][number]
    return pair


def test_identical_models_do_not_differ() -> None:
    table = make_table(120, patients=40)
    for copy in (table, table.sample(frac=1, random_state=0)):
        pair = pair_of(compare_predictions({"A": table, "B": copy}, **FEW))
        assert pair["verdict"] == "A and B gave identical predictions."
        for entry in pair["metrics"].values():
            assert entry["p"] == entry["p_corrected"] == 1
            assert [entry["difference"][key] for key in ("value", "low", "high")] == [0, 0, 0]


@pytest.mark.parametrize("patients", [None, 60])
def test_a_better_model_is_found_better(patients: int | None) -> None:
    table = make_table(300, patients=patients)
    pair = pair_of(compare_predictions({"A": table, "B": other_model(table, 0.3, gain=1.5)}, **FEW))
    assert pair["verdict"].startswith("B was better than A beyond chance: AUROC")
    assert "better for B: sensitivity (by 0." in pair["verdict"]
    assert all(entry["p_corrected"] < 0.05 for entry in pair["metrics"].values())
    assert all(entry["difference"]["low"] > 0 for entry in pair["metrics"].values())
    turned = pair_of(
        compare_predictions({"B": other_model(table, 0.3, gain=1.5), "A": table}, **FEW)
    )
    assert turned["verdict"].startswith("B was better than A beyond chance")
    assert turned["metrics"]["auroc"]["p"] == pytest.approx(pair["metrics"]["auroc"]["p"])


def test_a_small_difference_is_within_chance_and_says_what_is_not_excluded() -> None:
    table = make_table(80)
    tables = {"A": other_model(table, 0.6, seed=2), "B": other_model(table, 0.6)}
    pair = pair_of(compare_predictions(tables, **FEW))
    figure = pair["metrics"]["auroc"]["difference"]
    assert figure["low"] < 0 < figure["high"]
    assert pair["verdict"].startswith("The difference between B and A is within chance: AUROC")
    assert f"Not excluded: B better by up to {figure['high']:.3f}" in pair["verdict"]
    assert f"or A better by up to {-figure['low']:.3f} of AUROC" in pair["verdict"]


def test_the_numbers_are_those_of_scikit_learn_and_of_delong() -> None:
    table = make_table(200)
    better = other_model(table, 0.5, gain=0.3)
    document = compare_predictions({"A": table, "B": better}, **FEW)
    truth = table["y_true"] == "yes"
    scores = [part["probability_yes"].to_numpy() for part in (table, better)]
    pair, (first, second) = pair_of(document)["metrics"], document["targets"][0]["models"]
    for model, values in zip((first, second), scores, strict=True):
        assert model["metrics"]["auroc"]["value"] == pytest.approx(roc_auc_score(truth, values))
        assert model["metrics"]["accuracy"]["value"] == accuracy_score(truth, values >= 0.5)
    for name in ("auroc", "accuracy", "sensitivity", "specificity"):
        gained = second["metrics"][name]["value"] - first["metrics"][name]["value"]
        assert pair[name]["difference"]["value"] == pytest.approx(gained)
    expected = paired_delong(*scores, truth.to_numpy())
    assert pair["auroc"]["p"] == pytest.approx(expected.p)
    assert pair["auroc"]["test"] == "paired DeLong"


def test_three_models_are_three_pairs_corrected_together() -> None:
    table = make_table(150)
    tables = {name: other_model(table, 0.5, seed=k) for k, name in enumerate("ABC")}
    document = compare_predictions(tables, **FEW)
    pairs = document["targets"][0]["pairs"]
    assert [(pair["first"], pair["second"]) for pair in pairs] == [
        ("A", "B"),
        ("A", "C"),
        ("B", "C"),
    ]
    entries = [entry for pair in pairs for entry in pair["metrics"].values()]
    assert document["n_tests"] == len(entries) == 12
    expected = holm([entry["p"] for entry in entries])
    assert [entry["p_corrected"] for entry in entries] == pytest.approx(expected)


def test_an_interval_without_zero_that_the_correction_does_not_pass_is_explained() -> None:
    table = make_table(150)
    tables = {name: other_model(table, 0.6, seed=k) for k, name in enumerate("ABCDEF")}
    tables["A"] = other_model(table, 0.6, seed=0, gain=0.35)
    pairs = compare_predictions(tables, metrics=["auroc"], **FEW)["targets"][0]["pairs"]
    told = [pair for pair in pairs if "15 tests were made" in pair["verdict"]]
    for pair in pairs:
        entry = pair["metrics"]["auroc"]
        unlucky = entry["p"] < 0.05 <= entry["p_corrected"]
        assert (pair in told) == unlucky
        assert ("within chance" in pair["verdict"]) == (entry["p_corrected"] >= 0.05)
    assert told


def test_images_that_not_all_have_are_left_out_and_counted() -> None:
    table = make_table(100)
    document = compare_predictions({"A": table.iloc[:90], "B": table.iloc[20:]}, **FEW)
    block = document["targets"][0]
    assert block["n_images"] == 70
    assert block["left_out"] == {"A": 20, "B": 10}
    assert "left out: 20 of A, 10 of B" in describe_comparison(document)
    unlabelled = table.assign(y_true=table["y_true"].where(table.index > 4))
    block = compare_predictions({"A": table, "B": unlabelled}, **FEW)["targets"][0]
    assert (block["n_images"], block["left_out"]) == (95, {"A": 5, "B": 0})


def wrong_label(table: pd.DataFrame) -> pd.DataFrame:
    turned = {"no": "yes", "yes": "no"}[table["y_true"][7]]
    return table.assign(y_true=table["y_true"].where(table.index != 7, turned))


REFUSED = {
    "label": (wrong_label, "same label in every table.*1 images labelled otherwise in B.*'007'"),
    "patients": (lambda t: t.assign(patient_id="Q" + t["patient_id"]), "same patient.*100 images"),
    "images": (lambda t: t.assign(image_id="x" + t["image_id"]), "images in common"),
    "classes": (lambda t: t.rename(columns={"probability_no": "probability_nil"}).assign(
        y_true=t["y_true"].replace("no", "nil")), "same classes.*no, yes and, in B, nil, yes"),
    "ids": (lambda t: t.drop(columns="image_id"), "joined by image_id.*no image_id in B"),
    "split": (lambda t: t.assign(split="validation"), "labelled rows.*test.*none in B"),
    "target": (lambda t: t.assign(target="other"), "target in common.*A has label; B has other"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_tables_that_contradict_are_refused_plainly(kind: str) -> None:
    spoil, message = REFUSED[kind]
    table = make_table(100, patients=30)
    with pytest.raises(PredictionsError, match=message) as caught:
        compare_predictions({"A": table, "B": spoil(table)}, **FEW)
    assert "P1" not in str(caught.value)  # no patient is named


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "tset"}, 'Did you mean "test"'),
        ({"metrics": ["aurok"]}, 'Did you mean "auroc"'),
        ({"positive": "ill"}, "positive class"),
    ],
)
def test_wrong_requests_are_refused_plainly(options: dict[str, Any], message: str) -> None:
    table = make_table(50)
    with pytest.raises(PredictionsError, match=message):
        compare_predictions({"A": table, "B": table}, **options, **FEW)


def test_one_model_is_no_comparison() -> None:
    for tables in ({}, {"A": make_table(20)}, {"A": make_table(20), "B": []}):
        with pytest.raises(PredictionsError):
            compare_predictions(tables)  # type: ignore[arg-type]


def test_a_table_without_patients_takes_those_of_the_other() -> None:
    table = make_table(100, patients=20)
    alone = other_model(table.drop(columns="patient_id"), 0.5)
    for tables in ({"A": table, "B": alone}, {"B": alone, "A": table}):
        block = compare_predictions(tables, **FEW)["targets"][0]
        assert block["n_patients"] == table["patient_id"].nunique()
        assert block["patients_known"]
        assert "by patient" in block["pairs"][0]["metrics"]["auroc"]["test"]


def test_the_positive_class_and_the_order_of_rows_and_columns_do_not_matter() -> None:
    table, other = make_table(100), other_model(make_table(100), 0.5)
    shares = [part["probability_yes"].round(6) for part in (table, other)]  # ties stay ties
    decided = shares[0] != 0.5  # at 0.5 an image is called positive, whichever class that is
    table, other = (
        part.assign(probability_yes=share, probability_no=1 - share)[decided]
        for part, share in zip((table, other), shares, strict=True)
    )
    turned = other.sample(frac=1, random_state=1)[other.columns[::-1]]
    document = compare_predictions({"A": table, "B": other}, **FEW)
    assert compare_predictions({"A": table, "B": turned}, **FEW) == document
    negative = compare_predictions({"A": table, "B": other}, positive="no", **FEW)
    assert negative["targets"][0]["positive"] == "no"
    there, back = pair_of(document)["metrics"], pair_of(negative)["metrics"]
    assert back["auroc"]["p"] == pytest.approx(there["auroc"]["p"])
    assert back["sensitivity"]["p"] == pytest.approx(there["specificity"]["p"])


def test_several_classes_are_compared_by_paired_bootstrap() -> None:
    table = make_table(200, ("a", "b", "c"), patients=80)
    better = other_model(table, 0.3, gain=1.0)
    document = compare_predictions({"A": table, "B": better}, n_resamples=500)
    entries = pair_of(document)["metrics"]
    assert list(entries) == ["auroc", "balanced_accuracy", "accuracy"]
    assert entries["auroc"]["test"] == BOOTSTRAP
    assert entries["accuracy"]["test"].startswith("McNemar by patient")
    columns = ["probability_a", "probability_b", "probability_c"]
    areas = [
        roc_auc_score(part["y_true"], part[columns], multi_class="ovr") for part in (table, better)
    ]
    assert entries["auroc"]["difference"]["value"] == pytest.approx(areas[1] - areas[0])
    called = [part[columns].to_numpy().argmax(axis=1) for part in (table, better)]
    codes = pd.Index(["a", "b", "c"]).get_indexer(table["y_true"])
    gained = balanced_accuracy_score(codes, called[1]) - balanced_accuracy_score(codes, called[0])
    assert entries["balanced_accuracy"]["difference"]["value"] == pytest.approx(gained)
    assert "macro AUROC" in pair_of(document)["verdict"]


def test_any_metric_can_be_compared() -> None:
    table = make_table(200)
    names = ["f1", "auprc", "ppv"]
    tables = {"A": table, "B": other_model(table, 0.2, gain=2.0)}
    pair = pair_of(compare_predictions(tables, metrics=names, **FEW))
    assert list(pair["metrics"]) == names
    assert pair["verdict"].startswith("B was better than A beyond chance: F1")
    for entry in pair["metrics"].values():
        assert entry["test"] == BOOTSTRAP
        assert 0 < entry["difference"]["low"] < entry["difference"]["value"]


def test_of_two_errors_the_lower_is_better() -> None:
    figure = {"value": -0.1, "low": -0.15, "high": -0.05, "method": "bootstrap"}
    entry = {"difference": figure, "p": 0.001, "p_corrected": 0.001, "test": BOOTSTRAP}
    pair = {"first": "A", "second": "B", "metrics": {"brier": entry}}
    block = {"classes": ["no", "yes"], "models": [{"name": n, "metrics": {}} for n in "AB"]}
    told = "B was better than A beyond chance: brier, a difference of −0.100"
    assert pair_verdict(pair, block, 1).startswith(told)
    entry |= {"difference": figure | {"high": 0.01}, "p_corrected": 0.2}
    told = "Not excluded: B better by up to 0.150, or A better by up to 0.010 of brier."
    assert pair_verdict(pair, block, 1).endswith(told)


def test_ties_perfect_models_and_constant_ones() -> None:
    table = make_table(60)
    is_yes = table["y_true"] == "yes"
    perfect = table.assign(probability_yes=is_yes * 0.8 + 0.1, probability_no=0.9 - is_yes * 0.8)
    sharper = table.assign(probability_yes=is_yes * 1.0, probability_no=1.0 - is_yes)
    constant = table.assign(probability_yes=0.3, probability_no=0.7)
    document = compare_predictions({"A": perfect, "B": sharper, "C": constant}, **FEW)
    alike, worse = pair_of(document, 0)["metrics"], pair_of(document, 1)["metrics"]
    assert alike["auroc"]["p"] == 1
    assert alike["auroc"]["difference"]["low"] is None
    assert "cannot be told" in alike["auroc"]["difference"]["method"]
    assert alike["accuracy"]["difference"]["high"] > 0.03  # never differing is no proof
    assert worse["auroc"]["difference"]["value"] == -0.5
    assert worse["sensitivity"]["p_corrected"] < 0.001
    json.dumps(document, allow_nan=False)


def test_an_absent_class_is_undefined_with_its_reason() -> None:
    table = make_table(50).query("y_true == 'no'")
    document = compare_predictions({"A": table, "B": other_model(table, 0.5)}, **FEW)
    pair = pair_of(document)
    entry = pair["metrics"]["auroc"]
    assert entry["difference"]["value"] is entry["p"] is entry["p_corrected"] is None
    assert entry["difference"]["method"] == "undefined: no image of class yes"
    assert pair["verdict"].startswith("B and A cannot be compared by AUROC: no image of class yes.")
    assert pair["metrics"]["specificity"]["p"] is not None
    assert document["n_tests"] == 2
    assert "not defined" in describe_comparison(document)


def test_one_patient_gives_a_document_without_false_certainty() -> None:
    table = make_table(30).assign(patient_id="P")
    pair = pair_of(compare_predictions({"A": table, "B": other_model(table, 0.9)}, **FEW))
    assert pair["metrics"]["auroc"]["p"] is None
    assert pair["metrics"]["accuracy"]["p"] == 1


def test_targets_that_not_all_have_are_named() -> None:
    first = make_table(60).assign(target="ill")
    both = pd.concat([first, make_table(60, seed=3).assign(target="old")])
    document = compare_predictions({"A": first, "B": both}, **FEW)
    assert [block["target"] for block in document["targets"]] == ["ill"]
    assert "the target old, which was left out" in document["notes"][0]
    two = compare_predictions({"A": both, "B": both}, **FEW)
    assert two["n_tests"] == 8


def test_runs_of_several_seeds_count_by_their_mean_and_never_by_the_best() -> None:
    table = make_table(150)
    runs = [other_model(table, 0.8, seed=k) for k in range(4)]
    document = compare_predictions({"A": table, "B": runs}, n_resamples=400)
    truth = table["y_true"] == "yes"
    areas = [roc_auc_score(truth, run["probability_yes"]) for run in runs]
    entry = next(entry for entry in document["seeds"] if entry["metric"] == "auroc")
    assert (entry["name"], entry["n"]) == ("B", 4)
    assert entry["values"] == pytest.approx(areas)
    assert entry["mean"] == pytest.approx(np.mean(areas))
    assert entry["spread"] == pytest.approx(np.std(areas, ddof=1))
    assert (entry["low"], entry["high"]) == pytest.approx((min(areas), max(areas)))
    first, second = document["targets"][0]["models"]
    assert (first["runs"], second["runs"]) == (1, 4)
    assert second["metrics"]["auroc"]["value"] == pytest.approx(np.mean(areas))
    compared = pair_of(document)["metrics"]["auroc"]
    expected = np.mean(areas) - roc_auc_score(truth, table["probability_yes"])
    assert compared["difference"]["value"] == pytest.approx(expected)
    assert compared["test"] == "paired patient bootstrap, runs drawn too"
    assert "a single run" in compared["difference"]["note"]
    assert "in the mean of 4 runs" in describe_comparison(document)


def test_seeds_widen_the_interval() -> None:
    table = make_table(400)
    steady = [other_model(table, 0.3, seed=k) for k in (0, 0, 0, 0, 0)]
    shaky = [other_model(table, noise, seed=0) for noise in (0.0, 0.5, 1.0, 2.0, 4.0)]
    widths = []
    for runs in (steady, shaky):
        figure = compare_predictions({"A": table, "B": runs}, n_resamples=500)["targets"][0]
        difference = figure["pairs"][0]["metrics"]["auroc"]["difference"]
        widths.append(difference["high"] - difference["low"])
    assert widths[1] > 2 * widths[0]


def test_drawing_one_run_fewer_gives_the_unbiased_variance_of_a_mean() -> None:
    random = np.random.default_rng(0)
    values = np.array([0.7, 0.8, 0.95])
    means = draw_runs(random, 3, 200_000) @ values
    assert means.mean() == pytest.approx(values.mean(), abs=1e-3)
    assert means.var() == pytest.approx(values.var(ddof=1) / 3, rel=0.02)
    assert (draw_runs(random, 1, 5) == 1).all()


def test_the_bootstrap_p_value_agrees_with_its_interval() -> None:
    random = np.random.default_rng(0)
    for shift in np.linspace(-4, 4, 41):
        draws = random.normal(shift, 1, 999)
        low, high = np.quantile(draws, [0.025, 0.975])
        p = bootstrap_p(draws)
        if abs(p - 0.05) > 0.006:
            assert (p < 0.05) == (not low <= 0 <= high)
    assert bootstrap_p(np.zeros(100)) == 1
    assert np.isnan(bootstrap_p(np.r_[np.ones(80), np.full(20, np.nan)]))


def test_the_document_is_saved_and_read_back(tmp_path: Path) -> None:
    table = make_table(60)
    document = compare_predictions({"A": table, "B": other_model(table, 0.5)}, **FEW)
    path = save_comparison(document, tmp_path / "comparison.json")
    assert load_comparison(path) == document
    again = compare_predictions({"A": table, "B": other_model(table, 0.5)}, **FEW)
    assert again == document
    for text, message in (
        ("{", "not a readable"), ("[]", "not a comparison"),
        ('{"format": "pellucid-comparison", "version": 9}', "newer"),
    ):  # fmt: skip
        path.write_text(text)
        with pytest.raises(PredictionsError, match=message):
            load_comparison(path)


def test_too_few_resamples_for_the_correction_are_told() -> None:
    table = make_table(60)
    tables = {name: other_model(table, 0.5, seed=k) for k, name in enumerate("ABCD")}
    document = compare_predictions(tables, metrics=["f1", "auprc"], n_resamples=200)
    assert any("draw more resamples" in note for note in document["notes"])


def null_p(metric: str, seed: int, patients: int | None, n: int = 160) -> float:
    """The p-value of two models of the same skill, each with noise of its own."""
    base = make_table(n, seed=seed, patients=patients)
    first, second = (other_model(base, 1.0, seed=2 * seed + k + 1) for k in range(2))
    (matched,), _ = match_tables({"A": [first], "B": [second]}, "test", None)
    models = [Model(name, runs) for name, runs in matched.runs.items()]
    drawn = {} if has_formula(metric, *models) else resample_together(models, (200, 0))
    p = compare_pair(metric, *models, drawn)["p"]
    assert p is not None
    return float(p)


@pytest.mark.slow
@pytest.mark.parametrize(("metric", "patients"), [("auroc", None), ("auroc", 50), ("f1", 50)])
def test_p_values_are_even_where_models_are_alike(metric: str, patients: int | None) -> None:
    p_values = np.array([null_p(metric, seed, patients) for seed in range(120)])
    assert kstest(p_values, "uniform").pvalue > 0.01
    assert np.mean(p_values < 0.05) < 0.11  # 0.05 and three standard errors
