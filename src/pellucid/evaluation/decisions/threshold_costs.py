"""What a threshold costs: sensitivity and specificity over all thresholds, as a bundle holds them.

PPV and NPV follow from them at any prevalence, so that a reader can move both. Knows a predictions
table; it chooses no threshold.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from pellucid.evaluation.predictions import PROBABILITY
from pellucid.task import Task

_N_THRESHOLDS = 201


def threshold_costs(table: pd.DataFrame, task: Task) -> dict[str, dict[str, Any]]:
    """Sensitivity and specificity at 201 thresholds, by target of two classes, of a split's table.

    A reader who moves a threshold sees what it costs; what is called at a threshold is at least it.
    """
    found = {}
    for target in task.targets:
        part = table[(table["target"] == target.name) & table["y_true"].notna()]
        if not target.is_binary or part["y_true"].nunique() < 2:
            continue
        is_positive = (part["y_true"] == target.positive).to_numpy()
        probabilities = part[PROBABILITY + str(target.positive)].to_numpy(dtype=float)
        at = np.linspace(0, 1, _N_THRESHOLDS)
        called = probabilities[None, :] >= at[:, None]
        found[target.name] = {
            "split": str(part["split"].iloc[0]),
            "n_positive": int(is_positive.sum()),
            "n_negative": int((~is_positive).sum()),
            "threshold": at.round(4).tolist(),
            "sensitivity": called[:, is_positive].mean(axis=1).round(5).tolist(),
            "specificity": (1 - called[:, ~is_positive].mean(axis=1)).round(5).tolist(),
        }
    return found
