"""The document of evaluation.json: complete, pure JSON, and nothing undefined is dropped."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import beta
from sklearn import metrics as sk

from pellucid.errors import PredictionsError
from pellucid.evaluation.block import Asked
from pellucid.evaluation.decisions.operating_point import Wishes, confusion_at, youden_point
from pellucid.evaluation.document import (
    describe_evaluation,
    evaluate_predictions,
    load_evaluation,
    save_evaluation,
)
from tables import make_table


def test_a_binary_block_is_complete() -> None:
    table = make_table(150, patients=60)
    (block,) = evaluate_predictions(table, n_resamples=100)["blocks"]
    assert (block["n_images"], block["n_patients"]) == (150, table["patient_id"].nunique())
    assert block["patients_known"] is True
    assert block["positive"] == "yes"
    truth, score = table["y_true"] == "yes", table["probability_yes"]
    assert block["confusion_matrix"] == sk.confusion_matrix(truth, score >= 0.5).tolist()
    figures = block["metrics"]
    assert figures["auroc"]["value"] == pytest.approx(sk.roc_auc_score(truth, score))
    assert figures["sensitivity"]["value"] == pytest.approx(sk.recall_score(truth, score >= 0.5))
    known = [figure for figure in figures.values() if figure["low"] is not None]
    assert len(known) > 12
    assert all(figure["low"] <= figure["value"] <= figure["high"] for figure in known)
    assert "DeLong, clustered by patient" in figures["auroc"]["method"]
    json.dumps(block, allow_nan=False)


def test_several_classes_have_averages_and_a_table_by_class() -> None:
    table = make_table(200, ("a", "b", "c"))
    (block,) = evaluate_predictions(table, n_resamples=50)["blocks"]
    shares = table[["probability_a", "probability_b", "probability_c"]].to_numpy()
    codes = table["y_true"].map({"a": 0, "b": 1, "c": 2}).to_numpy()
    figures = block["metrics"]
    macro = sk.roc_auc_score(codes, shares, multi_class="ovr")
    assert figures["auroc"]["value"] == pytest.approx(macro)
    assert figures["auroc"]["average"] == "macro one-vs-rest"
    weighted = sk.f1_score(codes, shares.argmax(axis=1), average="weighted")
    assert figures["weighted_f1"]["value"] == pytest.approx(weighted)
    assert list(block["per_class"]) == ["a", "b", "c"]
    assert block["operating_points"] == []


def test_one_class_absent_is_said_and_nothing_is_dropped() -> None:
    table = make_table(40)
    table["y_true"] = "no"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (block,) = evaluate_predictions(table, n_resamples=20)["blocks"]
    assert block["metrics"]["auroc"]["value"] is None
    assert block["metrics"]["auroc"]["method"] == "undefined: no image of class yes"
    assert block["metrics"]["specificity"]["value"] is not None
    assert "not defined (no image of class yes)" in describe_evaluation({"blocks": [block]})
    assert block["curves"]["roc"] == {}


def test_no_positive_prediction_leaves_ppv_undefined_with_its_reason() -> None:
    table = make_table(40).assign(probability_yes=0.1, probability_no=0.9)
    (block,) = evaluate_predictions(table, n_resamples=20)["blocks"]
    assert block["metrics"]["ppv"]["method"] == "undefined: no image is predicted as yes"
    assert block["metrics"]["auroc"]["value"] == 0.5


def test_a_share_of_one_is_not_called_certain() -> None:
    table = make_table(100)
    right = table["y_true"] == "yes"
    table["probability_yes"] = np.where(right, 0.9, 0.1)
    table["probability_no"] = 1 - table["probability_yes"]
    figures = evaluate_predictions(table, n_resamples=20)["blocks"][0]["metrics"]
    n = int(right.sum())
    assert figures["sensitivity"]["low"] == pytest.approx(beta.ppf(0.025, n, 1))
    assert figures["sensitivity"]["method"] == f"Clopper-Pearson over {n} patients"
    assert figures["accuracy"]["low"] == pytest.approx(beta.ppf(0.025, 100, 1))
    assert figures["auroc"]["value"] == 1.0
    assert figures["auroc"]["low"] < 1
    assert figures["auroc"]["method"].startswith("Newcombe 2006")


def test_few_patients_get_no_interval_and_are_told_why() -> None:
    table = make_table(40, patients=4)
    (block,) = evaluate_predictions(table, n_resamples=20)["blocks"]
    assert block["n_patients"] == 4
    assert block["metrics"]["auroc"]["low"] is None
    assert block["metrics"]["auroc"]["method"].startswith("no interval: only 4 patients")


def test_one_patient_alone_has_no_interval() -> None:
    (block,) = evaluate_predictions(make_table(30).assign(patient_id="P1"), n_resamples=9)["blocks"]
    assert block["n_patients"] == 1
    assert block["metrics"]["auroc"]["low"] is None


def test_the_operating_point_is_chosen_on_validation_and_reported_on_test() -> None:
    validation = make_table(100, seed=1).assign(split="validation")
    test = make_table(100, seed=2).assign(split="test")
    document = evaluate_predictions(pd.concat([validation, test]), n_resamples=20)
    first, second = document["blocks"]
    assert (first["split"], second["split"]) == ("test", "validation")
    default, youden, *wished = first["operating_points"]
    assert (default["threshold"], default["chosen_on"]) == (0.5, "fixed")
    assert [point["name"] for point in wished] == ["sensitivity", "specificity"]
    assert youden["chosen_on"] == "validation"
    truth = (validation["y_true"] == "yes").to_numpy()
    point = youden_point(validation["probability_yes"].to_numpy(), truth, "validation")
    assert point is not None
    assert youden["threshold"] == pytest.approx(point.threshold)
    called = test["probability_yes"] >= point.threshold
    value = sk.recall_score(test["y_true"] == "yes", called)
    assert youden["metrics"]["sensitivity"]["value"] == pytest.approx(value)


def test_youden_needs_both_classes_and_the_threshold_itself_is_positive() -> None:
    assert youden_point(np.array([0.1, 0.2]), np.array([True, True]), "validation") is None
    point = youden_point(np.array([0.2, 0.7]), np.array([False, True]), "validation")
    assert point is not None
    assert point.threshold == 0.7
    assert confusion_at(np.array([0.7]), np.array([True]), 0.7).tolist() == [3]


def test_splits_and_targets_each_get_their_block() -> None:
    table = pd.concat(
        [
            make_table(40).assign(target="x", split="test"),
            make_table(40, ("a", "b", "c")).assign(target="y", split="validation"),
        ]
    )
    document = evaluate_predictions(table, n_resamples=10)
    found = [(b["target"], b["split"], len(b["classes"])) for b in document["blocks"]]
    assert found == [("x", "test", 2), ("y", "validation", 3)]


def test_rows_without_a_label_are_left_out() -> None:
    table = make_table(40)
    table.loc[:9, "y_true"] = None
    (block,) = evaluate_predictions(table, n_resamples=10)["blocks"]
    assert block["n_images"] == 30
    with pytest.raises(PredictionsError, match="No image of the table has a label"):
        evaluate_predictions(table.assign(y_true=None), n_resamples=10)


def test_the_positive_class_can_be_chosen_anew() -> None:
    table = make_table(60)
    no = evaluate_predictions(table, positive="no", n_resamples=10)["blocks"][0]
    yes = evaluate_predictions(table, n_resamples=10)["blocks"][0]
    assert (no["positive"], yes["positive"]) == ("no", "yes")
    assert no["prevalence"] == yes["prevalence"]
    truth, score = table["y_true"] == "no", table["probability_no"] >= 0.5
    assert no["metrics"]["ppv"]["value"] == pytest.approx(sk.precision_score(truth, score))
    with pytest.raises(PredictionsError, match='Did you mean "yes"'):
        evaluate_predictions(table, positive="yse")


def test_the_document_survives_its_file(tmp_path: Path) -> None:
    document = evaluate_predictions(make_table(40), n_resamples=10)
    path = save_evaluation(document, tmp_path / "evaluation.json")
    assert load_evaluation(path) == document
    path.write_text(json.dumps({**document, "version": 99}))
    with pytest.raises(PredictionsError, match="newer"):
        load_evaluation(path)
    path.write_text("{}")
    with pytest.raises(PredictionsError, match="not an evaluation"):
        load_evaluation(path)


def test_curves_are_thinned_and_keep_their_ends() -> None:
    random = np.random.default_rng(0)
    table = make_table(3000)
    table["probability_yes"] = random.random(3000)
    table["probability_no"] = 1 - table["probability_yes"]
    (block,) = evaluate_predictions(table, n_resamples=5)["blocks"]
    roc = block["curves"]["roc"]["yes"]
    assert len(roc["fpr"]) <= 300
    assert (roc["fpr"][0], roc["tpr"][0], roc["fpr"][-1], roc["tpr"][-1]) == (0, 0, 1, 1)
    assert (np.diff(roc["fpr"]) >= 0).all()


def by_hospital(n: int = 300) -> pd.DataFrame:
    """A table of several images a patient, with a fact and two splits."""
    table = pd.concat(
        [
            make_table(n, patients=n // 3, seed=1).assign(split="validation"),
            make_table(n, patients=n // 3, seed=2).assign(split="test"),
        ]
    )
    table["patient_id"] = table["patient_id"] + table["split"]
    table["site"] = np.where(table["patient_id"].map(hash) % 2 == 0, "north", "south")
    return table


def test_the_test_block_goes_deep_and_validation_keeps_to_figures() -> None:
    test, validation = evaluate_predictions(by_hospital(), n_resamples=50)["blocks"]
    deep = {"decision_curve", "prediction_sets", "abstention", "patient_level", "subgroups"}
    assert deep | {"failures"} <= set(test)
    assert not deep & set(validation)
    assert test["calibration"]["scaling"]["fitted_on"] == "validation"
    assert validation["calibration"]["after"] is None
    assert set(test["patient_level"]) == {"mean", "max", "noisy_or"}
    assert test["patient_level"]["mean"]["n"] == test["n_patients"]
    assert [entry["fact"] for entry in test["subgroups"]] == ["site"]
    sets = test["prediction_sets"]
    assert [entry["promised"] for entry in sets] == [0.9, 0.95]
    json.dumps(test, allow_nan=False)


def test_without_validation_nothing_is_chosen_and_the_reason_is_said() -> None:
    (block,) = evaluate_predictions(make_table(100), n_resamples=20)["blocks"]
    assert [point["name"] for point in block["operating_points"]] == ["default"]
    assert "reason" in block["prediction_sets"]
    assert block["calibration"]["after"] is None
    assert block["calibration"]["reason"]
    assert block["patient_level"] == {"reason": "patients are not known"}


def test_a_stated_prevalence_changes_the_predictive_values_alone() -> None:
    table = by_hospital()
    plain = evaluate_predictions(table, n_resamples=20)["blocks"][0]
    asked = Asked(wishes=Wishes(prevalence=0.01), n_resamples=20)
    stated = evaluate_predictions(table, asked=asked)["blocks"][0]
    assert "ppv_at_prevalence" not in plain["metrics"]
    found = stated["metrics"]["sensitivity"]["value"] * 0.01
    wrong = (1 - stated["metrics"]["specificity"]["value"]) * 0.99
    assert stated["metrics"]["ppv_at_prevalence"]["value"] == pytest.approx(found / (found + wrong))
    assert stated["metrics"]["ppv"] == plain["metrics"]["ppv"]
    assert stated["stated_prevalence"] == 0.01


def test_ordered_classes_get_a_weighted_kappa_in_their_order() -> None:
    table = make_table(200, ("mild", "none", "severe"))
    order = ("none", "mild", "severe")
    (block,) = evaluate_predictions(table, ordered=order, n_resamples=20)["blocks"]
    assert block["classes"] == list(order)
    assert block["ordered"] is True
    called = table[[f"probability_{name}" for name in order]].to_numpy().argmax(axis=1)
    truth = table["y_true"].map(order.index)
    expected = sk.cohen_kappa_score(truth, called, weights="quadratic")
    assert block["metrics"]["quadratic_kappa"]["value"] == pytest.approx(expected)
    with pytest.raises(PredictionsError, match="every class of a target once"):
        evaluate_predictions(table, ordered=("none", "mild"), n_resamples=20)


def test_several_targets_have_a_mean_over_them() -> None:
    parts = [make_table(120, patients=60, seed=k).assign(target=f"t{k}") for k in range(3)]
    document = evaluate_predictions(pd.concat(parts), n_resamples=60)
    (average,) = document["across_targets"]
    areas = [block["metrics"]["auroc"]["value"] for block in document["blocks"]]
    figure = average["metrics"]["auroc"]
    assert figure["value"] == pytest.approx(np.mean(areas))
    assert figure["low"] < figure["value"] < figure["high"]
    assert average["targets"] == ["t0", "t1", "t2"]
    assert "across_targets" not in evaluate_predictions(parts[0], n_resamples=20)


def test_losses_have_one_interval_wherever_they_stand() -> None:
    test = evaluate_predictions(by_hospital(), n_resamples=50)["blocks"][0]
    for name in ("brier", "log_loss"):
        assert test["calibration"]["before"][name] == test["metrics"][name]
        assert test["calibration"]["after"][name]["method"] == test["metrics"][name]["method"]
    assert test["calibration"]["scaling"]["method"] == "platt"


def test_a_mean_over_targets_is_not_called_certain() -> None:
    def both(n: int) -> dict[str, Any]:
        table = make_table(n, separation=0)
        sure = (table["y_true"] == "yes").astype(float)
        table["probability_yes"], table["probability_no"] = sure, 1 - sure
        parts = [table.assign(target=name) for name in "ab"]
        (average,) = evaluate_predictions(pd.concat(parts), n_resamples=20)["across_targets"]
        figure: dict[str, Any] = average["metrics"]["auroc"]
        return figure

    many, few = both(60), both(12)
    assert (many["value"], many["low"], many["high"]) == (1, None, None)
    assert "every resample" in many["method"]
    assert few["low"] is None
    assert "holds from 10 on" in few["method"]


def test_an_order_that_names_a_class_twice_is_refused() -> None:
    table = make_table(60, ("a", "b", "c"))
    with pytest.raises(PredictionsError, match="every class of a target once"):
        evaluate_predictions(table, ordered=("a", "b", "c", "c"), n_resamples=20)


def test_it_is_said_when_nothing_could_be_chosen_or_patients_are_shared() -> None:
    test = make_table(60, patients=30).assign(split="test")
    (note,) = evaluate_predictions(test, n_resamples=20)["notes"]
    assert "no validation split" in note
    other = test.assign(split="validation", image_id="v" + test["image_id"])
    document = evaluate_predictions(pd.concat([test, other]), n_resamples=20)
    (note,) = document["notes"]
    assert f"{test['patient_id'].nunique()} patients stand in validation and in test" in note
    assert note in describe_evaluation(document)
    apart = other.assign(patient_id="v" + other["patient_id"])
    assert evaluate_predictions(pd.concat([test, apart]), n_resamples=20)["notes"] == []


def test_wishes_without_effect_are_said() -> None:
    wishes = Wishes(prevalence=0.1, cost_ratio=5)
    several = evaluate_predictions(
        make_table(90, ("a", "b", "c")), asked=Asked(wishes=wishes, n_resamples=20)
    )
    assert [note for note in several["notes"] if "no effect" in note] == [
        "The prevalence has no effect: no target has two classes.",
        "The cost ratio has no effect: no target has two classes.",
    ]
    two = evaluate_predictions(make_table(60), ordered=("no", "yes"), n_resamples=20)
    assert any("order of classes has no effect" in note for note in two["notes"])
    assert not any("no effect" in note for note in evaluate_predictions(by_hospital())["notes"])
