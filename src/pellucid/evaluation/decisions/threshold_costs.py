"""What a threshold costs: sensitivity and specificity over all thresholds, as a bundle holds them.

PPV and NPV follow from them at any prevalence, so that a reader can move both. Knows a predictions
table; it chooses no threshold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pellucid.evaluation.predictions import PROBABILITY
from pellucid.task import Task

_N_THRESHOLDS = 201


def threshold_costs(
    table: pd.DataFrame, task: Task, points: Mapping[str, Sequence[float]] | None = None
) -> dict[str, dict[str, Any]]:
    """Sensitivity and specificity by threshold, of each target of two classes, of a split's table.

    At 201 even thresholds, and at those of the operating points, by target. A reader who moves a
    threshold sees what it costs; what is called at a threshold is at least it.
    """
    found = {}
    for target in task.targets:
        part = table[(table["target"] == target.name) & table["y_true"].notna()]
        if not target.is_binary or part["y_true"].nunique() < 2:
            continue
        is_positive = (part["y_true"] == target.positive).to_numpy()
        probabilities = part[PROBABILITY + str(target.positive)].to_numpy(dtype=float)
        even = np.linspace(0, 1, _N_THRESHOLDS).round(4)
        at = np.union1d(even, np.asarray((points or {}).get(target.name, ()), dtype=float))
        called = probabilities[None, :] >= at[:, None]
        found[target.name] = {
            "split": str(part["split"].iloc[0]),
            "n_positive": int(is_positive.sum()),
            "n_negative": int((~is_positive).sum()),
            "threshold": at.tolist(),
            "sensitivity": called[:, is_positive].mean(axis=1).round(5).tolist(),
            "specificity": (1 - called[:, ~is_positive].mean(axis=1)).round(5).tolist(),
        }
    return found
