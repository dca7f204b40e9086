"""What evaluation.json of version 2 holds beside the metrics, made up where it is not there yet.

Every key that `evaluate_predictions` writes itself wins, so that these fakes cannot drift from it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

Figure = dict[str, Any]
GRID = np.linspace(0, 1, 21)


def figure(value: float | None, half: float = 0.05, **more: Any) -> Figure:
    """A figure with an interval of ± `half`."""
    if value is None:
        return {"value": None, "low": None, "high": None, "method": "undefined: made up"}
    low, high = max(0.0, value - half), value + half
    return {"value": value, "low": low, "high": high, "method": "made up", **more}


def complete(document: dict[str, Any], predictions: pd.DataFrame) -> dict[str, Any]:
    """The document with every key of version 2; `predictions` name the images of the failures."""
    blocks = []
    for block in document["blocks"]:
        rows = predictions[predictions["split"] == block["split"]]
        fakes = fake_block(block, rows[rows["target"] == block["target"]])
        known = dict(block)
        if "before" not in known["calibration"]:
            fakes["calibration"]["before"]["bins"] = known.pop("calibration")["bins"]
        if not any("tpr_low" in line for line in known["curves"]["roc"].values()):
            fakes["curves"] = _bands(known.pop("curves"))
        blocks.append({**fakes, **known})
    return {**document, "version": 2, "blocks": blocks}


def fake_block(block: dict[str, Any], rows: pd.DataFrame) -> dict[str, Any]:
    """The keys of version 2 for one block."""
    is_binary = len(block["classes"]) == 2
    return {
        "calibration": fake_calibration(),
        "decision_curve": fake_decision_curve(block) if is_binary else None,
        "prediction_sets": [fake_set(block, promised) for promised in (0.90, 0.95)],
        "abstention": {
            "coverage": GRID[1:].tolist(),
            "risk": (0.12 * GRID[1:] ** 2).tolist(),
            "risk_low": (0.08 * GRID[1:] ** 2).tolist(),
            "risk_high": (0.16 * GRID[1:] ** 2 + 0.01).tolist(),
            "area": figure(0.031, 0.01),
            "risk_is": "error rate of the images kept",
            "at": [
                {
                    "coverage": 0.8,
                    "threshold": 0.71,
                    "risk": figure(0.07, 0.03),
                    "kept": figure(0.78, 0.04),
                    "chosen_on": "validation",
                }
            ],
        },
        "patient_level": {
            rule: {"n": block["n_patients"], "metrics": block["metrics"]}
            for rule in ("mean", "max", "noisy_or")
        },
        "subgroups": fake_subgroups(block),
        "failures": fake_failures(block, rows),
    }


def fake_calibration() -> dict[str, Any]:
    """Scaled on validation, and better for it."""
    bins = [
        {
            "low": k / 10,
            "high": (k + 1) / 10,
            "n": 5 + 2 * abs(k - 5),
            "mean_probability": k / 10 + 0.05,
            "observed": k / 10 + 0.04,
            "observed_low": max(0.0, k / 10 - 0.1),
            "observed_high": min(1.0, k / 10 + 0.2),
        }
        for k in range(10)
    ]
    before = {
        "brier": figure(0.071, 0.02),
        "log_loss": figure(0.23, 0.05),
        "calibration_error": {**figure(0.04), "low": None, "high": None, "note": "by chance 0.03"},
        "adaptive_calibration_error": {**figure(0.05), "low": None, "high": None},
        "slope": figure(0.71, 0.15),
        "intercept": figure(0.05, 0.2),
    }
    after = {**before, "slope": figure(0.98, 0.2), "brier": figure(0.068, 0.02), "bins": bins}
    scaling = {"method": "temperature", "parameters": {"temperature": 1.42}}
    return {
        "claim": "positive class",
        "before": {**before, "bins": bins},
        "after": after,
        "scaling": {**scaling, "fitted_on": "validation"},
        "reason": "",
    }


def fake_decision_curve(block: dict[str, Any]) -> dict[str, Any]:
    """A model that is worth using up to a threshold of 0.9."""
    x = np.linspace(0.01, 0.99, 99)
    p = float(block["prevalence"][block["classes"][1]])
    model = p * (1 - 0.1 * x - 0.5 * x**6)
    return {
        "thresholds": x.tolist(),
        "model": model.tolist(),
        "model_low": (model - 0.05).tolist(),
        "model_high": (model + 0.05).tolist(),
        "treat_all": (p - (1 - p) * x / (1 - x)).tolist(),
        "treat_none": np.zeros(99).tolist(),
        "prevalence": p,
        "prevalence_is": "of these images",
    }


def fake_set(block: dict[str, Any], promised: float) -> dict[str, Any]:
    """Sets that keep their promise."""
    return {
        "promised": promised,
        "method": "split conformal (LAC)",
        "fitted_on": "validation",
        "n_calibration": 57,
        "threshold": 1 - promised,
        "coverage": figure(promised + 0.01, 0.03),
        "mean_size": figure(1.13, 0.05),
        "singletons": figure(0.87, 0.05),
        "empty": figure(0.0, 0.02),
        "per_class": {label: figure(promised, 0.05) for label in block["classes"]},
        "reason": "",
    }


def fake_subgroups(block: dict[str, Any]) -> list[dict[str, Any]]:
    """One fact without a gap and a suppressed cell, one with a gap beyond chance."""
    names = ("auroc", "sensitivity") if len(block["classes"]) == 2 else ("auroc", "accuracy")

    def value(name: str, n: int, level: float) -> dict[str, Any]:
        metrics = {key: figure(level, 0.04) for key in names}
        return {"value": name, "n_images": n, "n_patients": n // 2, "suppressed": False,
                "reason": "", "metrics": metrics}  # fmt: skip

    small = {
        "value": "other",
        "n_images": None,
        "n_patients": None,
        "suppressed": True,
        "reason": "fewer than 10 patients",
        "metrics": {},
    }
    common = {"metric": "auroc", "test": "permutation of patients' groups, 1,000 permutations"}
    return [
        {"fact": "sex", "values": [value("F", 120, 0.93), value("M", 140, 0.94), small],
         "gap": figure(0.01, 0.06), "p": 0.71, "p_corrected": 0.71,
         "verdict": "AUROC differs by 0.010 between F and M, within chance.", **common},
        {"fact": "scanner", "values": [value("old", 60, 0.81), value("new", 200, 0.95)],
         "gap": figure(0.14, 0.06), "p": 0.002, "p_corrected": 0.004,
         "verdict": "AUROC is 0.140 lower for old than for new, beyond chance.", **common},
    ]  # fmt: skip


def fake_failures(block: dict[str, Any], rows: pd.DataFrame) -> dict[str, Any]:
    """The real mistakes of these predictions, and two groups of them."""
    classes = list(block["classes"])
    shares = rows[[f"probability_{label}" for label in classes]].to_numpy()
    best = len(classes) - 1 - shares[:, ::-1].argmax(axis=1)
    table = pd.DataFrame(
        {
            "image_id": rows["image_id"].to_numpy(),
            "truth": rows["y_true"].to_numpy(),
            "called": [classes[k] for k in best],
            "probability": shares.max(axis=1),
        }
    ).dropna()
    wrong = table[table["truth"] != table["called"]].sort_values(
        ["probability", "image_id"], ascending=[False, True]
    )
    least = table.sort_values(["probability", "image_id"]).head(12)
    groups = [
        {"what": f"{truth} called {called}", "n": len(part), "image_ids": list(part["image_id"])}
        for (truth, called), part in wrong.groupby(["truth", "called"])
    ]
    return {
        "n_mistakes": len(wrong),
        "surest": wrong.head(12).to_dict("records"),
        "least_sure": least.to_dict("records"),
        "groups": groups,
        "grouped_by": "truth and call",
    }


def fake_robustness(block: dict[str, Any]) -> list[dict[str, Any]]:
    """A classifier that noise harms early and blur hardly."""
    clean = block["metrics"]["auroc"]
    units = {"gaussian_noise": "standard deviation, grey levels", "gaussian_blur": "sigma, pixels",
             "contrast": "factor", "jpeg": "quality", "rotation": "degrees"}  # fmt: skip
    corruptions = []
    for place, (name, unit) in enumerate(units.items()):
        levels = []
        for severity in (1, 2, 3):
            loss = severity * (0.07 if place == 0 else 0.01 * place)
            level = figure(clean["value"] - loss, 0.04)
            levels.append({"severity": severity, "value": 5 * severity, "metric": level,
                           "change": figure(None), "p_corrected": 0.01})  # fmt: skip
        corruptions.append({"name": name, "unit": unit, "clean": clean, "levels": levels})
    return [
        {
            "target": block["target"],
            "split": block["split"],
            "metric": "auroc",
            "n_images": block["n_images"],
            "n_patients": block["n_patients"],
            "corruptions": corruptions,
            "costliest": "gaussian_noise",
            "verdict": "Gaussian noise costs most.",
        }
    ]


def _bands(curves: dict[str, Any]) -> dict[str, Any]:
    def around(values: list[float]) -> tuple[list[float], list[float]]:
        y = np.array(values)
        return np.maximum(0, y - 0.05).tolist(), np.minimum(1, y + 0.05).tolist()

    made: dict[str, Any] = {}
    for kind, key in (("roc", "tpr"), ("precision_recall", "precision")):
        made[kind] = {}
        for label, line in curves[kind].items():
            low, high = around(line[key])
            made[kind][label] = {**line, f"{key}_low": low, f"{key}_high": high}
    return made
