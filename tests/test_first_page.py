"""The first page says what, on whom, how good, how sure, when not to trust it, for screening."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fake_blocks import fake_gap, figure
from fake_runs import FakeTarget, make_evaluation_only, make_run
from pellucid.reporting.documents import load_documents
from pellucid.reporting.sections.cautions import collect_cautions
from pellucid.reporting.sections.first_page import (
    CAUTIONS_FIRST,
    build_first_page,
    further_cautions,
)
from pellucid.reporting.sections.screening import answer_screening

CHEST = FakeTarget("label", ("NORMAL", "PNEUMONIA"), separation=2.2)
OCT = FakeTarget("label", ("CNV", "DME", "DRUSEN", "NORMAL"), separation=1.5)


@pytest.fixture(scope="module")
def chest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("first") / "chest", CHEST, external=True)


def change(run: Path, split: str = "test", **keys: Any) -> None:
    """Give the blocks of one split other keys; those of `metrics` are added to its own."""
    path = run / "evaluation.json"
    document = json.loads(path.read_text())
    metrics = keys.pop("metrics", {})
    for block in document["blocks"]:
        if block["split"] == split:
            block.update(keys)
            block["metrics"].update(metrics)
    path.write_text(json.dumps(document))


def test_the_five_questions_are_answered(chest: Path) -> None:
    documents = load_documents(chest)
    block = documents.main_block("label")
    [part] = build_first_page(documents).targets
    assert part.question == "Is the image NORMAL or PNEUMONIA?"
    assert part.positive == "Positive means PNEUMONIA, as the user chose."
    whom = dict(part.whom)
    assert whom["Judged on"] == f"{block['n_images']} images of {block['n_patients']} patients"
    assert whom["Which are"] == "test split, never used in training"
    sick = sum(block["confusion_matrix"][1])
    assert whom["Prevalence"].startswith(f"{sick} PNEUMONIA images")
    auroc = block["metrics"]["auroc"]
    assert part.estimate.value == auroc["value"]
    assert f"values from {auroc['low']:.3f} to {auroc['high']:.3f} fit" in part.sure
    assert [scale.label for scale in part.scales] == ["test", "external test"]


def test_people_are_counted_from_the_metrics_and_never_rounded_to_none(
    chest: Path, tmp_path: Path
) -> None:
    block = load_documents(chest).main_block("label")
    sick, well = build_first_page(load_documents(chest)).targets[0].people
    assert sick.title == "Of 100 PNEUMONIA images"
    assert f"{round(100 * block['metrics']['sensitivity']['value'])} found" in sick.caption
    assert "false alarms" in well.caption
    run = make_run(tmp_path / "run", CHEST, n_images=200)
    change(run, metrics={"sensitivity": figure(0.9991, 0.0005)})
    sick, _ = build_first_page(load_documents(run)).targets[0].people
    assert sick.caption.startswith("more than 99 found (interval 100), fewer than 1 missed.")
    assert "#ffffff" in sick.svg  # one person is missed in the picture


def test_several_classes_say_what_the_missed_are_called(tmp_path: Path) -> None:
    documents = load_documents(make_run(tmp_path / "oct", OCT, n_images=300))
    [part] = build_first_page(documents).targets
    assert len(part.people) == 4
    assert "mostly called" in part.people[0].caption
    assert part.threshold == "Calling the most probable class"
    assert "guessing gives 0.250" in part.good[1]


def test_at_most_six_cautions_come_first_and_none_is_lost(tmp_path: Path) -> None:
    run = make_run(
        tmp_path / "run", CHEST, n_images=160, unreadable=3, dataset={"patients_known": False}
    )
    change(run, subgroups=fake_gap(), metrics={"auroc": figure(0.8, 0.1)})
    documents = load_documents(run)
    first, rest = build_first_page(documents).cautions, further_cautions(documents)
    assert len(first) == CAUTIONS_FIRST
    assert rest
    assert [*first, *rest] == collect_cautions(documents)
    levels = [caution.level for caution in [*first, *rest]]
    assert levels == sorted(levels, key=["FAIL", "WARN", "NOTE"].index)


GOOD = {"auroc": figure(0.99, 0.005), "sensitivity": figure(0.97, 0.02)}
EVEN = [{"fact": "sex", "values": [], "metric": "auroc", "p": 0.6, "p_corrected": 0.6}]


def test_screening_is_never_allowed_and_says_why(chest: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", CHEST, n_images=200, external=True)
    change(run, metrics=GOOD, subgroups=EVEN)
    change(run, "external_test", metrics=GOOD, subgroups=EVEN)
    answer = answer_screening(load_documents(run))
    assert answer.short == "Not by this report alone."
    assert "not a medical device" in answer.last
    change(run, subgroups=fake_gap())
    answer = answer_screening(load_documents(run))
    assert answer.short == "Not on this evidence."
    assert answer.reasons == ["It does not work equally well by scanner."]
    change(run, metrics={"sensitivity": figure(0.92, 0.05)})
    answer = answer_screening(load_documents(run))
    assert answer.short == "No."
    assert answer.reasons[0] == "Of 100 PNEUMONIA images it may miss 13 (by the interval)."


def test_what_is_worse_elsewhere_is_said_on_the_first_page(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", CHEST, n_images=200, external=True)
    change(run, metrics=GOOD, subgroups=EVEN)
    worse = {"auroc": figure(0.8, 0.05), "sensitivity": figure(0.7, 0.1)}
    gap = {"auroc": figure(-0.19, 0.06)}
    change(run, "external_test", metrics=worse, subgroups=EVEN, difference_from_test=gap)
    documents = load_documents(run)
    said = " ".join(caution.text for caution in build_first_page(documents).cautions)
    assert "worse by 0.190 (0.990 in test, 0.800 there), more than chance explains" in said
    answer = answer_screening(documents)
    assert answer.short == "No."
    assert "Elsewhere: Of 100 PNEUMONIA images it may miss 40 (by the interval)." in answer.reasons


def test_screening_counts_what_was_never_looked_at(tmp_path: Path) -> None:
    run = make_evaluation_only(tmp_path / "only", CHEST)
    change(run, metrics=GOOD, subgroups=[])
    reasons = " ".join(answer_screening(load_documents(run)).reasons)
    assert "Nothing says it was tested on images from another place" in reasons
    assert "Nobody has looked at groups of patients" in reasons


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"dataset": {"synthetic": True}}, "synthetic"),
        ({"dataset": {"patients_known": False}}, "Patients are not known"),
    ],
)
def test_screening_looks_at_the_data_first(
    tmp_path: Path, facts: dict[str, Any], reason: str
) -> None:
    run = make_run(tmp_path / "run", CHEST, n_images=160, **facts)
    assert reason in " ".join(answer_screening(load_documents(run)).reasons)


def test_a_judgement_of_validation_is_no_test(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", CHEST, n_images=160)
    document = json.loads((run / "evaluation.json").read_text())
    document["blocks"] = [b for b in document["blocks"] if b["split"] == "validation"]
    (run / "evaluation.json").write_text(json.dumps(document))
    answer = answer_screening(load_documents(run))
    assert answer.short == "No."
    assert "It was judged on validation images only, not on a test." in answer.reasons


def test_few_images_are_counted_where_there_is_no_interval(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", CHEST, n_images=160)
    bare = {**figure(0.0, 0.0), "low": None, "high": None, "method": "no interval: too few"}
    change(run, metrics={"specificity": bare}, confusion_matrix=[[0, 1], [0, 14]])
    documents = load_documents(run)
    [part] = build_first_page(documents).targets
    negative = part.people[1].caption
    assert negative == "0 cleared, 100 false alarms; counted on 1 image, no interval."
    reasons = answer_screening(documents).reasons
    assert "Of 100 NORMAL images it called 100 PNEUMONIA." in reasons


def test_worse_than_guessing_is_said_without_an_interval(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", CHEST, n_images=160)
    bare = {**figure(0.04, 0.0), "low": None, "high": None, "method": "no interval: too few"}
    change(run, metrics={"auroc": bare})
    answer = answer_screening(load_documents(run))
    assert answer.short == "No."
    assert answer.reasons[0] == "It was no better than guessing (AUROC 0.040)."


def test_the_external_figure_is_written_out(chest: Path) -> None:
    documents = load_documents(chest)
    external = documents.block("label", "external_test")
    assert external is not None
    [part] = build_first_page(documents).targets
    auroc = external["metrics"]["auroc"]
    assert f"from elsewhere, AUROC was {auroc['value']:.3f} (95 % interval" in part.good[-1]


def test_cautions_of_robustness_name_their_target(tmp_path: Path) -> None:
    targets = (FakeTarget("effusion", ("0", "1")), FakeTarget("nodule", ("0", "1")))
    run = make_run(tmp_path / "run", *targets)
    said = [caution.text for caution in collect_cautions(load_documents(run))]
    assert any(text.startswith("effusion: Slightly changed images") for text in said)
    documents = load_documents(run)
    shown = [caution.text for caution in build_first_page(documents).cautions]
    assert len(shown) < CAUTIONS_FIRST
    assert [*shown, *(caution.text for caution in further_cautions(documents))] == said


@pytest.mark.parametrize(
    ("slope", "intercept", "words"),
    [
        (figure(0.6, 0.1), figure(0.0, 0.2), "too extreme (calibration slope 0.600"),
        (figure(1.0, 0.1), figure(1.9, 0.5), "too low (calibration intercept 1.900"),
        (figure(1.0, 0.1), figure(0.0, 0.2), ""),
    ],
)
def test_probabilities_are_doubted_as_a_user_gets_them(
    tmp_path: Path, slope: dict[str, Any], intercept: dict[str, Any], words: str
) -> None:
    run = make_run(tmp_path / "run", CHEST, n_images=160)
    good = {"slope": figure(1.0, 0.1), "intercept": figure(0.0, 0.1)}
    change(run, calibration={"before": {"slope": slope, "intercept": intercept}, "after": good})
    said = [c.text for c in collect_cautions(load_documents(run)) if "Probabilities are" in c.text]
    assert [words in text for text in said] == ([True] if words else [])
