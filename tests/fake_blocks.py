"""The keys of version 2 of evaluation.json, by the functions that make them, for older documents.

What `evaluate_predictions` writes itself wins, so that these fakes cannot drift from it. Beside
them stand two made-up findings that random predictions seldom show: a gap, and harm by noise.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from pellucid.evaluation.abstention import abstention
from pellucid.evaluation.calibration import calibration_block
from pellucid.evaluation.curves import curves_block
from pellucid.evaluation.decision_curve import decision_curve
from pellucid.evaluation.failures import judge_failures
from pellucid.evaluation.figures import build_figures, main_metrics
from pellucid.evaluation.judged import Judged, judged_splits
from pellucid.evaluation.operating_point import DEFAULT, choose_points, confusion_at
from pellucid.evaluation.patient_level import RULES, by_patient
from pellucid.evaluation.prediction_sets import prediction_sets
from pellucid.evaluation.predictions import check_predictions, task_from_predictions
from pellucid.evaluation.subgroups import judge_subgroups

DRAW = (40, 0)
Block = dict[str, Any]


def complete(document: dict[str, Any], predictions: pd.DataFrame) -> dict[str, Any]:
    """The document with every key of version 2, of these predictions."""
    if document["version"] > 1:
        return document
    table = check_predictions(predictions)
    made = {}
    for target in task_from_predictions(table).targets:
        splits = {part.split: part for part in judged_splits(table, target)}
        for split, part in splits.items():
            made[target.name, split] = _new_keys(part, splits.get("validation"))
    blocks = [{**block, **made[block["target"], block["split"]]} for block in document["blocks"]]
    return {**document, "version": 2, "blocks": blocks}


def _new_keys(judged: Judged, validation: Judged | None) -> Block:
    return {
        "calibration": calibration_block(judged, validation, DRAW),
        "curves": curves_block(judged, DRAW),
        "decision_curve": decision_curve(judged, DRAW),
        "prediction_sets": prediction_sets(judged, validation),
        "abstention": abstention(judged, validation, DRAW),
        "patient_level": {rule: _patient_level(judged, rule) for rule in RULES},
        "subgroups": judge_subgroups(judged, DRAW),
        "failures": judge_failures(judged),
        "operating_points": _points(judged, validation),
    }


def _points(judged: Judged, validation: Judged | None) -> list[Block]:
    if not judged.target.is_binary:
        return []
    chosen = choose_points(validation) if validation is not None else []
    return [{**asdict(p), "metrics": _at(judged, p.threshold)} for p in [DEFAULT, *chosen]]


def _at(judged: Judged, threshold: float | None) -> Block:
    if threshold is None:
        return {}
    cells = confusion_at(judged.probabilities[:, 1], judged.codes == 1, threshold)
    return main_metrics(build_figures(judged, cells, DRAW, only_counts=True), judged.target)


def _patient_level(judged: Judged, rule: str) -> Block:
    level = by_patient(judged, rule).judged
    assert level is not None
    k = len(level.target.classes)
    called = level.probabilities.argmax(axis=1)
    figures = build_figures(level, k * level.codes + called, DRAW)
    return {"n": level.n, "metrics": main_metrics(figures, level.target)}


def figure(value: float, half: float = 0.05) -> Block:
    """A figure with an interval of ± `half`."""
    return {"value": value, "low": value - half, "high": value + half, "method": "made up"}


def fake_gap() -> list[Block]:
    """A fact with a gap beyond chance, and a cell that is suppressed."""
    values = [
        {"value": name, "n_images": 60, "n_patients": 30, "suppressed": False, "reason": "",
         "metrics": {"auroc": figure(level)}}
        for name, level in (("old", 0.81), ("new", 0.95))
    ]  # fmt: skip
    small = {"value": "other", "n_images": None, "n_patients": None, "suppressed": True,
             "reason": "fewer than 10 patients", "metrics": {}}  # fmt: skip
    return [
        {
            "fact": "scanner",
            "values": [*values, small],
            "metric": "auroc",
            "gap": figure(0.14),
            "p": 0.0002,
            "p_corrected": 0.0004,
            "test": "permutation of patients' groups, 9,999 permutations",
            "verdict": "By scanner, AUROC lies between 0.81 in old and 0.95 in new, beyond chance.",
        }
    ]


def fake_robustness(block: Block) -> list[Block]:
    """A classifier that noise harms early and blur hardly."""
    clean = block["metrics"]["auroc"]
    losses = {"gaussian_noise": 0.07, "gaussian_blur": 0.01, "contrast": 0.02, "jpeg": 0.0}
    corruptions = [
        {
            "name": name,
            "unit": "grey levels",
            "clean": clean,
            "levels": [
                {
                    "severity": severity,
                    "value": 5 * severity,
                    "metric": figure(clean["value"] - severity * loss, 0.03),
                    "change": figure(-severity * loss, 0.02),
                    "p_corrected": 0.01,
                }
                for severity in (1, 2, 3)
            ],
        }
        for name, loss in losses.items()
    ]
    known = {key: block[key] for key in ("target", "split", "n_images", "n_patients")}
    verdict = "Gaussian noise costs most."
    return [
        {**known, "metric": "auroc", "corruptions": corruptions, "costliest": "gaussian_noise",
         "verdict": verdict}
    ]  # fmt: skip


def fake_facts(n_images: int, patients: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Two facts of each image that do not differ within a patient; the third sex is rare."""
    random = np.random.default_rng(5)
    highest = int(patients.max()) + 1
    sexes = random.choice(["F", "M", "other"], highest, p=[0.5, 0.48, 0.02])
    scanners = random.choice(["old", "new"], highest, p=[0.3, 0.7])
    return {"sex": sexes[patients][:n_images], "scanner": scanners[patients][:n_images]}
