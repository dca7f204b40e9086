"""How the baseline was chosen stands in the report, or why there is none."""

from __future__ import annotations

import json
from pathlib import Path

from fake_runs import FakeTarget, make_run
from pellucid.reporting.documents import load_documents
from pellucid.reporting.html import write_report
from pellucid.reporting.sections.baseline_part import baseline_parts

CHOSEN = {
    "target": "finding",
    "classifier": "logistic regression",
    "hyperparameters": {"C": 0.01},
    "n_train_images": 300,
    "n_train_patients": 120,
    "cross_validation": [
        {
            "classifier": "logistic regression",
            "hyperparameters": {"C": 0.001},
            "mean_auroc": 0.8,
            "spread": 0.02,
        },
        {
            "classifier": "logistic regression",
            "hyperparameters": {"C": 0.01},
            "mean_auroc": 0.9,
            "spread": 0.01,
        },
    ],
    "importance": {
        "families": [{"family": "edges.hog", "n_features": 128, "fall": 0.03, "spread": 0.002}]
    },
}


def with_baseline(folder: Path, target: dict[str, object]) -> Path:
    run = make_run(folder, FakeTarget("finding", ("no", "yes")))
    (run / "baseline").mkdir()
    (run / "baseline" / "baseline.json").write_text(json.dumps({"targets": [target]}))
    return run


def test_what_was_tried_and_what_tells_stand_best_first(tmp_path: Path) -> None:
    run = with_baseline(tmp_path / "run", CHOSEN)
    (part,) = baseline_parts(load_documents(run))
    assert "300 training images of 120 patients" in part.words[0]
    assert part.words[0].endswith("logistic regression (C 0.010).")
    tried, families = part.tables
    assert [row[2] for row in tried.rows] == [0.9, 0.8]
    assert families.rows[0][0] == "edges.hog"
    page = write_report(run).read_text(encoding="utf-8")
    assert "The classical baseline of finding" in page


def test_no_baseline_says_why(tmp_path: Path) -> None:
    none = {"target": "finding", "classifier": None, "reason": "One class has no patient."}
    (part,) = baseline_parts(load_documents(with_baseline(tmp_path / "run", none)))
    assert part.words == ("None was fitted: One class has no patient.",)
    assert part.tables == ()


def test_a_run_without_a_baseline_has_no_part(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", FakeTarget("finding", ("no", "yes")))
    assert baseline_parts(load_documents(run)) == []
