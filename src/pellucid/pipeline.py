"""The one place that knows the order of the stages.

    read → split → plan → decode → audit → race → train → calibrate
         → predict → explain → evaluate → bundle → report

Each public function is a verb of the command line; what follows prediction can be done again from
the run's files alone and stands in `judging`. Here stand only the order, what is written into the
run folder when, and how a run is resumed. The rooms that need torch are imported by the functions
that train, so that judging never loads it.
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
from pellucid.errors import UsageError
from pellucid.evaluation.block import Asked
from pellucid.evaluation.document import describe_evaluation
from pellucid.images.preprocessing import Preprocessing
from pellucid.judging import judge, write_report_of
from pellucid.progress import Progress
from pellucid.run import Run, now, open_run
from pellucid.storage import write_text

if TYPE_CHECKING:
    from pellucid.auditing.copies import Copies
    from pellucid.data.cache import PixelCache
    from pellucid.training.fingerprint import Fingerprint
    from pellucid.training.plan import Plan


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


def plan(dataset: Dataset, **request: Any) -> tuple[Fingerprint, Plan, dict[str, str]]:
    """How `train` would train on a dataset, and why, hyperparameter by hyperparameter.

    The arguments are those of `train` that bear on the plan: `plan`, `settings`, `budget`, `seed`.
    Looks at a sample of the pictures; nothing is written.
    """
    from pellucid.preparation import Request, choose_plan

    return choose_plan(dataset, Request(**request))


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
    `baseline` trains the classical pipeline beside it, `robustness` judges corrupted pictures too,
    `explain` shows what the network looks at on some test images, and tests whether that means
    something.
    Raises a `PellucidError` before anything is written when the input is wrong.
    """
    from pellucid.calibrating import calibrate
    from pellucid.explaining import explain_run
    from pellucid.fitting import as_bundle, fit, keep_bundle
    from pellucid.preparation import Request, prepare, prepare_again
    from pellucid.racing import race
    from pellucid.run_predictions import (
        keep_features,
        predict_baseline,
        predict_corrupted,
        predict_splits,
    )

    wish = Request(**request)
    progress = progress or Progress()
    started, clock = now(), time.monotonic()
    run = open_run(Path(out), resume=wish.resume, overwrite=wish.overwrite)
    progress.say(dataset.describe())
    if wish.resume and run.is_started:
        prepared = prepare_again(run, dataset, wish, progress)
    else:
        prepared = prepare(run, dataset, wish, progress)
    prepared = race(run, prepared, wish, progress)
    classifier, unseen = fit(run, prepared, wish, progress)
    unseen = calibrate(run, prepared, classifier, unseen, progress)
    predict_splits(run, prepared, classifier, unseen, progress)
    keep_features(run, prepared, classifier)
    if wish.robustness:
        predict_corrupted(run, prepared, classifier, progress)
    if wish.baseline:
        predict_baseline(run, prepared, progress)
    if wish.explain:
        explain_run(
            run,
            as_bundle(prepared, classifier),
            prepared.cache.pixels,
            prepared.dataset.table,
            progress=progress,
            seed=prepared.plan.seed,
        )
    progress.say("Judging: metrics with intervals by patient")
    document = judge(run, prepared.dataset.task, asked=Asked(seed=prepared.plan.seed))
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
