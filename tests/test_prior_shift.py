"""Probabilities for another prevalence: Bayes' rule, what is stated, and the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cli import pellucid
from pellucid import pipeline
from pellucid.data.index import read_dataset
from pellucid.errors import UsageError
from pellucid.evaluation.probabilities.prior_shift import complete_prevalence, shift_prevalence
from pellucid.prediction import predict
from pellucid.prediction.tables import find_shifts
from pellucid.progress import Progress
from pellucid.run import Run
from pellucid.task import Target, Task
from pictures import NETWORK_ALONE, PATTERN, QUICK, draw_folder

TWO = Target(name="finding", classes=("no", "yes"), positive="yes")
THREE = Target(name="kind", classes=("a", "b", "c"))


def card(task: Task, *shares: tuple[float, ...]) -> dict:
    blocks = [
        {"target": t.name, "split": split, "prevalence": dict(zip(t.classes, s, strict=True))}
        for t, s in zip(task.targets, shares, strict=True)
        for split in ("test", "validation")
    ]
    done = {target.name: {"method": "platt"} for target in task.targets}
    return {"evaluation": {"blocks": blocks}, "training": {"calibration": done}}


def test_shifted_probabilities_are_calibrated_where_the_prevalence_is_another() -> None:
    # a feature of each class is normal, so that the true probability is known for any prevalence
    random = np.random.default_rng(0)

    def posterior(x: np.ndarray, shares: tuple[float, ...]) -> np.ndarray:
        densities = np.exp(-0.5 * (x[:, None] - np.arange(3)) ** 2) * np.array(shares)
        return densities / densities.sum(axis=1, keepdims=True)

    given, expected = (0.5, 0.3, 0.2), (0.1, 0.2, 0.7)
    x = random.normal(size=1000)
    shifted = shift_prevalence(posterior(x, given), given, expected)
    np.testing.assert_allclose(shifted, posterior(x, expected), atol=1e-12)
    back = shift_prevalence(shifted, expected, given)
    np.testing.assert_allclose(back, posterior(x, given), atol=1e-12)


def test_a_certain_answer_stays_certain() -> None:
    sure = np.array([[1.0, 0.0], [0.0, 1.0]])
    np.testing.assert_array_equal(shift_prevalence(sure, (0.5, 0.5), (0.99, 0.01)), sure)


def test_what_is_not_stated_shares_the_rest() -> None:
    assert complete_prevalence({"yes": 0.1}, TWO.classes, (0.5, 0.5)) == (0.9, 0.1)
    assert complete_prevalence({"a": 0.4, "b": 0.1}, THREE.classes, (0.2, 0.2, 0.6)) == (
        0.4,
        0.1,
        pytest.approx(0.5),
    )
    whole = {"a": 0.2, "b": 0.3, "c": 0.5}
    assert complete_prevalence(whole, THREE.classes, (0.2, 0.2, 0.6)) == (0.2, 0.3, 0.5)


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"d": 0.5}, "no class 'd'"),
        ({"a": 0.0}, "between 0 and 1"),
        ({"a": 1.5}, "between 0 and 1"),
        ({"a": float("nan")}, "between 0 and 1"),
        ({"a": 0.6, "b": 0.5}, "add up to 1"),
        ({"a": 0.2, "b": 0.3, "c": 0.4}, "add up to 1"),
    ],
)
def test_impossible_prevalences_are_refused(stated: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        complete_prevalence(stated, THREE.classes, (0.2, 0.2, 0.6))


def test_the_target_is_found_by_its_classes() -> None:
    task = Task(targets=(TWO, THREE))
    facts = card(task, (0.6, 0.4), (0.2, 0.2, 0.6))
    assert find_shifts(None, task, facts) == {}
    assert find_shifts(0.1, task, facts) == {"finding": ((0.6, 0.4), (pytest.approx(0.9), 0.1))}
    assert list(find_shifts({"b": 0.5}, task, facts)) == ["kind"]
    twins = Task(targets=(TWO, Target(name="other", classes=("no", "yes"))))
    facts_of_twins = card(twins, (0.6, 0.4), (0.5, 0.5))
    assert list(find_shifts({"other:yes": 0.1}, twins, facts_of_twins)) == ["other"]
    with pytest.raises(UsageError, match="Say TARGET:CLASS=SHARE"):
        find_shifts({"yes": 0.1}, twins, facts_of_twins)
    with pytest.raises(UsageError, match='Did you mean "yes"'):
        find_shifts({"yess": 0.1}, Task(targets=(TWO,)), card(Task(targets=(TWO,)), (0.6, 0.4)))
    with pytest.raises(UsageError, match="belong to one target"):
        find_shifts({"b": 0.5, "yes": 0.1}, task, facts)
    with pytest.raises(UsageError, match="one target of two classes"):
        find_shifts(0.1, Task(targets=(THREE,)), card(Task(targets=(THREE,)), (0.2, 0.2, 0.6)))


TOLD = {"target": "finding", "split": "validation", "prevalence": {"no": 0.5, "yes": 0.5}}


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"evaluation": {"blocks": []}},
        {"evaluation": {"blocks": [TOLD]}},
        {
            "evaluation": {"blocks": [TOLD]},
            "training": {"calibration": {"finding": {"reason": ""}}},
        },
        {
            "evaluation": {"blocks": [{"target": "finding", "split": "validation"}]},
            "training": {"calibration": {"finding": {"method": "platt"}}},
        },
    ],
)
def test_a_card_that_does_not_know_says_so(facts: dict) -> None:
    with pytest.raises(UsageError, match="card tells nothing of it for 'finding'"):
        find_shifts(0.1, Task(targets=(TWO,)), facts)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("shift")
    dataset = read_dataset(
        draw_folder(folder / "images", patients=20), patient_pattern=PATTERN, positive="ill"
    )
    return pipeline.train(
        dataset, folder / "run", settings=QUICK, progress=Progress(quiet=True), **NETWORK_ALONE
    )


def test_predict_shifts_probabilities_and_leaves_logits(run: Run, tmp_path: Path) -> None:
    images = run.folder.parent / "images" / "ill"
    plain, _ = predict(run.folder, images)
    shifted, _ = predict(run.folder, images, prevalence=0.02)
    blocks = {block["split"]: block for block in run.evaluation["blocks"]}
    share = blocks["validation"]["prevalence"]["ill"]
    odds = plain["probability_ill"] / plain["probability_well"]
    expected = odds * (0.02 / 0.98) / (share / (1 - share))
    found = shifted["probability_ill"] / shifted["probability_well"]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    pd.testing.assert_series_equal(plain["logit_ill"], shifted["logit_ill"])
    for text in ("0.02", "ill=0.02", "well=0.98"):
        out = tmp_path / f"{text}.csv"
        answer = pellucid(
            "predict", str(run.folder), str(images), "--out", str(out), "--prevalence", text
        )
        assert answer.code == 0
        assert "are for the prevalence" in answer.err
        table = pd.read_csv(out)
        np.testing.assert_allclose(table["probability_ill"], shifted["probability_ill"], atol=1e-5)


@pytest.mark.parametrize("text", ["much", "ill=", "ill=x", "1.5", "=0.3", "sick=0.1"])
def test_a_mistyped_prevalence_is_one_plain_message(run: Run, tmp_path: Path, text: str) -> None:
    images = str(run.folder.parent / "images" / "ill")
    out = tmp_path / "p.csv"
    answer = pellucid("predict", str(run.folder), images, "--out", str(out), "--prevalence", text)
    assert answer.code == 2
    assert answer.err.startswith("Error: ")
    assert not out.exists()


def test_a_class_name_may_hold_a_comma() -> None:
    from pellucid.cli.judging import _shares

    assert _shares("normal, benign=0.7") == {"normal, benign": 0.7}
    assert _shares("normal, benign=0.7,malignant=0.3") == {"normal, benign": 0.7, "malignant": 0.3}
    assert _shares("a=0.1, b=2e-3") == {"a": 0.1, "b": 0.002}
    assert _shares(None) is None
