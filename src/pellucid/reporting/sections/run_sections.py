"""The run itself: how it was trained, its layers, its settings, and how the figures came about."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pellucid.progress import duration
from pellucid.reporting.documents import Hyperparameter, RunDocuments
from pellucid.reporting.drawing.run_plots import plot_losses, plot_metric
from pellucid.reporting.parts import Part
from pellucid.reporting.tables import Cell, Table, build_table
from pellucid.reporting.writing import count, listing, metric_name, percent


@dataclass(frozen=True)
class Training:
    """The curves, and how the training ended."""

    summary: str
    plots: list[str]
    race: Part | None = None


def build_training(documents: RunDocuments) -> Training | None:
    """The curves of the training; None where nothing was trained here."""
    history = documents.history
    if history is None:
        return None
    best = _best_epoch(history)
    settings = {item.name: item.value for item in documents.plan}
    metric = metric_name(settings.get("metric", "metric"))
    loss = "focal" if settings.get("loss") == "focal" else "cross-entropy, nats"
    plots = [plot_losses(history, best, loss=loss, name="losses")]
    if history["validation_metric"].notna().any():
        plots.append(plot_metric(history, best, metric=metric, name="metric"))
    return Training(_describe_training(documents, history, metric), plots, _race(documents.race))


def _race(race: dict[str, Any]) -> Part | None:
    """Which plans were tried before, and how they did; None where none raced."""
    candidates = race.get("candidates") or []
    if not candidates:
        return None
    folds = max(len(one["aurocs"]) for one in candidates)
    rows: list[list[Cell]] = []
    for one in candidates:
        name = ", ".join(f"{key} {value}" for key, value in one["settings"].items())
        chosen = "chosen" if one["settings"] == race.get("winner") else ""
        known = [*one["aurocs"], *[None] * (folds - len(one["aurocs"]))]
        rows.append([name, *known, chosen])
    each = race.get("seconds_each")
    time = f" for {duration(float(each))} each" if each else ""
    return Part(
        "How the plan was chosen",
        "race",
        (
            f"{count(len(candidates), 'plan')} raced on folds of the training images{time}: each "
            "fold judged networks that had not seen its patients, and the better half went on. "
            "Validation and test images had no part in the choice.",
        ),
        tables=(
            build_table(
                "race", ["Plan", *(f"AUROC, fold {k + 1}" for k in range(folds)), "Outcome"], rows
            ),
        ),
    )


def _best_epoch(history: pd.DataFrame) -> int | None:
    """`is_best` means best so far, so that the last one is the epoch that was kept."""
    best = history.loc[history["is_best"], "epoch"]
    return int(best.iloc[-1]) if len(best) else None


def _describe_training(documents: RunDocuments, history: pd.DataFrame, metric: str) -> str:
    record = documents.facts.get("training") or {}
    seconds = record.get("seconds") or history.get("elapsed", pd.Series([float("nan")])).max()
    members, epochs = int(record.get("members") or 1), count(len(history), "epoch")
    took = f" in {duration(float(seconds))}" if seconds == seconds else ""
    if members == 1 and not record.get("distilled"):
        text = f"{epochs} were trained{took}."
    elif record.get("distilled"):
        text = (
            f"{count(members, 'network')} trained, each from its own seed, and one more that "
            f"learned to answer as they do{took}. The curves are that one's, of {epochs}."
        )
    else:
        how = "each from its own seed"
        if documents.n_folds:
            how = (
                "each without one fold of the training and validation images, which chose its epoch"
            )
        text = (
            f"{members} networks were trained{took}, {how}; their logits are averaged. "
            f"The curves are the first one's, of {epochs}."
        )
    best = _best_epoch(history)
    if best is not None:
        judged = f"{metric} on its fold" if documents.n_folds else f"validation {metric}"
        text += f" Epoch {best} had the best {judged}, and its weights were kept."
    text += _calibrated(record.get("calibration") or {})
    reason = str(record.get("stopped_because") or "").strip().rstrip(".")
    return f"{text} Training stopped: {_lower_first(reason)}." if reason else text


def _calibrated(calibration: dict[str, dict[str, Any]]) -> str:
    """What was done to the logits in the end, so that probabilities mean what they say."""
    several, told = len(calibration) > 1, []
    for target, done in calibration.items():
        of_target = f" of {target}" if several else ""
        if "temperature" in done:
            told.append(f"divided the logits{of_target} by {done['temperature']:.2f}")
        elif "slope" in done:
            sign = "−" if done["intercept"] < 0 else "+"
            line = f"{done['slope']:.2f} · logit {sign} {abs(done['intercept']):.2f}"
            told.append(f"replaced the logit{of_target} by {line}")
        elif done.get("reason"):
            did = f"left the logits{of_target} as they were"
            if done.get("weights_taken_back"):
                did = f"took the class weights{of_target} back and scaled no logits"
            told.append(f"{did}, since {done['reason']}")
    return f" Calibration on validation {listing(told)}." if told else ""


def _lower_first(text: str) -> str:
    return text if text[:2].isupper() else text[:1].lower() + text[1:]


def build_network(network: dict[str, Any]) -> dict[str, Any]:
    """The layer table with its numbers as people write them."""
    rows = [
        {
            **row,
            "output_shape": " × ".join(str(size) for size in row.get("output_shape") or []),
            "parameters": f"{row['parameters']:,}" if row.get("parameters") else "",
            "multiply_adds": f"{row['multiply_adds']:,}" if row.get("multiply_adds") else "",
            "sees": _field_text(row),
        }
        for row in network.get("rows") or []
    ]
    total = network.get("parameters")
    columns = {
        "name": "layer",
        "kind": "kind",
        "hyperparameters": "hyperparameters",
        "output_shape": "output",
        "sees": "sees (px)",
        "parameters": "parameters",
        "multiply_adds": "multiply-adds",
    }
    cells = tuple(tuple(str(row.get(key) or "") for key in columns) for row in rows)
    return {
        "formula": network.get("formula", ""),
        "rows": rows,
        "table": Table("layers", tuple(columns.values()), cells),
        "parameters": f"{total:,}" if total else "",
        "knows_fields": any(row["sees"] for row in rows),
    }


def _field_text(row: dict[str, Any]) -> str:
    """The side of what a unit sees; empty in a run of before this was written down."""
    if "receptive_field" not in row:
        return ""
    field = row["receptive_field"]
    if field is None:
        return "?"
    return "all" if field["is_whole_image"] else f"{field['size']:g}"


def run_facts(documents: RunDocuments) -> Iterator[tuple[str, str]]:
    """Seed, time and machine."""
    facts = documents.facts
    if facts.get("seed") is not None:
        yield "Seed", str(facts["seed"])
    if facts.get("started"):
        yield "Started", str(facts["started"]).replace("T", " ").replace("+00:00", " UTC")
    if facts.get("seconds"):
        yield "Duration", duration(float(facts["seconds"]))
    for key, value in (facts.get("machine") or {}).items():
        name = str(key).replace("_", " ")
        yield name[:1].upper() + name[1:], str(value)


def _by_patient(documents: RunDocuments) -> str:
    return "by patient " if documents.patients_known else ""


def methods(documents: RunDocuments) -> Iterator[str]:
    """How the figures came about, in sentences for a methods section."""
    evaluation = documents.evaluation
    resamples = evaluation.get("n_resamples")
    level = percent(float(evaluation.get("confidence", 0.95)))
    if resamples:
        yield (
            f"Where an interval ({level}) was found by resampling, {resamples:,} bootstrap "
            "resamples of whole patients were drawn, since the images of one patient are alike; "
            "where patients are not known, images. Which method each figure has is said under its "
            "table. Intervals say how much a figure could move with other patients of the same "
            "kind, not how it would move at another hospital or with another training run."
        )
    if documents.n_folds:
        raced = " A race had chosen the plan on most of these images."
        alone = " The classical baseline learned from train alone."
        yield (
            f"Training and validation images were dealt {_by_patient(documents)}into "
            f"{documents.n_folds} folds. Each network learned from all of them but one, which "
            "decided its epoch. Figures on validation are of all these images, each judged by the "
            "one network that had not learned from it; calibration and operating points were "
            "chosen there, for the mean of all."
            + (raced if documents.race.get("candidates") else "")
            + (alone if documents.baseline else "")
            + " The test images decided nothing and were looked at once, for this report."
        )
    elif documents.was_trained_here:
        yield (
            "The training images decided the weights. The validation images decided which epoch "
            "was kept and any calibration or operating point said to be chosen on validation. "
            "The test images decided nothing and were looked at once, for this report."
        )
    yield (
        "The confusion matrix calls the most probable class; for two classes that is the "
        "threshold 0.5. PPV and NPV hold at the prevalence of these images; at another prevalence "
        "they differ."
    )


def plan_table(plan: tuple[Hyperparameter, ...]) -> Table:
    """The hyperparameters for their CSV."""
    rows = tuple((item.name, item.value, item.reason) for item in plan)
    return Table("hyperparameters", ("name", "value", "reason"), rows)
