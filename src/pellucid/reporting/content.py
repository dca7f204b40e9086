"""The whole page as plain data, section by section; a section without its file is left out.

Knows what a reader needs to be told and in which order. It does not know how the page looks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pellucid.progress import duration
from pellucid.reporting.documents import SPLITS, Hyperparameter, RunDocuments
from pellucid.reporting.findings import ShownFinding, show_findings
from pellucid.reporting.judgement import Judgement, judge_target
from pellucid.reporting.pictures import png_address
from pellucid.reporting.plots import plot_losses, plot_metric, plot_splits
from pellucid.reporting.verdict import (
    Caution,
    collect_cautions,
    describe_question,
    verdict_sentences,
)
from pellucid.reporting.writing import count, metric_name, percent, split_name

FILES = {
    "index.csv": "index",
    "history.csv": "history",
    "plan.yaml": "plan",
    "audit.json": "audit",
    "predictions": "predictions",
}


@dataclass(frozen=True)
class Verdict:
    """What was asked of one target, and how good the answer is."""

    target: str
    question: str
    sentences: list[str]


@dataclass(frozen=True)
class SplitTable:
    """Images and patients of each class in each split."""

    target: str
    splits: list[str]
    rows: list[tuple[str, list[tuple[str, str, str]]]]  # class, then (images, share, patients)
    totals: list[tuple[str, str]]
    plot: str


@dataclass(frozen=True)
class Training:
    """The curves, and how the training ended."""

    summary: str
    plots: list[str]


@dataclass(frozen=True)
class Page:
    """Everything that stands in report.html."""

    title: str
    subtitle: str
    is_synthetic: bool
    several_targets: bool
    patients_known: bool
    verdicts: list[Verdict]
    cautions: list[Caution]
    source: str
    split_tables: list[SplitTable]
    notes: list[str]
    findings: list[ShownFinding]
    unreadable: list[dict[str, Any]]
    training: Training | None
    judgements: list[Judgement]
    augmentations: str
    network: dict[str, Any]
    plan: tuple[Hyperparameter, ...]
    has_reasons: bool
    command: str
    facts: list[tuple[str, str]]
    versions: list[tuple[str, str]]
    methods: list[str]
    missing: list[str]


def build_page(documents: RunDocuments) -> Page:
    """Everything that stands in report.html, from the files of the run."""
    facts, targets = documents.facts, documents.targets
    plan = documents.plan
    return Page(
        title=str(documents.dataset.get("name") or documents.folder.resolve().name),
        subtitle=_subtitle(documents),
        is_synthetic=bool(documents.dataset.get("synthetic")),
        several_targets=len(targets) > 1,
        patients_known=documents.patients_known,
        verdicts=[
            Verdict(
                target, describe_question(documents, target), verdict_sentences(documents, target)
            )
            for target in targets
        ],
        cautions=collect_cautions(documents),
        source=_describe_source(documents),
        split_tables=[_split_table(documents, name, i) for i, name in enumerate(targets)],
        notes=[str(note) for note in facts.get("notes") or []],
        findings=show_findings(documents.audit, documents.index, targets, documents.window),
        unreadable=list(documents.audit.get("unreadable", [])),
        training=_training(documents),
        judgements=[judge_target(documents, name, i) for i, name in enumerate(targets)],
        augmentations=png_address(documents.augmentations),
        network=_network(facts.get("network") or {}),
        plan=plan,
        has_reasons=any(setting.reason for setting in plan),
        command=str(facts.get("command") or ""),
        facts=list(_run_facts(documents)),
        versions=[(str(key), str(value)) for key, value in (facts.get("versions") or {}).items()],
        methods=list(_methods(documents)),
        missing=[name for name, part in FILES.items() if _is_missing(getattr(documents, part))],
    )


def _is_missing(part: Any) -> bool:
    return part is None or (isinstance(part, dict | tuple) and not part)


def _subtitle(documents: RunDocuments) -> str:
    what = "Report of a classifier" if documents.was_trained_here else "Report of predictions"
    started = str(documents.facts.get("started") or "")[:10]
    version = (documents.facts.get("versions") or {}).get("pellucid")
    by = f"Pellucid {version}" if version else "Pellucid"
    return ", ".join(part for part in (f"{what} by {by}", started) if part)


def _describe_source(documents: RunDocuments) -> str:
    dataset = documents.dataset
    if not dataset:
        return ""
    text = (
        f"{dataset.get('name', 'The dataset')}: {count(int(dataset.get('n_images', 0)), 'image')}"
    )
    if dataset.get("patients_known"):
        text += f" of {count(int(dataset.get('n_patients', 0)), 'patient')}"
    source = dataset.get("source")
    return f"{text}, read from {source}." if source else f"{text}."


def _split_table(documents: RunDocuments, target: str, number: int) -> SplitTable:
    """From index.csv; without it, from the blocks of evaluation.json."""
    classes = [str(label) for label in documents.main_block(target)["classes"]]
    table = documents.index
    if table is None or target not in table or "split" not in table:
        return _split_table_of_blocks(documents, target, number)
    labels = table[target].where(table[target].isin(classes), "no label")
    labels = labels.where(table[target].notna(), "no label")
    rows = table.assign(label=labels)
    names = classes + (["no label"] if (labels == "no label").any() else [])
    splits = [split for split in SPLITS if (table["split"] == split).any()]
    counts = {label: _counts(rows[rows["label"] == label], splits) for label in names}
    groups = [rows[rows["split"] == split] for split in splits]
    return SplitTable(
        target=target,
        splits=[split_name(split) for split in splits],
        rows=[(label, list(_cells(rows, label, splits))) for label in names],
        totals=[(f"{len(group):,}", f"{group['patient_id'].nunique():,}") for group in groups],
        plot=plot_splits(counts, name=f"splits-{number}"),
    )


def _counts(rows: pd.DataFrame, splits: list[str]) -> dict[str, int]:
    return {split: int((rows["split"] == split).sum()) for split in splits}


def _cells(rows: pd.DataFrame, label: str, splits: list[str]) -> Iterator[tuple[str, str, str]]:
    for split in splits:
        group = rows[rows["split"] == split]
        part = group[group["label"] == label]
        labelled = int((group["label"] != "no label").sum())
        share = percent(len(part) / labelled) if labelled and label != "no label" else ""
        yield f"{len(part):,}", share, f"{part['patient_id'].nunique():,}"


def _split_table_of_blocks(documents: RunDocuments, target: str, number: int) -> SplitTable:
    classes = [str(label) for label in documents.main_block(target)["classes"]]
    blocks = [block for block in documents.blocks if block["target"] == target]
    blocks.sort(key=lambda block: SPLITS.index(block["split"]) if block["split"] in SPLITS else 9)
    counts = {
        label: {str(block["split"]): _in_class(block, label) for block in blocks}
        for label in classes
    }
    return SplitTable(
        target=target,
        splits=[split_name(str(block["split"])) for block in blocks],
        rows=[(label, [_block_cell(block, label) for block in blocks]) for label in classes],
        totals=[(f"{block['n_images']:,}", f"{block['n_patients']:,}") for block in blocks],
        plot=plot_splits(counts, name=f"splits-{number}") if len(blocks) > 1 else "",
    )


def _block_cell(block: dict[str, Any], label: str) -> tuple[str, str, str]:
    share = float((block.get("prevalence") or {}).get(label) or 0.0)
    return f"{_in_class(block, label):,}", percent(share), ""


def _in_class(block: dict[str, Any], label: str) -> int:
    """How many images of the block are of a class: the sum of its row of the confusion matrix."""
    return int(sum(block["confusion_matrix"][list(block["classes"]).index(label)]))


def _training(documents: RunDocuments) -> Training | None:
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
    return Training(_describe_training(documents, history, metric), plots)


def _best_epoch(history: pd.DataFrame) -> int | None:
    """`is_best` means best so far, so that the last one is the epoch that was kept."""
    best = history.loc[history["is_best"], "epoch"]
    return int(best.iloc[-1]) if len(best) else None


def _describe_training(documents: RunDocuments, history: pd.DataFrame, metric: str) -> str:
    record = documents.facts.get("training") or {}
    seconds = record.get("seconds") or history.get("elapsed", pd.Series([float("nan")])).max()
    text = f"{count(len(history), 'epoch')} were trained"
    text += f" in {duration(float(seconds))}." if seconds == seconds else "."
    best = _best_epoch(history)
    if best is not None:
        text += f" Epoch {best} had the best validation {metric}, and its weights were kept."
    reason = str(record.get("stopped_because") or "").strip().rstrip(".")
    return f"{text} Training stopped: {_lower_first(reason)}." if reason else text


def _lower_first(text: str) -> str:
    return text if text[:2].isupper() else text[:1].lower() + text[1:]


def _network(network: dict[str, Any]) -> dict[str, Any]:
    """The layer table with its numbers as people write them."""
    rows = [
        {
            **row,
            "output_shape": " × ".join(str(size) for size in row.get("output_shape") or []),
            "parameters": f"{row['parameters']:,}" if row.get("parameters") else "",
        }
        for row in network.get("rows") or []
    ]
    total = network.get("parameters")
    return {
        "formula": network.get("formula", ""),
        "rows": rows,
        "parameters": f"{total:,}" if total else "",
    }


def _run_facts(documents: RunDocuments) -> Iterator[tuple[str, str]]:
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


def _methods(documents: RunDocuments) -> Iterator[str]:
    evaluation = documents.evaluation
    resamples = evaluation.get("n_resamples")
    level = percent(float(evaluation.get("confidence", 0.95)))
    if resamples:
        yield (
            f"Intervals ({level}) come from {resamples:,} bootstrap resamples of whole patients, "
            "since the images of one patient are alike. Where patients are not known, images are "
            "resampled. They say how much the figure could move with other patients of the same "
            "kind, not how it would move at another hospital or with another training run."
        )
    if documents.was_trained_here:
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
