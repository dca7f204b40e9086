"""The predictions table of images whose labels and patients nobody knows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from pellucid.evaluation.predictions import build_predictions
from pellucid.task import Task


def tabulate_unlabelled(
    image_ids: Sequence[str], logits: npt.NDArray[np.float32], task: Task
) -> pd.DataFrame:
    """A row an image and target, from logits (n, task.n_logits); `y_true` is empty."""
    tables = [
        build_predictions(
            image_ids=list(image_ids),
            patient_ids=[""] * len(image_ids),
            split="",
            target=target,
            codes=np.full(len(image_ids), -1),
            logits=logits[:, task.slices()[target.name]],
            keep_unlabelled=True,
        )
        for target in task.targets
    ]
    return pd.concat(tables, ignore_index=True)
