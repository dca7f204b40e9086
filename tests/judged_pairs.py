"""Judged splits that tests of calibration and decisions take, made up from a seed."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pellucid.evaluation.judged import Judged, judged_splits
from pellucid.evaluation.predictions import check_predictions, task_from_predictions
from tables import make_table


def judge_table(table: pd.DataFrame) -> Judged:
    """The one split of a table of one target."""
    checked = check_predictions(table)
    (judged,) = judged_splits(checked, task_from_predictions(checked).targets[0])
    return judged


def make_judged(n: int = 200, *, seed: int = 0, split: str = "test", **more: object) -> Judged:
    """`n` images of `make_table`."""
    return judge_table(make_table(n, seed=seed, **more).assign(split=split))  # type: ignore[arg-type]


def judge_arrays(
    probabilities: np.ndarray, codes: np.ndarray, patients: object = None, split: str = "test"
) -> Judged:
    """Images with these probabilities, (n,) of the positive class or (n, K), and codes (n,)."""
    shares = np.asarray(probabilities, dtype=float)
    if shares.ndim == 1:
        shares = np.stack([1 - shares, shares], axis=1)
    names = "abcdefgh"[: shares.shape[1]]
    table = pd.DataFrame({f"probability_{k}": shares[:, i] for i, k in enumerate(names)})
    table["image_id"] = [f"{i:06d}" for i in range(len(table))]
    table["y_true"] = [names[int(code)] for code in codes]
    if patients is not None:
        table["patient_id"] = [f"P{number}" for number in patients]  # type: ignore[attr-defined]
    return judge_table(table.assign(split=split))
