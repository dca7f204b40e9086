"""Sections stand where their block is, say why where it cannot be; old documents still render."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pandas as pd
import pytest

from fake_blocks import fake_gap, figure
from fake_runs import FakeTarget, make_evaluation_only, make_run
from pellucid.errors import UsageError
from pellucid.evaluation.comparing.comparison import compare_predictions
from pellucid.evaluation.document import evaluate_predictions
from pellucid.reporting import write_report
from pellucid.reporting.documents import load_documents
from pellucid.reporting.legacy import upgrade_block
from pellucid.reporting.sections.external_part import external_part
from pellucid.reporting.sections.group_parts import subgroups_part
from pellucid.reporting.sections.judgement import judge_target
from pellucid.reporting.sections.metric_tables import patient_level_part
from pellucid.reporting.tables import Table

CHEST = FakeTarget("label", ("NORMAL", "PNEUMONIA"), separation=1.6)
NEW = ("patient_level", "subgroups", "failures", "decision_curve", "prediction_sets", "abstention")
TITLES = (
    "Patient by patient",
    "Curves over all thresholds",
    "Calibration",
    "Operating points",
    "Decision curve",
    "Prediction sets",
    "Abstention",
    "Subgroups",
    "Failures",
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("parts") / "run", CHEST, external=True)


@pytest.fixture(scope="module")
def source(run: Path) -> str:
    return write_report(run).read_text(encoding="utf-8")


def rewrite(run: Path, change: Any) -> None:
    path = run / "evaluation.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def contents(source: str) -> list[str]:
    nav = source[source.index("<nav") : source.index("</nav>")]
    return re.findall(r'<a href="#[\w-]+">([^<]+)</a>', nav)


def table_of(source: str, name: str) -> list[dict[str, str]]:
    address = re.search(
        rf'download="{name}\.csv" href="data:text/csv;charset=utf-8,([^"]+)"', source
    )
    assert address, name
    return list(csv.DictReader(io.StringIO(unquote(address[1]))))


def tables_in(part: Any) -> list[Table]:
    return [table for inner in part for table in inner.tables]


def test_every_block_has_its_section_and_its_place_in_the_contents(source: str) -> None:
    names = contents(source)
    for title in (*TITLES, "External validation", "Robustness", "Checklists"):
        assert title in names, title


def test_a_section_without_its_block_is_left_out(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", CHEST, n_images=160)

    def strip(document: dict[str, Any]) -> None:
        del document["robustness"]
        for block in document["blocks"]:
            for key in (*NEW, "operating_points", "calibration"):
                block.pop(key, None)

    rewrite(run, strip)
    (run / "predictions").rename(tmp_path / "elsewhere")
    names = contents(write_report(run).read_text(encoding="utf-8"))
    assert "Curves over all thresholds" in names
    assert not set(names) & {*TITLES[2:], "Patient by patient", "Robustness", "External validation"}


def test_a_block_that_cannot_be_says_why(tmp_path: Path) -> None:
    run = make_evaluation_only(tmp_path / "run", CHEST)

    def refuse(document: dict[str, Any]) -> None:
        for block in document["blocks"]:
            block["prediction_sets"] = {"reason": "there is no validation split"}
            block["patient_level"] = {"reason": "each image is its own patient"}
            block["subgroups"] = []

    rewrite(run, refuse)
    source = write_report(run).read_text(encoding="utf-8")
    assert "Not shown: There is no validation split." in source
    assert "Not shown: Each image is its own patient." in source
    assert "no subgroup could be judged" in source


def test_an_evaluation_of_version_1_still_renders(tmp_path: Path) -> None:
    run = make_evaluation_only(tmp_path / "run", CHEST)
    old = json.loads((run / "evaluation.json").read_text())
    block = old["blocks"][0]
    bins = block["calibration"]["before"]["bins"]
    for key in NEW:
        block.pop(key)
    block["calibration"] = {"method": "none", "brier": 0.071, "log_loss": 0.2, "bins": bins}
    block["curves"] = {"roc": {"PNEUMONIA": {"fpr": [0, 1], "tpr": [0, 1]}}, "precision_recall": {}}
    (run / "evaluation.json").write_text(json.dumps({**old, "version": 1, "blocks": [block]}))
    source = write_report(run).read_text(encoding="utf-8")
    assert "0.071" in source
    assert "The surest mistakes" in source  # found in the predictions


def test_a_new_block_is_not_touched_by_the_upgrade(run: Path) -> None:
    block = json.loads((run / "evaluation.json").read_text())["blocks"][0]
    assert upgrade_block(block) is block


def test_csv_holds_the_numbers_of_evaluation_json(run: Path, source: str) -> None:
    block = load_documents(run).main_block("label")
    found = [*table_of(source, "discrimination-0"), *table_of(source, "decisions-0")]
    read = {row["metric"]: row for row in found}
    for key, name in (("auroc", "AUROC"), ("sensitivity", "Sensitivity (recall)"), ("npv", "NPV")):
        figure, row = block["metrics"][key], read[name]
        for part, column in (("value", "test"), ("low", "test, low"), ("high", "test, high")):
            assert row[column] == ("" if figure[part] is None else repr(figure[part])), name
        assert row["test, method"] == figure["method"]
    matrix = [
        [row[f"called {c}"] for c in CHEST.classes] for row in table_of(source, "confusion-0")
    ]
    assert matrix == [[str(n) for n in row] for row in block["confusion_matrix"]]
    calibration = block["calibration"]["after"]["slope"]
    slope = table_of(source, "calibration-0")[0]
    assert slope["after scaling"] == repr(calibration["value"])


def test_every_table_on_the_page_has_its_csv(source: str) -> None:
    shown = source.count("<table")
    assert source.count('href="data:text/csv') >= shown


def test_suppressed_groups_are_shown_as_suppressed_with_the_reason(tmp_path: Path) -> None:
    run = make_evaluation_only(tmp_path / "run", CHEST)
    rewrite(run, lambda document: document["blocks"][0].update(subgroups=fake_gap()))
    source = write_report(run).read_text(encoding="utf-8")
    assert "<em>suppressed<sup>1</sup></em>" in source
    assert source.count("suppressed: fewer than 10 patients") == 1
    row = next(row for row in table_of(source, "groups-0") if row["Group"] == "other")
    assert (row["Images"], row["Patients"], row["AUROC"]) == ("< 10", "< 10", "")
    gap = table_of(source, "gaps-0")[0]
    assert gap["p corrected"] == "0.0004"
    assert "&lt; 0.001" in source
    assert "By scanner, AUROC lies between" in source


def test_external_stands_beside_internal_with_the_difference(run: Path, source: str) -> None:
    documents = load_documents(run)
    test, external = (documents.block("label", split) for split in ("test", "external_test"))
    assert test
    assert external
    row = next(row for row in table_of(source, "external-0") if row["Metric"] == "AUROC")
    there, here = (block["metrics"]["auroc"]["value"] for block in (external, test))
    assert float(row["Difference (external − test)"]) == pytest.approx(there - here, abs=1e-12)
    part = external_part(test, external, 0)
    assert part
    assert len(part.plots) == 2
    assert external_part(test, None, 0) is None


def test_comparisons_of_baseline_and_of_models_stand_apart(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", CHEST, n_images=300)
    table = pd.read_csv(
        run / "predictions" / "test.csv", dtype={"image_id": str, "patient_id": str}
    )
    worse = table.assign(probability_PNEUMONIA=1 - table["probability_PNEUMONIA"])
    worse["probability_NORMAL"] = 1 - worse["probability_PNEUMONIA"]
    document = compare_predictions({"network": table, "baseline": worse}, n_resamples=50)
    rewrite(run, lambda whole: whole.update(comparison=document))
    (run / "comparison.json").write_text(json.dumps(document))
    source = write_report(run).read_text(encoding="utf-8")
    assert {"Network against classical baseline", "Comparison of models"} <= set(contents(source))
    ids = re.findall(r'\bid="([^"]+)"', source)
    assert len(ids) == len(set(ids))
    assert {"comparison-0", "comparison-1"} <= set(ids)


def test_another_document_as_comparison_is_refused(tmp_path: Path) -> None:
    run = make_evaluation_only(tmp_path / "run", CHEST)
    (run / "comparison.json").write_text('{"format": "other"}')
    with pytest.raises(UsageError, match="comparison of Pellucid"):
        write_report(run)


def test_hostile_class_names_stay_text_in_pages_figures_and_csv(tmp_path: Path) -> None:
    evil, formula = "<img src=x onerror=y>", "=cmd|'/c calc'!A1"
    run = make_run(tmp_path / "run", FakeTarget("label", (formula, evil)), n_images=200)
    source = write_report(run).read_text(encoding="utf-8")
    assert "<img src=x" not in source
    assert table_of(source, "confusion-0")[0]["truth"] == f"'{formula}"


def test_a_foreign_table_gives_the_report_without_training(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "y_true": ["b", "a", "b", "a"] * 20,
            "probability_a": [0.2, 0.7, 0.4, 0.6] * 20,
            "probability_b": [0.8, 0.3, 0.6, 0.4] * 20,
        }
    )
    folder = tmp_path / "foreign"
    folder.mkdir()
    document = evaluate_predictions(table, n_resamples=20)
    (folder / "evaluation.json").write_text(json.dumps(document))
    source = write_report(folder).read_text(encoding="utf-8")
    assert "Report of predictions" in source
    assert not {"Training", "Network", "Hyperparameters"} & set(contents(source))


def test_validation_of_a_foreign_table_is_not_said_to_have_chosen_an_epoch(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "y_true": ["b", "a", "b", "a"] * 40,
            "probability_a": [0.2, 0.7, 0.4, 0.6] * 40,
            "probability_b": [0.8, 0.3, 0.6, 0.4] * 40,
            "split": ["test", "validation"] * 80,
        }
    )
    document = evaluate_predictions(table, n_resamples=20)
    (tmp_path / "evaluation.json").write_text(json.dumps(document))
    source = write_report(tmp_path).read_text(encoding="utf-8")
    assert "Validation stands beside for comparison." in source
    assert "the epoch" not in source


def test_patients_left_out_of_the_patient_level_are_told() -> None:
    reason = "2 patients have images of different classes and are left out"
    levels = {"mean": {"n": 7, "reason": reason, "metrics": {"auroc": figure(0.9, 0.05)}}}
    block = {"n_images": 20, "split": "test", "metrics": {}, "patient_level": levels}
    part = patient_level_part(block, 0)
    assert part is not None
    told = "A patient is judged once, from all of its images: 7 patients."
    assert part.words == (f"{told} {reason}.",)


def test_a_gap_that_is_not_defined_says_why() -> None:
    entry = {"fact": "sex", "values": [], "gap": None, "p": None, "p_corrected": None}
    test = "not made: fewer than two groups are large enough"
    block = {"classes": ["a", "b"], "metrics": {}, "subgroups": [{**entry, "test": test}]}
    part = subgroups_part(block, 0)
    assert part is not None
    [gap] = [table for table in part.tables if table.name == "gaps-0"]
    cell = next(iter(gap.shown))[1].estimate
    assert cell is not None
    assert cell.reason == "fewer than two groups are large enough"


def test_no_patient_is_named_anywhere(run: Path, source: str) -> None:
    assert "secret-patient" not in source
    assert "secret-patient" not in unquote(source)
    judged = judge_target(load_documents(run), "label", 0)
    assert all("secret-patient" not in table.csv for table in tables_in(judged.before_failures))


def test_figures_are_saved_by_the_page_itself_and_not_printed(source: str) -> None:
    assert "XMLSerializer" in source
    assert 'data-name="roc-0"' in source
    assert re.search(r"@media print \{.*?\.save, \.saves \{ display: none; \}", source, re.S)
