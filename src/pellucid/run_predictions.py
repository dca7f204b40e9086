"""Every predictions table of a run, one a split that is judged.

Each is written before anything is judged, so that judging can be done again from the tables alone.
Knows the classifier and the decoded pixels; it knows no metric.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from pellucid.evaluation.predictions import build_predictions, save_predictions
from pellucid.network.classifier import Classifier
from pellucid.prediction import predict_logits
from pellucid.preparation import Prepared
from pellucid.progress import Progress
from pellucid.run import Run

JUDGED = ("validation", "test", "external_test")

Rows = npt.NDArray[np.int64]


def predict_splits(
    run: Run, prepared: Prepared, classifier: Classifier, progress: Progress
) -> None:
    """Write `predictions/<split>.csv` for every split that is judged."""
    for split in JUDGED:
        rows = prepared.rows(split)
        if not len(rows):
            continue
        count = progress.counter(f"Predicting {split}")
        pixels = prepared.cache.pixels[rows]
        logits = predict_logits(classifier, pixels, prepared.preprocessing, count)
        save_predictions(_tabulate(prepared, rows, split, logits), run.predictions_path(split))


def _tabulate(
    prepared: Prepared, rows: Rows, split: str, logits: npt.NDArray[np.float32]
) -> pd.DataFrame:
    """The predictions table of these rows, facts beside them."""
    dataset, codes = prepared.dataset, prepared.dataset.codes()
    table = dataset.table.iloc[rows]
    parts = [
        build_predictions(
            table["image_id"].tolist(),
            table["patient_id"].tolist(),
            split,
            target,
            codes[rows, number],
            logits[:, dataset.task.slices()[target.name]],
            facts=table[list(dataset.facts)],
        )
        for number, target in enumerate(dataset.task.targets)
    ]
    return pd.concat(parts, ignore_index=True)
