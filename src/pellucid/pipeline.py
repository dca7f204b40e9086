"""The one place that knows the order of the stages.

    read → split → plan → decode → audit → train → predict → evaluate → bundle → report

Each public function is a verb of the command line. What a stage does stands in its own room; here
stand only the order, what is written into the run folder when, and how a run is resumed. The rooms
that need torch are imported by the functions that train, so that judging never loads it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from pellucid.auditing.audit import audit_dataset
from pellucid.auditing.copies import find_copies
from pellucid.auditing.findings import Audit
from pellucid.data.cache import build_cache
from pellucid.data.folds import cut_into_folds, leave_one_out
from pellucid.data.index import Dataset, read_dataset
from pellucid.data.split import assign_splits
from pellucid.data.trained_on import (
    check_not_trained_on,
    load_trained_on,
)
from pellucid.errors import UsageError
from pellucid.evaluation.document import (
    describe_evaluation,
    evaluate_predictions,
    save_evaluation,
)
from pellucid.evaluation.predictions import read_predictions, save_predictions
from pellucid.images.preprocessing import Preprocessing
from pellucid.progress import Progress
from pellucid.run import Run, find_run, now, open_run, versions
from pellucid.storage import write_text
from pellucid.task import Task

if TYPE_CHECKING:
    from pellucid.auditing.copies import Copies
    from pellucid.data.cache import PixelCache

JUDGED = ("validation", "test", "external_test")


def audit(
    dataset: Dataset,
    *,
    out: str | os.PathLike[str] | None = None,
    window: str | None = None,
    progress: Progress | None = None,
) -> Audit:
    """What is wrong with the data, decoded pictures included.

    The pictures are looked at through `window` where it is given, as training would see them.
    `out` is a folder that gets audit.json, index.csv and audit.html with the pictures side by side.
    """
    progress = progress or Progress()
    cache, copies = _look(dataset, progress, window)
    found = audit_dataset(dataset, cache, copies)
    if out is not None:
        from pellucid.reporting.audit_page import write_audit_page

        folder = Path(out)
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / "index.csv", dataset.table.to_csv(index=False))
        found.save(folder / "audit.json")
        write_audit_page(folder)
    return found


def _look(
    dataset: Dataset, progress: Progress, window: str | None = None
) -> tuple[PixelCache, Copies]:
    """The decoded pictures as the audit looks at them, and which are copies of each other."""
    count = progress.counter("Reading images")
    preprocessing = Preprocessing(image_size=64, channels=1, window=window)
    cache = build_cache(dataset, preprocessing, progress=count)
    return cache, find_copies(cache, progress.counter("Comparing pictures"))


def split(
    dataset: Dataset,
    out: str | os.PathLike[str],
    *,
    folds: int | None = None,
    repeats: int = 1,
    leave_out: str | None = None,
    stratify_by: Sequence[str] = (),
    seed: int = 0,
    keep_copies_together: bool = True,
    progress: Progress | None = None,
) -> list[str]:
    """Write the dataset as a manifest with one split, or with `split_1` … for folds or sites.

    Copies of a picture stay on one side, as in `train`, unless told otherwise; that needs the
    pictures decoded. Returns sentences that say what each split is. `train` reads the manifest
    back; where patients are not known it does not pretend that they are.
    """
    if folds is not None and leave_out is not None:
        raise UsageError("Folds and leaving one out are two ways to cut; choose one")
    if folds is None and repeats > 1:
        raise UsageError("Repeats are of folds", "none", "Add --folds 5.")
    linked = None

    def cut() -> tuple[pd.DataFrame, list[str]]:
        how: dict[str, Any] = {"seed": seed, "linked": linked, "stratify_by": stratify_by}
        if folds is not None:
            return cut_into_folds(dataset, folds, repeats=repeats, **how)
        if leave_out is not None:
            return leave_one_out(dataset, leave_out, **how)
        done, notes = assign_splits(dataset, **how)
        return done.table, notes

    table, notes = cut()  # what cannot be split is refused before anything is decoded
    if keep_copies_together:
        _, copies = _look(dataset, progress or Progress())
        linked = copies.groups(len(dataset.table))
        table, notes = cut()
    if not dataset.patients_known:
        table = table.drop(columns="patient_id")
    write_text(Path(out), table.to_csv(index=False))
    return notes


def train(
    dataset: Dataset,
    out: str | os.PathLike[str],
    *,
    progress: Progress | None = None,
    **request: Any,
) -> Run:
    """Train a classifier on a dataset and judge it; everything up to the report.

    `out` is the run folder, which must not exist unless `resume` or `overwrite` is given.
    `plan` is a YAML file of hyperparameters, `settings` single ones that override it, `budget` the
    wall time for training ("10m"), `transform` a `torchvision.transforms.v2` pipeline used instead
    of the augmentation policy. `strict` stops at the first unreadable image,
    `allow_shared_patients` trains although given splits share patients (the report says so).
    Raises a `PellucidError` before anything is written when the input is wrong.
    """
    from pellucid.fitting import fit, keep_bundle
    from pellucid.preparation import Request, prepare, prepare_again
    from pellucid.run_predictions import predict_splits

    wish = Request(**request)
    progress = progress or Progress()
    started, clock = now(), time.monotonic()
    run = open_run(Path(out), resume=wish.resume, overwrite=wish.overwrite)
    progress.say(dataset.describe())
    if wish.resume and run.is_started:
        prepared = prepare_again(run, dataset, wish, progress)
    else:
        prepared = prepare(run, dataset, wish, progress)
    classifier = fit(run, prepared, wish, progress)
    predict_splits(run, prepared, classifier, progress)
    progress.say("Judging: metrics with intervals by resampling patients")
    document = judge(run, prepared.dataset.task, seed=prepared.plan.seed)
    keep_bundle(run, prepared, classifier, document)
    seconds = run.facts.get("seconds", 0.0) + time.monotonic() - clock
    run.add_facts(started=run.facts.get("started", started), seconds=round(seconds, 1))
    write_report_of(run)
    progress.say(describe_evaluation(document))
    return run


def demo(
    case: str,
    out: str | os.PathLike[str],
    *,
    progress: Progress | None = None,
    **request: Any,
) -> Run:
    """Draw synthetic patients as an ordinary image folder, then train on it as on any other.

    `out/data` holds the images, `out/run` the run; the other arguments are those of `train`.
    """
    from pellucid.data.phantoms import PHANTOM_PATIENT_PATTERN, write_phantoms

    progress = progress or Progress()
    run = open_run(
        Path(out) / "run",
        resume=bool(request.get("resume")),
        overwrite=bool(request.get("overwrite")),
    )
    images = write_phantoms(Path(out) / "data", case, progress=progress.counter("Drawing phantoms"))
    progress.say(f"Synthetic patients, drawn not scanned: {images}")
    dataset = read_dataset(images, patient_pattern=PHANTOM_PATIENT_PATTERN)
    dataset = replace(dataset, name=f"phantom:{case}")
    return train(dataset, run.folder, progress=progress, **request)


def evaluate(
    source: str | os.PathLike[str],
    *,
    out: str | os.PathLike[str] | None = None,
    model: str | os.PathLike[str] | None = None,
    positive: str | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Judge a run, or any predictions table (CSV or Parquet) from any tool.

    Returns the document of `evaluation.json`. For a run, it and the report are written again; for
    a table they are written to `out` when it is given. `model` is the bundle or run that made the
    table: patients that it was trained on are then refused as test patients.
    """
    path = Path(source)
    if path.is_dir():
        run = find_run(path)
        task = Task.model_validate(run.facts["task"]) if "task" in run.facts else None
        if not run.facts.get("allow_shared_patients"):
            _check_not_trained_on(_load_predictions(run), run.folder)
        document = judge(run, task, positive=positive, seed=seed)
        write_report_of(run)
        return document
    table = read_predictions(path)
    if model is not None:
        _check_not_trained_on(table, Path(model))
    if out is None:
        return evaluate_predictions(table, positive=positive, seed=seed)
    run = open_run(Path(out), resume=False, overwrite=False)
    for split, part in table.groupby("split", sort=False):
        save_predictions(part, run.predictions_path(str(split)))
    run.add_facts(command=f"pellucid evaluate {path.name}", versions=versions(), started=now())
    document = judge(run, None, positive=positive, seed=seed)
    write_report_of(run)
    return document


def _check_not_trained_on(table: pd.DataFrame, model: Path) -> None:
    trained_on = load_trained_on(model)
    if trained_on is not None:
        check_not_trained_on(table, trained_on)


def report(source: str | os.PathLike[str]) -> Path:
    """Write a run's report again from the files of the run; returns its path."""
    return write_report_of(find_run(Path(source)))


def judge(
    run: Run, task: Task | None, *, positive: str | None = None, seed: int = 0
) -> dict[str, Any]:
    """Evaluate a run's predictions and write `evaluation.json`."""
    document = evaluate_predictions(_load_predictions(run), task, positive=positive, seed=seed)
    save_evaluation(document, run.evaluation_path)
    return document


def _load_predictions(run: Run) -> pd.DataFrame:
    """The predictions of all splits of a run as one table."""
    paths = sorted((run.folder / "predictions").glob("*.csv"))
    return pd.concat([read_predictions(path) for path in paths], ignore_index=True)


def write_report_of(run: Run) -> Path:
    """Write `report.html`; matplotlib is imported here and not before."""
    from pellucid.reporting.html import write_report

    return write_report(run.folder)
