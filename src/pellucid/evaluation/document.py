"""All that can be said of predictions, as the document of `evaluation.json`.

One block a target and split, the mean over several targets, and what a run adds: the fall under
corruptions and the comparison with the baseline. A figure that is undefined stands there as null
with the reason; none is dropped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from pellucid.errors import PredictionsError, did_you_mean
from pellucid.evaluation.block import Asked, build_block
from pellucid.evaluation.groups.robustness import judge_robustness
from pellucid.evaluation.judged import Judged, judged_splits
from pellucid.evaluation.measures.across_targets import average_targets
from pellucid.evaluation.predictions import check_predictions, task_from_predictions
from pellucid.evaluation.uncertainty.figures import CONFIDENCE
from pellucid.evaluation.uncertainty.independent import differences
from pellucid.storage import load_document, write_json
from pellucid.task import Target, Task

FORMAT, VERSION = "pellucid-evaluation", 2
TESTS = ("test", "external_test")
SHOWN = (  # in a terminal; the others stand in the document
    "auroc",
    "auprc",
    "sensitivity",
    "specificity",
    "ppv",
    "npv",
    "f1",
    "macro_f1",
    "macro_sensitivity",
    "macro_specificity",
    "accuracy",
    "balanced_accuracy",
    "matthews",
    "kappa",
    "quadratic_kappa",
    "brier",
)

Stated = Mapping[str, tuple[str, tuple[float, ...]]]


def evaluate_predictions(
    table: pd.DataFrame,
    task: Task | None = None,
    *,
    positive: str | None = None,
    asked: Asked | None = None,
    **choices: Any,
) -> dict[str, Any]:
    """Judge a predictions table; returns the document of `evaluation.json`.

    Without a task, classes are read from the columns; `positive` chooses the positive class anew.
    `asked` says what else is wanted, or its fields are given by name (`n_resamples=200`).
    Operating points, scaling and sets are chosen on validation where the table has it.
    Raises `PredictionsError`.
    """
    asked = asked or Asked(**choices)
    judged = judged_targets(check_predictions(table), task, positive, asked.ordered)
    blocks = [block for parts in judged.values() for block in _blocks(parts, asked)]
    if not blocks:
        raise PredictionsError("No image of the table has a label, so nothing can be judged")
    document = {
        "format": FORMAT,
        "version": VERSION,
        "seed": asked.seed,
        "n_resamples": asked.n_resamples,
        "confidence": CONFIDENCE,
        "blocks": blocks,
    }
    average = average_targets(judged, asked.draw)
    if average:
        document["across_targets"] = average
    return document | {"notes": [*_notes(judged), *_without_effect(judged, asked)]}


def judged_targets(
    table: pd.DataFrame,
    task: Task | None = None,
    positive: str | None = None,
    ordered: tuple[str, ...] = (),
) -> dict[str, list[Judged]]:
    """The labelled splits of each target of a checked table, test first."""
    if task is None or positive is not None:
        task = task_from_predictions(table, positive)
    targets = _in_order(task.targets, ordered) if ordered else task.targets
    return {target.name: judged_splits(table, target) for target in targets}


def robustness_of(
    judged: Mapping[str, list[Judged]], corrupted: pd.DataFrame, stated: Stated, asked: Asked
) -> list[dict[str, Any]]:
    """The part "robustness": how the main metric falls on pictures that were corrupted.

    `corrupted` is a predictions table with the columns `corruption` and `severity` of images of one
    split, `stated` the unit and the values of each corruption.
    """
    split = str(corrupted["split"].iloc[0])
    clean = {name: part for name, parts in judged.items() for part in parts if part.split == split}
    return judge_robustness(clean, corrupted, asked.rough, stated=stated)


def _in_order(targets: tuple[Target, ...], ordered: tuple[str, ...]) -> tuple[Target, ...]:
    """The targets, with the classes of those that have these classes in the order given."""
    if not any(sorted(target.classes) == sorted(ordered) for target in targets):
        known = [name for target in targets for name in target.classes]
        wrong = next((name for name in ordered if name not in known), ordered[0])
        raise PredictionsError(
            "The order of classes names every class of a target once",
            ", ".join(ordered),
            did_you_mean(wrong, known),
        )
    return tuple(
        target.model_copy(update={"classes": ordered})
        if set(target.classes) == set(ordered) and len(ordered) > 2
        else target
        for target in targets
    )


def _blocks(parts: list[Judged], asked: Asked) -> Iterator[dict[str, Any]]:
    validation = next((part for part in parts if part.split == "validation"), None)
    has_test = any(part.split in TESTS for part in parts)
    test = None
    for part in parts:
        is_deep = part.split in TESTS or not has_test
        block = build_block(part, validation, asked, is_deep=is_deep)
        test = block if part.split == "test" else test
        if part.split == "external_test" and test is not None:
            block["difference_from_test"] = differences(block, test)
        yield block


def _notes(judged: Mapping[str, list[Judged]]) -> Iterator[str]:
    """What a reader must know beside the figures, of each target."""
    for name, parts in judged.items():
        validation = next((part for part in parts if part.split == "validation"), None)
        tests = [part for part in parts if part.split in TESTS]
        if validation is None:
            yield (
                f"{name}: there is no validation split, so that no operating point, scaling or "
                "prediction set could be chosen."
            )
            continue
        both = {str(one) for part in tests for one in part.patient_ids} & {
            str(one) for one in validation.patient_ids
        }
        if both:
            who = "1 patient stands" if len(both) == 1 else f"{len(both):,} patients stand"
            yield (
                f"{name}: {who} in validation and in test, so that what was chosen on validation "
                "flatters on test, and prediction sets promise too much."
            )


def _without_effect(judged: Mapping[str, list[Judged]], asked: Asked) -> Iterator[str]:
    """Wishes that no target of the table can be asked."""
    targets = [parts[0].target for parts in judged.values() if parts]
    binary = any(target.is_binary for target in targets)
    wishes = {"prevalence": asked.wishes.prevalence, "cost ratio": asked.wishes.cost_ratio}
    for name, wish in wishes.items():
        if wish is not None and not binary:
            yield f"The {name} has no effect: no target has two classes."
    if asked.ordered and not any(len(target.classes) > 2 for target in targets):
        yield "The order of classes has no effect: no target has more than two."


def save_evaluation(document: dict[str, Any], path: Path) -> Path:
    """Write the document as JSON, in one step."""
    return write_json(path, document)


def load_evaluation(path: Path) -> dict[str, Any]:
    """Read `evaluation.json`; raises `PredictionsError` when it is another or a newer file."""
    return load_document(path, "evaluation", VERSION)


def describe_evaluation(document: dict[str, Any]) -> str:
    """The main figures as lines for a terminal, test first."""
    lines = []
    for block in document["blocks"]:
        who = f"{block['n_images']:,} images"
        if block["patients_known"]:
            who += f" of {block['n_patients']:,} patients"
        else:
            who += " (no patients known: each image is its own)"
        positive = f", positive: {block['positive']}" if block["positive"] else ""
        lines.append(f"{block['target']}, {block['split']}: {who}{positive}")
        figures = {name: block["metrics"].get(name) for name in SHOWN}
        for name, figure in ((name, figure) for name, figure in figures.items() if figure):
            lines.append(f"  {name.replace('_', ' '):<20} {_figure_text(figure)}")
    return "\n".join([*lines, *document.get("notes", [])])


def _figure_text(figure: dict[str, Any]) -> str:
    if figure["value"] is None:
        return f"not defined ({figure['method'].removeprefix('undefined: ')})"
    if figure["low"] is None:
        return f"{figure['value']:.3f}"
    return f"{figure['value']:.3f} ({figure['low']:.3f}–{figure['high']:.3f})"
