"""Failures: the surest mistakes as the page finds them, and groups that are alike."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from pellucid.errors import PredictionsError
from pellucid.evaluation.document import evaluate_predictions
from pellucid.evaluation.groups.failures import SHOWN, called_classes, judge_failures
from pellucid.evaluation.judged import Judged, judged_splits
from pellucid.evaluation.predictions import check_predictions, task_from_predictions
from pellucid.reporting.sections.mistakes import find_mistakes
from tables import make_table


def judge(table: pd.DataFrame) -> Judged:
    checked = check_predictions(table)
    return judged_splits(checked, task_from_predictions(checked).targets[0])[0]


def planted(seed: int = 0, n: int = 200) -> tuple[Judged, np.ndarray]:
    """30 sick images called well: 15 of view AP in one place of the features, 15 in another."""
    random = np.random.default_rng(seed)
    codes = np.arange(n) % 2
    shares = np.where(codes == 1, 0.8, 0.2) + random.uniform(-0.1, 0.1, n)
    wrong = np.flatnonzero(codes == 1)[:30]
    shares[wrong] = random.uniform(0.05, 0.3, 30)
    view = np.array(["PA"] * n, dtype=object)
    view[wrong[:15]] = "AP"
    view[np.flatnonzero(codes == 0)[:20]] = "AP"
    features = random.normal(size=(n, 16))
    features[wrong[:15], 0] += 12
    features[wrong[15:], 1] += 12
    table = pd.DataFrame(
        {
            "image_id": [f"{number:03d}" for number in range(n)],
            "y_true": np.array(["well", "sick"], dtype=object)[codes],
            "probability_well": 1 - shares,
            "probability_sick": shares,
            "view": view,
        }
    )
    return judge(table), features


@pytest.mark.parametrize("classes", [("no", "yes"), ("a", "b", "c")])
def test_the_surest_mistakes_are_those_of_the_page(classes: tuple[str, ...]) -> None:
    table = make_table(200, classes, seed=3)
    table.loc[:3, [f"probability_{name}" for name in classes]] = 1 / len(classes)  # equal ones
    judged = judge(table)
    block = {"target": "label", "split": "test", "classes": list(classes)}
    documents = SimpleNamespace(predictions_of=lambda target, split: judged.table)
    page = find_mistakes(documents, block)  # type: ignore[arg-type]
    assert page is not None
    failures = judge_failures(judged)
    assert failures["n_mistakes"] == len(page) > SHOWN
    rows = page.rename(columns={"predicted": "called"}).head(SHOWN)
    assert failures["surest"] == rows.to_dict("records")
    json.dumps(failures, allow_nan=False)


def test_at_one_half_the_positive_class_is_called() -> None:
    called, sure = called_classes(np.array([[0.5, 0.5], [0.6, 0.4]]))
    assert called.tolist() == [1, 0]
    assert sure.tolist() == [0.5, 0.6]


def test_the_least_sure_are_nearest_to_a_tie_right_or_wrong() -> None:
    judged = judge(make_table(100, seed=4))
    least = judge_failures(judged, shown=100)["least_sure"]
    sure = [entry["probability"] for entry in least]
    assert sure == sorted(sure)
    assert len(least) == 100
    assert {entry["truth"] == entry["called"] for entry in least} == {True, False}


def test_mistakes_alike_are_gathered_and_the_fact_they_share_is_told() -> None:
    judged, features = planted()
    failures = judge_failures(judged, features, judged.image_ids)
    assert failures["grouped_by"] == "features"
    assert sorted(group["n"] for group in failures["groups"]) == [15, 15]
    by_view = {
        tuple(
            sorted(set(judged.table.set_index("image_id").loc[group["image_ids"], "view"]))
        ): group
        for group in failures["groups"]
    }
    told = by_view[("AP",)]["what"]
    assert "15 mistakes alike to the network, all sick called well" in told
    assert "view AP in 100% of them, against 15% of all images of the same truth" in told
    assert "view AP" not in by_view[("PA",)]["what"]


def test_rows_of_features_come_in_any_order_and_may_be_more_or_fewer() -> None:
    judged, features = planted()
    expected = judge_failures(judged, features, judged.image_ids)["groups"]
    order = np.random.default_rng(1).permutation(judged.n)
    ids = judged.image_ids[order]
    assert judge_failures(judged, features[order], ids)["groups"] == expected
    fewer = judge_failures(judged, features[10:], judged.image_ids[10:])
    assert sum(group["n"] for group in fewer["groups"]) == 25
    named = {name for group in fewer["groups"] for name in group["image_ids"]}
    assert not named & set(judged.image_ids[:10])
    none = judge_failures(judged, features, [f"x{row}" for row in range(judged.n)])
    assert none["groups"] == []


def test_mistakes_that_are_not_alike_stand_in_no_group() -> None:
    judged, _ = planted()
    noise = np.random.default_rng(2).normal(size=(judged.n, 64))
    assert judge_failures(judged, noise, judged.image_ids)["groups"] == []


def test_mistakes_all_in_one_direction_are_one_group() -> None:
    judged, _ = planted()
    features = np.random.default_rng(2).normal(size=(judged.n, 64))
    called, _ = called_classes(judged.probabilities)
    features[called != judged.codes, 0] += 40
    groups = judge_failures(judged, features, judged.image_ids)["groups"]
    assert [group["n"] for group in groups] == [30]


def test_without_features_mistakes_are_gathered_by_truth_and_call() -> None:
    judged = judge(make_table(150, ("a", "b", "c"), seed=5))
    failures = judge_failures(judged)
    assert failures["grouped_by"] == "truth and call"
    sizes = [group["n"] for group in failures["groups"]]
    assert sizes == sorted(sizes, reverse=True)
    assert min(sizes) >= 3
    called, _ = called_classes(judged.probabilities)
    first = failures["groups"][0]
    rows = [list(judged.image_ids).index(name) for name in first["image_ids"]]
    (truth,) = set(judged.codes[rows].tolist())
    (call,) = set(called[rows].tolist())
    assert first["n"] == ((judged.codes == truth) & (called == call)).sum()
    assert first["what"] == f"{first['n']} images: {'abc'[truth]} called {'abc'[call]}."


def test_one_patients_many_images_are_no_find() -> None:
    judged, _ = planted()
    groups = judge_failures(judged)["groups"]
    assert "view AP" in groups[0]["what"]
    ap = (judged.table["view"] == "AP") & (judged.codes == 1)
    table = judged.table.assign(patient_id=judged.table["patient_id"].where(~ap, "one"))
    one = Judged(judged.target, "test", judged.probabilities, judged.codes, table)
    (group,) = judge_failures(one)["groups"]
    assert group["what"].startswith("30 images of 16 patients: sick called well")
    assert "view" not in group["what"]
    assert "no fact stands out beyond chance" in group["what"]


def test_facts_that_mean_nothing_are_seldom_told() -> None:
    told = 0
    for seed in range(40):
        random = np.random.default_rng(seed)
        table = make_table(200, seed=seed, patients=80).assign(
            site=random.choice(list("abcd"), 200), sex=random.choice(["F", "M"], 200)
        )
        told += any("against" in group["what"] for group in judge_failures(judge(table))["groups"])
    assert told <= 6  # 5 % of 40 are 2


def test_without_mistakes_there_is_nothing_to_gather() -> None:
    table = make_table(40, separation=50.0)
    failures = judge_failures(judge(table), np.ones((40, 3)))
    assert failures["n_mistakes"] == 0
    assert failures["surest"] == failures["groups"] == []
    assert len(failures["least_sure"]) == SHOWN


def test_equal_features_and_few_mistakes_do_no_harm() -> None:
    judged = judge(make_table(60, seed=1))
    assert judge_failures(judged, np.ones((60, 3)))["groups"] == []
    few = judged.rows(np.arange(60) < 4)
    assert judge_failures(few, np.random.default_rng(0).normal(size=(4, 2)))["n_mistakes"] <= 4


@pytest.mark.parametrize(
    ("features", "ids", "message"),
    [
        (np.ones((3, 2)), None, "one row an image"),
        (np.ones(60), None, "one row an image"),
        (np.ones((2, 2)), ["a", "a"], "one row of features"),
        (np.full((60, 2), np.nan), None, "finite"),
    ],
)
def test_features_that_do_not_fit_are_refused(
    features: np.ndarray, ids: list[str] | None, message: str
) -> None:
    with pytest.raises(PredictionsError, match=message):
        judge_failures(judge(make_table(60, seed=1)), features, ids)


@pytest.mark.parametrize(
    "probabilities",
    [
        {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3},
        {"no": 0.5004, "yes": 0.5},
        {"no": 0.4996, "yes": 0.4998},
    ],
)
def test_mistakes_are_those_of_the_confusion_matrix(probabilities: dict[str, float]) -> None:
    table = make_table(60, tuple(probabilities))
    for name, value in probabilities.items():
        table[f"probability_{name}"] = value
    (block,) = evaluate_predictions(table, n_resamples=10)["blocks"]
    matrix = np.array(block["confusion_matrix"])
    assert block["failures"]["n_mistakes"] == matrix.sum() - np.trace(matrix)
