"""Predictions tables that tests judge, made up from a seed."""

from __future__ import annotations

import numpy as np
import pandas as pd


def make_table(
    n: int = 200,
    classes: tuple[str, ...] = ("no", "yes"),
    *,
    seed: int = 0,
    separation: float = 1.0,
    patients: int | None = None,
) -> pd.DataFrame:
    """`n` images whose probabilities know their class a little; scores have ties."""
    random = np.random.default_rng(seed)
    codes = random.integers(0, len(classes), n)
    logits = random.normal(size=(n, len(classes))).round(1)
    logits[np.arange(n), codes] += separation
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    table = pd.DataFrame(
        {
            "image_id": [f"{number:03d}" for number in range(n)],
            "patient_id": [f"P{number}" for number in random.integers(0, patients or n, n)],
            "y_true": np.array(classes, dtype=object)[codes],
        }
    )
    if patients is None:
        table["patient_id"] = table["image_id"]
    for number, name in enumerate(classes):
        table[f"probability_{name}"] = shares[:, number]
    return table
