"""The one place that knows the order of the stages.

    read → split → plan → decode → audit → train → predict → evaluate → bundle → report

Each public function is a verb of the command line. What a stage does stands in its own room; here
stand only the order, what is written into the run folder when, and how a run is resumed. The rooms
that need torch are imported by the functions that train, so that judging never loads it.
"""

from __future__ import annotations

import os
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from pellucid.auditing.audit import audit_dataset
from pellucid.auditing.findings import Audit
from pellucid.data.cache import build_cache
from pellucid.data.index import Dataset, read_dataset
from pellucid.evaluation.document import (
    describe_evaluation,
    evaluate_predictions,
    save_evaluation,
)
from pellucid.evaluation.metrics import validation_auroc
from pellucid.evaluation.predictions import build_predictions, read_predictions, save_predictions
from pellucid.images.preprocessing import Preprocessing
from pellucid.progress import Progress, duration
from pellucid.run import Run, find_run, now, open_run, versions
from pellucid.task import Task

if TYPE_CHECKING:
    from pellucid.bundle import Bundle
    from pellucid.network.classifier import Classifier
    from pellucid.preparation import Prepared, Request
    from pellucid.training.checkpoint import EpochRow
    from pellucid.training.loop import Listener
    from pellucid.training.plan import Plan

JUDGED = ("validation", "test", "external_test")


def audit(dataset: Dataset, progress: Progress | None = None) -> Audit:
    """What is wrong with the data, decoded pixels included."""
    count = (progress or Progress()).counter("Reading images")
    cache = build_cache(dataset, Preprocessing(image_size=64, channels=1), progress=count)
    return audit_dataset(dataset, cache)


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
    from pellucid.preparation import Request, prepare, prepare_again

    wish = Request(**request)
    progress = progress or Progress()
    started, clock = now(), time.monotonic()
    run = open_run(Path(out), resume=wish.resume, overwrite=wish.overwrite)
    progress.say(dataset.describe())
    if wish.resume and run.is_started:
        prepared = prepare_again(run, dataset, wish, progress)
    else:
        prepared = prepare(run, dataset, wish, progress)
    classifier = _fit(run, prepared, wish, progress)
    _predict(run, prepared, classifier, progress)
    progress.say("Judging: metrics with intervals by resampling patients")
    document = judge(run, prepared.dataset.task, seed=prepared.plan.seed)
    _bundle(run, prepared, classifier, document)
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
    positive: str | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Judge a run, or any predictions table (CSV or Parquet) from any tool.

    Returns the document of `evaluation.json`. For a run, it and the report are written again; for
    a table they are written to `out` when it is given.
    """
    path = Path(source)
    if path.is_dir():
        run = find_run(path)
        task = Task.model_validate(run.facts["task"]) if "task" in run.facts else None
        document = judge(run, task, positive=positive, seed=seed)
        write_report_of(run)
        return document
    table = read_predictions(path)
    if out is None:
        return evaluate_predictions(table, positive=positive, seed=seed)
    run = open_run(Path(out), resume=False, overwrite=False)
    for split, part in table.groupby("split", sort=False):
        save_predictions(part, run.predictions_path(str(split)))
    run.add_facts(command=f"pellucid evaluate {path.name}", versions=versions(), started=now())
    document = judge(run, None, positive=positive, seed=seed)
    write_report_of(run)
    return document


def report(source: str | os.PathLike[str]) -> Path:
    """Write a run's report again from the files of the run; returns its path."""
    return write_report_of(find_run(Path(source)))


def judge(
    run: Run, task: Task | None, *, positive: str | None = None, seed: int = 0
) -> dict[str, Any]:
    """Evaluate a run's predictions and write `evaluation.json`."""
    tables = [read_predictions(path) for path in sorted((run.folder / "predictions").glob("*.csv"))]
    table = pd.concat(tables, ignore_index=True)
    document = evaluate_predictions(table, task, positive=positive, seed=seed)
    save_evaluation(document, run.evaluation_path)
    return document


def write_report_of(run: Run) -> Path:
    """Write `report.html`; matplotlib is imported here and not before."""
    from pellucid.reporting.html import write_report

    return write_report(run.folder)


