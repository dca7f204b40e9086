"""Robustness: paired changes at every stated level, and the corruption that costs most."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from pellucid.errors import PredictionsError
from pellucid.evaluation.document import evaluate_predictions
from pellucid.evaluation.groups.robustness import judge_robustness
from pellucid.evaluation.judged import Judged, judged_splits
from pellucid.evaluation.predictions import check_predictions, task_from_predictions
from tables import make_table

STATED = {"noise": ("grey levels", (5.0, 10.0, 20.0)), "blur": ("pixels", (1.0, 2.0, 3.0))}


def judge(table: pd.DataFrame) -> dict[str, Judged]:
    checked = check_predictions(table)
    targets = task_from_predictions(checked).targets
    return {target.name: judged_splits(checked, target)[0] for target in targets}


def worsened(table: pd.DataFrame, amount: float, seed: int) -> pd.DataFrame:
    """The same images with probabilities that know less."""
    if amount == 0:
        return table
    random = np.random.default_rng(seed)
    columns = [name for name in table if str(name).startswith("probability_")]
    logits = np.log(table[columns].to_numpy())
    logits = logits + amount * random.normal(size=logits.shape)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return table.assign(**dict(zip(columns, shares.T, strict=True)))


def corrupted(table: pd.DataFrame, costs: dict[str, float], seed: int = 1) -> pd.DataFrame:
    return pd.concat(
        [
            worsened(table, cost * severity, seed).assign(corruption=name, severity=severity)
            for name, cost in costs.items()
            for severity in (1, 2, 3)
        ],
        ignore_index=True,
    )


@pytest.mark.parametrize("classes", [("no", "yes"), ("a", "b", "c")])
def test_every_level_is_scikit_learns_area_of_that_table(classes: tuple[str, ...]) -> None:
    table = make_table(150, classes, patients=60, separation=2.0)
    levels = corrupted(table, {"noise": 1.0, "blur": 0.1})
    (entry,) = judge_robustness(judge(table), levels, (200, 0), stated=STATED)
    assert (entry["target"], entry["split"], entry["metric"]) == ("label", "test", "auroc")
    assert entry["n_images"] == 150
    assert entry["average"] == ("" if len(classes) == 2 else "macro one-vs-rest")
    assert ("macro AUROC" in entry["verdict"]) == (len(classes) > 2)
    assert [curve["name"] for curve in entry["corruptions"]] == ["noise", "blur"]
    for curve in entry["corruptions"]:
        assert [level["value"] for level in curve["levels"]] == list(STATED[curve["name"]][1])
        for level in curve["levels"]:
            mine = (levels["corruption"] == curve["name"]) & (
                levels["severity"] == level["severity"]
            )
            shares = levels.loc[mine, [f"probability_{name}" for name in classes]].to_numpy()
            scores = shares[:, 1] if len(classes) == 2 else shares
            area = roc_auc_score(levels.loc[mine, "y_true"], scores, multi_class="ovr")
            assert level["metric"]["value"] == pytest.approx(area)
            change = level["metric"]["value"] - curve["clean"]["value"]
            assert level["change"]["value"] == pytest.approx(change)
            assert level["change"]["low"] <= change <= level["change"]["high"]
    json.dumps(entry, allow_nan=False)


def test_clean_is_the_area_of_the_evaluation() -> None:
    table = make_table(150, patients=60)
    (entry,) = judge_robustness(judge(table), corrupted(table, {"noise": 1.0}), (200, 0))
    block = evaluate_predictions(table, n_resamples=200)["blocks"][0]
    expected = block["metrics"]["auroc"]
    clean = entry["corruptions"][0]["clean"]
    assert clean["method"] == expected["method"]
    for key in ("value", "low", "high"):  # the same figure never has two intervals
        assert clean[key] == pytest.approx(expected[key])


def test_few_patients_leave_changes_without_interval_and_test() -> None:
    table = make_table(60)
    few = table[(table["y_true"] == "no") | (table.groupby("y_true").cumcount() < 3)]
    (entry,) = judge_robustness(judge(few), corrupted(few, {"noise": 2.0}), (100, 0))
    level = entry["corruptions"][0]["levels"][-1]
    assert level["change"]["value"] is not None
    assert level["change"]["method"].startswith("no interval: only 3 patients")
    assert level["p_corrected"] is None
    assert entry["verdict"].endswith("cannot be told.")


def test_the_costliest_is_named_with_its_loss() -> None:
    table = make_table(300, separation=2.0)
    levels = corrupted(table, {"blur": 0.05, "noise": 2.0})
    (entry,) = judge_robustness(judge(table), levels, (300, 0), stated=STATED)
    assert entry["costliest"] == "noise"
    assert entry["verdict"].startswith("noise costs most: AUROC goes from 0.9")
    assert "at 20 (grey levels; change −0." in entry["verdict"]
    assert "within chance" not in entry["verdict"]
    last = entry["corruptions"][1]["levels"][-1]
    assert last["change"]["high"] < 0
    assert last["p_corrected"] < 0.001


def test_noise_that_costs_nothing_is_within_chance() -> None:
    told = 0
    for seed in range(20):
        table = make_table(200, seed=seed, separation=1.5)
        levels = pd.concat(
            worsened(table, 0.3, 7 * seed + severity).assign(corruption="x", severity=severity)
            for severity in (1, 2, 3)
        )
        alike = worsened(table, 0.3, 1000 + seed)  # clean knows as much as the others
        (entry,) = judge_robustness(judge(alike), levels, (200, seed))
        told += "within chance" not in entry["verdict"]
    assert told <= 4


def test_changes_are_paired_by_patient() -> None:
    """The same pictures lose a little each: the change is surer than either figure."""
    table = make_table(200, patients=80, separation=1.0)
    levels = corrupted(table, {"noise": 0.2})
    (entry,) = judge_robustness(judge(table), levels, (400, 0))
    level = entry["corruptions"][0]["levels"][0]
    width = {name: level[name]["high"] - level[name]["low"] for name in ("metric", "change")}
    assert width["change"] < 0.5 * width["metric"]


def test_unchanged_predictions_change_nothing() -> None:
    table = make_table(100)
    (entry,) = judge_robustness(judge(table), corrupted(table, {"none": 0.0}), (100, 0))
    level = entry["corruptions"][0]["levels"][0]
    assert level["change"] == {
        "value": 0.0,
        "low": None,
        "high": None,
        "method": "no interval: every resample gave the same",
    }
    assert level["p_corrected"] is None
    assert entry["verdict"].endswith("within chance.")


def test_images_that_miss_a_level_are_left_out_and_others_ignored() -> None:
    table = make_table(100)
    levels = corrupted(table, {"noise": 1.0})
    missing = (levels["severity"] == 2) & levels["image_id"].isin(["003", "004"])
    stranger = levels[levels["image_id"] == "005"].assign(image_id="stranger")
    levels = pd.concat([levels[~missing], stranger])
    (entry,) = judge_robustness(judge(table), levels, (100, 0))
    assert entry["n_images"] == 98


def test_rows_may_come_in_any_order_and_severities_as_text() -> None:
    table = make_table(100, patients=40)
    levels = corrupted(table, {"noise": 1.0, "blur": 0.5})
    expected = judge_robustness(judge(table), levels, (100, 0))[0]
    shuffled = levels.sample(frac=1, random_state=0).assign(
        severity=lambda rows: rows["severity"].astype(str)
    )
    found = judge_robustness(judge(table), shuffled, (100, 0))[0]
    by_name = {curve["name"]: curve for curve in found["corruptions"]}
    assert [by_name[name] for name in ("noise", "blur")] == expected["corruptions"]


def test_two_targets_are_judged_apart() -> None:
    first = make_table(80, seed=1).assign(target="one")
    second = make_table(80, seed=2).assign(target="two")
    table = pd.concat([first, second], ignore_index=True)
    found = judge_robustness(judge(table), corrupted(table, {"noise": 1.0}), (50, 0))
    assert [entry["target"] for entry in found] == ["one", "two"]


def test_one_class_is_told_as_undefined() -> None:
    table = make_table(60)
    sick = table[table["y_true"] == "yes"]
    (entry,) = judge_robustness(judge(sick), corrupted(sick, {"noise": 1.0}), (50, 0))
    curve = entry["corruptions"][0]
    assert curve["clean"]["value"] is None
    assert curve["clean"]["method"].startswith("undefined: ")
    assert entry["costliest"] is None
    json.dumps(entry, allow_nan=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="severity"), "needs the column severity"),
        (lambda t: t.drop(columns="corruption"), "needs the column corruption"),
        (lambda t: t.assign(corruption=None), "needs its corruption"),
        (lambda t: t.assign(severity=0), "whole number from 1"),
        (lambda t: t.assign(severity=1.5), "whole number from 1"),
        (lambda t: t.assign(severity="high"), "whole number from 1"),
        (lambda t: t.assign(severity=1), "stands once"),
        (lambda t: t.assign(image_id=[f"x{k}" for k in range(len(t))]), "same images"),
        (lambda t: t.assign(split="validation"), "same images"),
        (lambda t: t.rename(columns={"probability_yes": "probability_oui"}), "no, oui"),
        (lambda t: t[:0], "none that all levels have"),
    ],
)
def test_tables_that_do_not_fit_are_refused(change: object, message: str) -> None:
    table = make_table(60)
    levels = corrupted(table, {"noise": 1.0})
    with pytest.raises(PredictionsError, match=message):
        judge_robustness(judge(table), change(levels), (50, 0))  # type: ignore[operator]
