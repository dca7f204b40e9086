"""From a prepared dataset to a classifier: the networks shown, trained, joined, kept as a bundle.

Knows what of it a run keeps and what a person is told meanwhile; how weights are found is
`training`'s, and what the classifier is worth is `judging`'s.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from pellucid.bundle import Bundle, save_bundle
from pellucid.data.trained_on import fingerprint_training, save_trained_on
from pellucid.evaluation.measures.metrics import validation_auroc
from pellucid.network.classifier import Classifier, join
from pellucid.network.summary import network_formula, summarise, summary_text
from pellucid.preparation import Prepared, Request, build_member
from pellucid.progress import Progress, duration
from pellucid.run import Run
from pellucid.storage import write_text
from pellucid.training import loop
from pellucid.training.checkpoint import EpochRow
from pellucid.training.device import choose_device
from pellucid.training.members import member_plan
from pellucid.training.plan import Plan
from pellucid.training.preview import save_augmentations

DRAWN = ("format", "version", "seed", "n_resamples", "confidence")
CARRIED = (  # of a block; no image, patient or path goes with a bundle
    "target",
    "split",
    "n_images",
    "n_patients",
    "patients_known",
    "classes",
    "positive",
    "prevalence",
    "confusion_matrix",
    "metrics",
    "per_class",
    "operating_points",
    "calibration",
)


def fit(run: Run, prepared: Prepared, wish: Request, progress: Progress) -> Classifier:
    """Show the network, train it, and return it with the weights of the best epoch.

    Of an ensemble each member is trained so, and the classifier is their mean.
    """
    plan, dataset, classifier = prepared.plan, prepared.dataset, prepared.classifier
    spec = classifier.spec
    if classifier.loaded is not None:
        progress.say(classifier.loaded.describe())
    layers = summarise(classifier, spec)
    formula = network_formula(spec.model_copy(update={"members": plan.members}))
    progress.say(summary_text(layers, formula))
    network = {"formula": formula, "rows": [asdict(row) for row in layers]}
    parameters = plan.members * sum(row.parameters for row in layers)
    run.add_facts(network={**network, "parameters": parameters, "members": plan.members})
    data = loop.TrainingData(
        task=dataset.task,
        pixels=prepared.cache.pixels,
        codes=dataset.codes(),
        train=prepared.rows("train"),
        validation=prepared.rows("validation"),
    )
    save_augmentations(data.pixels[data.train[0]], plan, run.augmentations_path, wish.transform)
    members: list[Classifier] = []
    results: list[loop.TrainingResult] = []
    for number in range(1, plan.members + 1):
        own = member_plan(plan, number, sum(result.seconds for result in results))
        member = classifier if number == 1 else build_member(own, dataset.task)
        if plan.members > 1:
            progress.say(f"Network {number} of {plan.members}")
        results.append(
            loop.train(
                member,
                own,
                data,
                run.member(number) if plan.members > 1 else run.folder,
                score=lambda codes, logits: validation_auroc(codes, logits, dataset.task),
                resume=wish.resume,
                transform=wish.transform,
                listener=_listener(progress, own),
            )
        )
        members.append(member)
        best, why = results[-1].best_epoch, results[-1].stopped_because
        progress.say(f"Best epoch {best}; stopped because {why}")
    if plan.members > 1:
        write_text(run.history_path, (run.member(1) / "history.csv").read_text(encoding="utf-8"))
    training = {
        "best_epoch": results[0].best_epoch,
        "stopped_because": results[0].stopped_because,
        "seconds": round(sum(result.seconds for result in results), 1),
        "device": str(choose_device(plan)),
        "members": plan.members,
    }
    run.add_facts(training=training)
    return join(members)


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
    facts, dataset = run.facts, prepared.dataset
    blocks = [{key: block[key] for key in CARRIED} for block in document["blocks"]]
    card = {
        "dataset": {"name": dataset.name, "synthetic": dataset.synthetic},
        "split_digest": facts["split_digest"],
        "training": {**facts["training"], "seed": prepared.plan.seed},
        "versions": facts["versions"],
        "evaluation": {**{key: document[key] for key in DRAWN}, "blocks": blocks},
        "intended_use": "Research and teaching. Not a medical device.",
    }
    bundle = as_bundle(prepared, classifier, card)
    save_bundle(run.bundle_path, bundle)
    save_trained_on(fingerprint_training(dataset.table), run.bundle_path)
    return bundle
