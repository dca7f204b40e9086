"""Which images a network learns from, and which it does not, so that they may choose its epoch.

The networks of an ensemble of seeds share the split's train and validation. Those of an ensemble of
folds share out both: each learns from all but its own fold, by patient, so that every image teaches
most of them and chooses for one. What a network says of its own fold is unseen by it; together the
folds are one prediction, out of fold, for every image, which calibration and operating points are
chosen from in place of validation's. Test images belong to no fold.
Source: Krogh and Vedelsby 1995, "Neural network ensembles, cross validation, and active learning".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pellucid.preparation import Prepared, Rows, deal_folds, rows_outside_test
from pellucid.training.members import n_networks


@dataclass(frozen=True)
class Part:
    """The rows of a dataset that a network learns from, and those that choose its epoch."""

    learned: Rows
    unseen: Rows


@dataclass(frozen=True)
class Unseen:
    """What networks say of images that they have not learned from.

    `rows` (n,) of the dataset, in ascending order, and `logits` (n, task.n_logits).
    """

    rows: Rows
    logits: npt.NDArray[np.float32]


def parts_of(prepared: Prepared) -> list[Part]:
    """A part for each network of the plan; raises `SplitError` for a class of too few patients."""
    plan = prepared.plan
    if plan.ensemble_of == "seeds":
        part = Part(prepared.rows("train"), prepared.rows("validation"))
        return [part] * n_networks(plan)
    rows, folds = rows_outside_test(prepared), deal_folds(prepared)
    return [Part(rows[folds != fold], rows[folds == fold]) for fold in range(plan.members)]
