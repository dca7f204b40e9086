"""From a prepared dataset to a classifier: the networks shown, trained, joined, kept as a bundle.

Knows what of it a run keeps and what a person is told meanwhile; how weights are found is
`training`'s, and what the classifier is worth is `judging`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pellucid.bundle import Bundle, save_bundle
from pellucid.bundle.card import INTENDED_USE, NOT_STATED, judgement, limits
from pellucid.bundle.guard import fit_guard
from pellucid.bundle.trained_on import USED, fingerprint_training, save_trained_on
from pellucid.data.cache import data_digest
from pellucid.evaluation.decisions.threshold_costs import threshold_costs
from pellucid.evaluation.measures.metrics import validation_auroc
from pellucid.evaluation.predictions import read_predictions
from pellucid.folding import Part, Unseen, parts_of
from pellucid.network.classifier import Classifier, join
from pellucid.network.summary import network_formula, summarise, summary_text
from pellucid.prediction import predict_logits
from pellucid.preparation import Prepared, Request, build_member
from pellucid.progress import Progress, duration
from pellucid.run import Run
from pellucid.run_predictions import in_blocks
from pellucid.storage import write_text
from pellucid.task import Task
from pellucid.training import loop
from pellucid.training.checkpoint import EpochRow
from pellucid.training.device import choose_device
from pellucid.training.members import member_plan, n_networks
from pellucid.training.plan import Plan
from pellucid.training.preview import save_augmentations


def fit(
    run: Run, prepared: Prepared, wish: Request, progress: Progress
) -> tuple[Classifier, Unseen]:
    """Show the network, train it, and return it with the weights of the best epoch.

    Of an ensemble each member is trained so, and the classifier is their mean, or one more network
    that has learned to answer as they do. What is said of images that were not learned from comes
    with it: of an ensemble of folds by the member whose fold it was, else by the classifier.
    """
    plan, task = prepared.plan, prepared.dataset.task
    _show(run, prepared, progress)
    parts, pixels = parts_of(prepared), prepared.cache.pixels
    codes = prepared.dataset.codes()
    save_augmentations(pixels[parts[0].learned[0]], plan, run.augmentations_path, wish.transform)
    members: list[Classifier] = []
    results: list[loop.TrainingResult] = []
    for number, part in enumerate(parts, 1):
        own = member_plan(plan, number, sum(result.seconds for result in results))
        network = prepared.classifier if number == 1 else build_member(own, task)
        teacher = join(members) if number > plan.members else None
        if n_networks(plan) > 1:
            of_what = f" of {plan.members}" if teacher is None else ": learns from their mean"
            without = f", without fold {number}" if plan.ensemble_of == "folds" else ""
            progress.say(f"Network {number}{of_what}{without}")
        result = loop.train(
            network,
            own,
            loop.TrainingData(task, pixels, codes, part.learned, part.unseen),
            run.member(number) if n_networks(plan) > 1 else run.folder,
            score=lambda codes, logits: validation_auroc(codes, logits, task),
            resume=wish.resume,
            transform=wish.transform,
            teacher=teacher,
            listener=_listener(progress, own),
        )
        progress.say(f"Best epoch {result.best_epoch}; stopped because {result.stopped_because}")
        members.append(network)
        results.append(result)
    shown = len(results) if plan.distil else 1  # the network whose history the run shows
    if len(results) > 1:
        history = (run.member(shown) / "history.csv").read_text(encoding="utf-8")
        write_text(run.history_path, history)
    training = {
        "best_epoch": results[shown - 1].best_epoch,
        "stopped_because": results[shown - 1].stopped_because,
        "seconds": round(sum(result.seconds for result in results), 1),
        "device": str(choose_device(plan)),
        "members": plan.members,
        "ensemble_of": plan.ensemble_of,
        "distilled": plan.distil,
    }
    run.add_facts(training=training)
    classifier = members[-1] if plan.distil else join(members)
    networks = members if plan.ensemble_of == "folds" else [classifier]
    return classifier, _ask_unseen(
        prepared, networks, parts, progress.counter("Predicting validation")
    )


def _ask_unseen(
    prepared: Prepared,
    networks: Sequence[Classifier],
    parts: Sequence[Part],
    count: Callable[[int, int], None],
) -> Unseen:
    """What each network says of the images of its part that it has not learned from."""
    own = parts[: len(networks)]  # of an ensemble of seeds all parts are alike
    rows = np.concatenate([part.unseen for part in own])
    said: list[npt.NDArray[np.float32]] = []

    def counted(done: int, _: int) -> None:
        count(sum(map(len, said)) + done, len(rows))

    for network, part in zip(networks, own, strict=True):
        said.append(in_blocks(predict_logits, prepared, network, part.unseen, counted))
    order = np.argsort(rows, kind="stable")
    return Unseen(rows[order], np.concatenate(said)[order])


def _show(run: Run, prepared: Prepared, progress: Progress) -> None:
    """The network layer by layer, for the person who waits and for the run's record."""
    plan, classifier = prepared.plan, prepared.classifier
    if classifier.loaded is not None:
        progress.say(classifier.loaded.describe())
    kept = 1 if plan.distil else plan.members
    formula = network_formula(classifier.spec.model_copy(update={"members": kept}))
    layers = summarise(classifier, classifier.spec)
    progress.say(summary_text(layers, formula))
    network = {"formula": formula, "rows": [asdict(row) for row in layers], "members": kept}
    run.add_facts(network={**network, "parameters": kept * sum(r.parameters for r in layers)})


def _listener(progress: Progress, plan: Plan) -> loop.Listener:
    """How far training has come: a moving line inside an epoch, a line that stays after it."""

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

    return loop.Listener(epoch=epoch, step=step)


def as_bundle(
    prepared: Prepared, classifier: Classifier, card: dict[str, Any] | None = None
) -> Bundle:
    """The classifier with what belongs to it, as it is used; the card is only for keeping it."""
    task, preprocessing = prepared.dataset.task, prepared.preprocessing
    return Bundle(classifier.eval(), classifier.spec, task, preprocessing, card or {})


def keep_bundle(
    run: Run, prepared: Prepared, classifier: Classifier, document: dict[str, Any]
) -> Bundle:
    """Write `bundle/`: what prediction needs, and figures without curves, images or paths."""
    facts, dataset, cache = run.facts, prepared.dataset, prepared.cache
    judged = judgement(document)
    card = {
        "dataset": {
            "name": dataset.name,
            "synthetic": dataset.synthetic,
            "digest": data_digest(cache),
        },
        "split_digest": facts["split_digest"],
        "training": {**facts["training"], "seed": prepared.plan.seed},
        "versions": facts["versions"],
        **judged,
        "thresholds": _thresholds(run, dataset.task, judged["operating_points"]),
        "licence": NOT_STATED,
        "intended_use": INTENDED_USE,
        "limits": limits(facts, document),
    }
    used = np.concatenate([prepared.rows(split) for split in USED])
    patients = dataset.table["patient_id"].to_numpy(dtype=object)[used]
    guard = fit_guard(cache.views, used, cache.facts, patients)
    bundle = replace(as_bundle(prepared, classifier, card), guard=guard)
    save_trained_on(fingerprint_training(dataset.table), run.bundle_path)
    save_bundle(run.bundle_path, bundle)  # its card last: without it there is no bundle
    return bundle


def _thresholds(run: Run, task: Task, points: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """What thresholds cost on the validation images, since the test images choose none."""
    rows = read_predictions(run.predictions_path("validation"))
    at = {name: [float(point["threshold"]) for point in some] for name, some in points.items()}
    return threshold_costs(rows, task, at)
