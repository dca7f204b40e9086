"""Made-up findings that random predictions seldom show: a gap between groups, and harm by noise."""

from __future__ import annotations

from typing import Any

import numpy as np

Block = dict[str, Any]


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