def _fit(run: Run, prepared: Prepared, wish: Request, progress: Progress) -> Classifier:
    """Show the network, train it, and return it with the weights of the best epoch."""
    from pellucid.network.summary import network_formula, summarise, summary_text
    from pellucid.training import loop
    from pellucid.training.device import choose_device
    from pellucid.training.preview import save_augmentations

    plan, dataset, classifier = prepared.plan, prepared.dataset, prepared.classifier
    spec = classifier.spec
    if classifier.loaded is not None:
        progress.say(classifier.loaded.describe())
    layers = summarise(classifier, spec)
    progress.say(summary_text(layers, network_formula(spec)))
    network = {"formula": network_formula(spec), "rows": [asdict(row) for row in layers]}
    run.add_facts(network={**network, "parameters": sum(row.parameters for row in layers)})
    data = loop.TrainingData(
        task=dataset.task,
        pixels=prepared.cache.pixels,
        codes=dataset.codes(),
        train=prepared.rows("train"),
        validation=prepared.rows("validation"),
    )
    save_augmentations(data.pixels[data.train[0]], plan, run.augmentations_path, wish.transform)
    result = loop.train(
        classifier,
        plan,
        data,
        run.folder,
        score=lambda codes, logits: validation_auroc(codes, logits, dataset.task),
        resume=wish.resume,
        transform=wish.transform,
        listener=_listener(progress, plan),
    )
    training = {
        "best_epoch": result.best_epoch,
        "stopped_because": result.stopped_because,
        "seconds": round(result.seconds, 1),
        "device": str(choose_device(plan)),
    }
    run.add_facts(training=training)
    progress.say(f"Best epoch {result.best_epoch}; stopped because {result.stopped_because}")
    return classifier


def _listener(progress: Progress, plan: Plan) -> Listener:
    """How far training has come: a moving line inside an epoch, a line that stays after it."""
    from pellucid.training.loop import Listener

    def step(done: int, steps: int, images_per_second: float) -> None:
        progress.now(f"  step {done} of {steps}, {images_per_second:,.0f} images/s")

    def epoch(row: EpochRow) -> None:
        left = f", {duration(row.time_left)} left" if row.time_left >= 1 else ""
        progress.say(
            f"epoch {row.epoch:>3} of {row.epochs_planned}  "
            f"loss {row.train_loss:.4f}  validation loss {row.validation_loss:.4f}  "
            f"{plan.metric} {row.validation_metric:.4f}{' *' if row.is_best else '  '}  "
            f"{row.images_per_second:,.0f} images/s{left}"
        )

    return Listener(epoch=epoch, step=step)


def _predict(run: Run, prepared: Prepared, classifier: Classifier, progress: Progress) -> None:
    """Write `predictions/<split>.csv` for every split that is judged."""
    from pellucid.prediction import predict_logits

    dataset = prepared.dataset
    codes = dataset.codes()
    for split in JUDGED:
        rows = prepared.rows(split)
        if not len(rows):
            continue
        pixels = prepared.cache.pixels[rows]
        count = progress.counter(f"Predicting {split}")
        logits = predict_logits(classifier, pixels, prepared.preprocessing, count)
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
        save_predictions(pd.concat(parts, ignore_index=True), run.predictions_path(split))


def _bundle(
    run: Run, prepared: Prepared, classifier: Classifier, document: dict[str, Any]
) -> Bundle:
    """Write `bundle/`: what prediction needs, and figures without curves, patients or paths."""
    from pellucid.bundle import Bundle, save_bundle

    facts, dataset = run.facts, prepared.dataset
    blocks = [
        {key: value for key, value in block.items() if key != "curves"}
        for block in document["blocks"]
    ]
    card = {
        "dataset": {"name": dataset.name, "synthetic": dataset.synthetic},
        "training": {**facts["training"], "seed": prepared.plan.seed},
        "versions": facts["versions"],
        "evaluation": {**document, "blocks": blocks},
        "intended_use": "Research and teaching. Not a medical device.",
    }
    bundle = Bundle(classifier, classifier.spec, dataset.task, prepared.preprocessing, card)
    save_bundle(run.bundle_path, bundle)
    return bundle
