"""Every predictions table of a run: of the network, of the baseline, and of corrupted pictures.

Each is written before anything is judged, so that judging can be done again from the files alone.
Knows the classifier and the decoded pixels; it knows no metric.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd

from pellucid.classical.baseline import fit_baseline
from pellucid.errors import DataError
from pellucid.evaluation.predictions import build_predictions, save_predictions
from pellucid.folding import Unseen
from pellucid.images.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from pellucid.network.classifier import Classifier
from pellucid.prediction import images_at_once, predict_logits, predict_pooled
from pellucid.preparation import Prepared
from pellucid.progress import Progress
from pellucid.run import Run
from pellucid.storage import write_bytes, write_json

TESTS = ("test", "external_test")
JUDGED = ("validation", *TESTS)
CORRUPTED_IMAGES = 300  # enough to see a fall, few enough for a CPU
DESCRIBED_IMAGES = 20_000
BATCHES_READ = 4  # at once

Rows = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


def predict_splits(
    run: Run, prepared: Prepared, classifier: Classifier, unseen: Unseen, progress: Progress
) -> None:
    """Write `predictions/<split>.csv` for every split that is judged.

    Those of validation are `unseen`: of an ensemble of folds all images of train too, out of fold.
    """
    table = _tabulate(prepared, unseen.rows, "validation", unseen.logits)
    save_predictions(table, run.predictions_path("validation"))
    for split in TESTS:
        rows = prepared.rows(split)
        if not len(rows):
            continue
        count = progress.counter(f"Predicting {split}")
        logits = in_blocks(predict_logits, prepared, classifier, rows, count)
        save_predictions(_tabulate(prepared, rows, split, logits), run.predictions_path(split))


def in_blocks(
    predict: Callable[..., Floats],
    prepared: Prepared,
    classifier: Classifier,
    rows: Rows,
    count: Callable[[int, int], None] = lambda done, total: None,
) -> Floats:
    """What `predict` says of these rows, read a few at a time: all may be more than the memory."""
    pixels, parts = prepared.cache.pixels, []
    step = BATCHES_READ * images_at_once(pixels.shape)
    for start in range(0, len(rows), step):
        block = pixels[rows[start : start + step]]
        parts.append(predict(classifier, block, prepared.preprocessing))
        count(start + len(block), len(rows))
    return np.concatenate(parts) if parts else np.zeros((0, 0), dtype=np.float32)


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


def keep_features(run: Run, prepared: Prepared, classifier: Classifier) -> None:
    """Write `features.npz`: what the network made of the test images, to gather mistakes by."""
    rows = np.concatenate([prepared.rows(split) for split in TESTS])[:DESCRIBED_IMAGES]
    values = in_blocks(predict_pooled, prepared, classifier, rows)
    names = prepared.dataset.table["image_id"].iloc[rows].to_numpy(dtype=str)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, image_ids=names, values=values.astype(np.float16))
    write_bytes(run.features_path, buffer.getvalue())


def predict_corrupted(
    run: Run, prepared: Prepared, classifier: Classifier, progress: Progress
) -> None:
    """Write `robustness.csv`: the predictions for some test images under every corruption.

    Corruptions act on the pixels that the network gets, after resizing.
    """
    split = next((split for split in (*TESTS, "validation") if len(prepared.rows(split))), None)
    if split is None:
        return
    rows = _whole_patients(prepared, prepared.rows(split))
    pixels = prepared.cache.pixels[rows]
    cases = [(name, severity) for name in CORRUPTIONS for severity in SEVERITIES]
    count, tables = progress.counter("Predicting corrupted pictures"), []
    for done, (name, severity) in enumerate(cases, 1):
        corrupted = corrupt(pixels, name, severity, prepared.plan.seed)
        logits = predict_logits(classifier, corrupted, prepared.preprocessing)
        table = _tabulate(prepared, rows, split, logits)
        tables.append(table.assign(corruption=name, severity=severity))
        count(done * len(rows), len(cases) * len(rows))
    save_predictions(pd.concat(tables, ignore_index=True), run.robustness_path)


def _whole_patients(prepared: Prepared, rows: Rows) -> Rows:
    """At most `CORRUPTED_IMAGES` of the rows, of whole patients, drawn by the run's seed."""
    patients = prepared.dataset.table["patient_id"].iloc[rows].to_numpy(dtype=object)
    codes, names = pd.factorize(patients)
    order = np.random.default_rng(prepared.plan.seed).permutation(len(names))
    kept = order[np.cumsum(np.bincount(codes)[order]) <= CORRUPTED_IMAGES]
    return rows[np.isin(codes, kept)] if len(kept) else rows[:CORRUPTED_IMAGES]


def predict_baseline(run: Run, prepared: Prepared, progress: Progress) -> None:
    """Fit the classical pipeline on the same rows; write `baseline/`, its predictions first.

    A baseline that cannot be fitted says why in its record and never stops a run.
    """
    if run.baseline_path.is_file():  # a resumed run has it already
        return
    rows = {split: prepared.rows(split) for split in ("train", *JUDGED)}
    try:
        fitted = fit_baseline(
            prepared.dataset,
            prepared.cache,
            prepared.dataset.codes(),
            {split: part for split, part in rows.items() if len(part)},
            seed=prepared.plan.seed,
            progress=progress.counter("Describing pictures for the classical baseline"),
            fit_progress=progress.counter("Fitting the classical baseline", "candidates"),
        )
    except DataError as error:
        progress.say(f"No classical baseline: {error}")
        names = prepared.dataset.task.names
        none = [{"target": name, "classifier": None, "reason": str(error)} for name in names]
        write_json(run.baseline_path, {"format": "pellucid-baseline", "targets": none})
        return
    for split, table in fitted.predictions.items():
        save_predictions(table, run.baseline.predictions_path(split))
    write_json(run.baseline_path, fitted.record)
