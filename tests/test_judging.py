"""Judging from files: tables of other tools, comparisons, external tests, and what a run adds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import pellucid
from fake_runs import FakeTarget, make_run
from pellucid.errors import PredictionsError, SplitError, UsageError
from pellucid.evaluation.block import Asked
from pellucid.evaluation.decisions.operating_point import Wishes
from pellucid.judging import compare, evaluate, judge, report
from pellucid.run import Run
from tables import make_table

FAST = Asked(n_resamples=100)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(make_run(tmp_path / "run", FakeTarget("finding", ("no", "yes"), 1.0)))


def test_the_least_table_of_another_tool_gives_a_whole_report(tmp_path: Path) -> None:
    table = make_table(120)[["y_true", "probability_no", "probability_yes"]]
    table.to_csv(tmp_path / "theirs.csv", index=False)
    document = evaluate(tmp_path / "theirs.csv", out=tmp_path / "out", asked=FAST)
    assert document["blocks"][0]["n_images"] == 120
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text())["version"] == 2
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "120 images" in page


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"probability_yes": 0.9}, "must sum to 1"),
        ({"y_true": "maybe"}, "one of no, yes"),
        ({"image_id": "same"}, "stands once in a split"),
        ({"split": "holdout"}, "must be one of"),
    ],
)
def test_wrong_tables_get_their_plain_message(
    tmp_path: Path, change: dict[str, object], reason: str
) -> None:
    make_table(20).assign(**change).to_csv(tmp_path / "wrong.csv", index=False)
    with pytest.raises(PredictionsError, match=reason):
        evaluate(tmp_path / "wrong.csv")


def test_a_missing_patient_is_the_image_itself(tmp_path: Path) -> None:
    table = make_table(40, patients=10)
    table.loc[0, "patient_id"] = None
    table.to_csv(tmp_path / "t.csv", index=False)
    document = evaluate(tmp_path / "t.csv", asked=FAST)
    assert document["blocks"][0]["n_patients"] == table["patient_id"].nunique() + 1


def test_a_run_is_compared_with_its_baseline_when_there_is_one(run: Run) -> None:
    assert "comparison" not in judge(run, asked=FAST)
    for split in ("validation", "test"):
        table = pd.read_csv(run.predictions_path(split), dtype={"image_id": str})
        noise = np.random.default_rng(0).random(len(table))
        table["probability_yes"], table["probability_no"] = noise, 1 - noise
        path = run.baseline.predictions_path(split)
        path.parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(path, index=False)
    document = judge(run, asked=FAST)
    (target,) = document["comparison"]["targets"]
    (pair,) = target["pairs"]
    assert (pair["first"], pair["second"]) == ("network", "classical baseline")
    assert pair["metrics"]["auroc"]["difference"]["value"] < 0
    assert pair["metrics"]["auroc"]["test"].startswith("paired DeLong")


def test_corrupted_pictures_are_judged_against_the_same_images(run: Run) -> None:
    test = pd.read_csv(run.predictions_path("test"), dtype={"image_id": str})
    half = 0.5 + (test["probability_yes"] - 0.5) * 0.01
    worse = test.assign(probability_yes=1 - half, probability_no=half)
    tables = [
        part.assign(corruption="jpeg", severity=severity)
        for severity, part in enumerate((test, worse, worse), 1)
    ]
    pd.concat(tables).to_csv(run.robustness_path, index=False)
    (entry,) = judge(run, asked=FAST)["robustness"]
    (jpeg,) = entry["corruptions"]
    first, second, _ = [level["metric"]["value"] for level in jpeg["levels"]]
    assert first == pytest.approx(jpeg["clean"]["value"])
    assert second == pytest.approx(1 - first)
    assert jpeg["unit"]


def test_features_gather_the_mistakes_and_a_damaged_file_is_said(run: Run) -> None:
    test = pd.read_csv(run.predictions_path("test"), dtype={"image_id": str})
    ids = test["image_id"].to_numpy(dtype=str)
    values = np.random.default_rng(0).normal(size=(len(ids), 8)).astype(np.float16)
    np.savez(run.features_path, image_ids=ids, values=values)
    failures = judge(run, asked=FAST)["blocks"][0]["failures"]
    assert failures["grouped_by"] == "features"
    run.features_path.write_bytes(b"no archive")
    with pytest.raises(UsageError, match=r"features.npz is damaged"):
        judge(run, asked=FAST)


def test_runs_and_tables_are_compared_by_name(run: Run, tmp_path: Path) -> None:
    table = pd.read_csv(run.predictions_path("test"), dtype=str)
    table.to_csv(tmp_path / "same.csv", index=False)
    document = compare([run.folder, tmp_path / "same.csv"], out=tmp_path / "out", asked=FAST)
    assert document["names"] == ["run", "same.csv"]
    figure = document["targets"][0]["pairs"][0]["metrics"]["auroc"]
    assert (figure["difference"]["value"], figure["p"]) == (0, 1)
    assert "identical" in document["targets"][0]["pairs"][0]["verdict"]
    assert (tmp_path / "out" / "comparison.html").is_file()
    with pytest.raises(UsageError, match="twice"):
        compare([run.folder, run.folder], asked=FAST)
    with pytest.raises(PredictionsError, match="no predictions table"):
        compare([run.folder, tmp_path / "nothing.csv"], asked=FAST)
    with pytest.raises(UsageError, match="holds no predictions"):
        compare([run.folder, tmp_path], asked=FAST)


def test_an_external_table_stands_beside_the_test(run: Run, tmp_path: Path) -> None:
    table = pd.read_csv(run.predictions_path("test"), dtype=str)
    table["image_id"] = "other_" + table["image_id"]
    table["patient_id"] = "other_" + table["patient_id"]
    table.to_csv(tmp_path / "theirs.csv", index=False)
    page = report(run.folder, external=tmp_path / "theirs.csv").read_text(encoding="utf-8")
    splits = [block["split"] for block in run.evaluation["blocks"]]
    assert splits == ["test", "external_test", "validation"]
    assert "external" in page


def test_a_report_can_hold_a_comparison(run: Run, tmp_path: Path) -> None:
    table = pd.read_csv(run.predictions_path("test"), dtype=str)
    table.to_csv(tmp_path / "same.csv", index=False)
    page = report(run.folder, others=[tmp_path / "same.csv"]).read_text(encoding="utf-8")
    assert run.comparison_path.is_file()
    assert "same.csv" in page


def test_the_verbs_are_public() -> None:
    assert (pellucid.evaluate, pellucid.compare, pellucid.report) == (evaluate, compare, report)


def external_of(run: Run) -> pd.DataFrame:
    table = pd.read_csv(run.predictions_path("test"), dtype=str)
    return table.assign(
        image_id="o_" + table["image_id"], patient_id="o_" + table["patient_id"]
    ).drop(columns="split")


@pytest.mark.parametrize(
    ("change", "error", "reason"),
    [
        ({"target": "other"}, PredictionsError, "targets of the run"),
        ({"probability_maybe": 0.0}, PredictionsError, "classes of the run"),
        ({"y_true": ""}, PredictionsError, "needs labels"),
    ],
)
def test_a_refused_external_table_leaves_the_run_as_it_was(
    run: Run, tmp_path: Path, change: dict[str, object], error: type[Exception], reason: str
) -> None:
    external_of(run).assign(**change).to_csv(tmp_path / "theirs.csv", index=False)
    with pytest.raises(error, match=reason):
        report(run.folder, external=tmp_path / "theirs.csv")
    assert not run.predictions_path("external_test").exists()
    judge(run, asked=FAST)


def test_own_patients_are_no_external_test(run: Run, tmp_path: Path) -> None:
    table = external_of(run)
    table["patient_id"] = table["patient_id"].str.removeprefix("o_")
    table.to_csv(tmp_path / "theirs.csv", index=False)
    with pytest.raises(SplitError, match="must not stand in the run") as caught:
        report(run.folder, external=tmp_path / "theirs.csv")
    assert "secret" not in str(caught.value)
    run.add_facts(allow_shared_patients=True)
    report(run.folder, external=tmp_path / "theirs.csv")


def test_an_external_table_needs_no_target_where_there_is_one(run: Run, tmp_path: Path) -> None:
    external_of(run).drop(columns="target").to_csv(tmp_path / "theirs.csv", index=False)
    report(run.folder, external=tmp_path / "theirs.csv")
    splits = [block["split"] for block in run.evaluation["blocks"]]
    assert splits == ["test", "external_test", "validation"]


def test_the_columns_of_an_external_table_do_not_turn_the_positive_class(
    run: Run, tmp_path: Path
) -> None:
    table = external_of(run)
    first = ["probability_yes", "probability_no"]
    table[[*first, *table.columns.difference(first)]].to_csv(tmp_path / "t.csv", index=False)
    report(run.folder, external=tmp_path / "t.csv")
    pd.read_csv(run.predictions_path("test"), dtype=str).to_csv(tmp_path / "same.csv", index=False)
    document = compare([run.folder, tmp_path / "same.csv"], asked=FAST)
    assert document["targets"][0]["positive"] == "yes"


def test_an_external_test_is_judged_as_the_run_was(run: Run, tmp_path: Path) -> None:
    wishes = Wishes(sensitivity=0.8, cost_ratio=3, prevalence=0.02)
    evaluate(run.folder, positive="no", asked=Asked(wishes=wishes, n_resamples=100, seed=5))
    external_of(run).to_csv(tmp_path / "theirs.csv", index=False)
    report(run.folder, external=tmp_path / "theirs.csv")
    document = run.evaluation
    assert (document["n_resamples"], document["seed"]) == (100, 5)
    external = document["blocks"][1]
    assert (external["split"], external["positive"]) == ("external_test", "no")
    assert external["stated_prevalence"] == 0.02
    wanted = {point["name"]: point["wanted"] for point in external["operating_points"]}
    assert (wanted["sensitivity"], wanted["cost_ratio"]) == (0.8, 3)


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "split\n"])
def test_damaged_predictions_of_corrupted_pictures_are_said(run: Run, text: str) -> None:
    run.robustness_path.write_text(text)
    with pytest.raises(UsageError, match=r"robustness.csv is damaged"):
        judge(run, asked=FAST)


def test_a_model_that_says_nothing_of_its_patients_checks_none(tmp_path: Path) -> None:
    make_table(20).to_csv(tmp_path / "t.csv", index=False)
    for model in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(UsageError, match="whom it was trained on"):
            evaluate(tmp_path / "t.csv", model=model, asked=FAST)


def test_a_comparison_is_not_written_over_a_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(UsageError, match="is a file"):
        compare([run.folder, run.folder], names=["a", "b"], out=tmp_path / "out", asked=FAST)
    with pytest.raises(UsageError, match="cannot be written"):
        compare([run.folder, run.folder], names=["a", "b"], out=tmp_path / "out/x", asked=FAST)


def test_what_is_for_a_table_is_refused_for_a_run(run: Run, tmp_path: Path) -> None:
    before = run.evaluation_path.read_bytes()
    for given in ({"out": tmp_path / "out"}, {"model": run.folder}):
        with pytest.raises(UsageError, match="for a table alone"):
            evaluate(run.folder, asked=FAST, **given)
    assert run.evaluation_path.read_bytes() == before


def test_an_existing_folder_is_kept_and_no_resuming_is_advised(tmp_path: Path) -> None:
    make_table(20).to_csv(tmp_path / "t.csv", index=False)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    with pytest.raises(UsageError, match="exists") as caught:
        evaluate(tmp_path / "t.csv", out=tmp_path / "out", asked=FAST)
    assert "resume" not in str(caught.value)


def test_a_target_without_test_labels_does_not_end_the_comparison(tmp_path: Path) -> None:
    targets = FakeTarget("a", ("no", "yes")), FakeTarget("b", ("x", "y", "z"))
    run = Run(make_run(tmp_path / "run", *targets))
    table = pd.read_csv(run.predictions_path("test"), dtype=str)
    table[table["target"] == "a"].to_csv(run.predictions_path("test"), index=False)
    shutil.copytree(run.folder / "predictions", run.baseline.folder / "predictions")
    comparison = judge(run, asked=FAST)["comparison"]
    assert [target["target"] for target in comparison["targets"]] == ["a"]
    assert any("target b, which was left out" in note for note in comparison["notes"])
    run.baseline.predictions_path("test").unlink()
    assert judge(run, asked=FAST)["comparison"]["targets"][0]["split"] == "validation"
