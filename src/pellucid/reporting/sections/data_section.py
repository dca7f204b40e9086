"""The data as the page shows them: where they come from, and what stands in which split."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pellucid.reporting.documents import SPLITS, RunDocuments
from pellucid.reporting.drawing.run_plots import plot_splits
from pellucid.reporting.tables import Table, build_table
from pellucid.reporting.writing import count, percent, split_name


@dataclass(frozen=True)
class SplitTable:
    """Images and patients of each class in each split."""

    target: str
    splits: list[str]
    rows: list[tuple[str, list[tuple[str, str, str]]]]  # class, then (images, share, patients)
    totals: list[tuple[str, str]]
    plot: str
    table: Table


def describe_source(documents: RunDocuments) -> str:
    """What was read and from where; empty where nobody says."""
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


def split_table(documents: RunDocuments, target: str, number: int) -> SplitTable:
    """Images and patients of each class and split, from index.csv, else from evaluation.json."""
    classes = [str(label) for label in documents.main_block(target)["classes"]]
    table = documents.index
    if table is None or target not in table or "split" not in table:
        return _table_of_blocks(documents, target, number)
    labels = table[target].where(table[target].isin(classes), "no label")
    labels = labels.where(table[target].notna(), "no label")
    rows = table.assign(label=labels)
    names = classes + (["no label"] if (labels == "no label").any() else [])
    splits = [split for split in SPLITS if (table["split"] == split).any()]
    counts = {label: _counts(rows[rows["label"] == label], splits) for label in names}
    groups = [rows[rows["split"] == split] for split in splits]
    shown = [(label, list(_cells(rows, label, splits))) for label in names]
    return SplitTable(
        target=target,
        splits=[split_name(split) for split in splits],
        rows=shown,
        table=_plain_table(shown, splits, number),
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


def _table_of_blocks(documents: RunDocuments, target: str, number: int) -> SplitTable:
    classes = [str(label) for label in documents.main_block(target)["classes"]]
    blocks = [block for block in documents.blocks if block["target"] == target]
    blocks.sort(key=lambda block: SPLITS.index(block["split"]) if block["split"] in SPLITS else 9)
    counts = {
        label: {str(block["split"]): _in_class(block, label) for block in blocks}
        for label in classes
    }
    shown = [(label, [_block_cell(block, label) for block in blocks]) for label in classes]
    return SplitTable(
        target=target,
        splits=[split_name(str(block["split"])) for block in blocks],
        rows=shown,
        table=_plain_table(shown, [str(block["split"]) for block in blocks], number),
        totals=[(f"{block['n_images']:,}", f"{block['n_patients']:,}") for block in blocks],
        plot=plot_splits(counts, name=f"splits-{number}") if len(blocks) > 1 else "",
    )


def _block_cell(block: dict[str, Any], label: str) -> tuple[str, str, str]:
    share = float((block.get("prevalence") or {}).get(label) or 0.0)
    return f"{_in_class(block, label):,}", percent(share), ""


def _in_class(block: dict[str, Any], label: str) -> int:
    """How many images of the block are of a class: the sum of its row of the confusion matrix."""
    return int(sum(block["confusion_matrix"][list(block["classes"]).index(label)]))


def _plain_table(
    rows: list[tuple[str, list[tuple[str, str, str]]]], splits: list[str], number: int
) -> Table:
    """The same counts for the CSV, images and patients in columns of their own."""
    heads = ["class", *(f"{split}, {what}" for split in splits for what in ("images", "patients"))]
    cells = [
        [label, *(part for images, _, patients in row for part in (images, patients))]
        for label, row in rows
    ]
    plain = [[str(cell).replace(",", "") for cell in row] for row in cells]
    return build_table(f"splits-{number}", heads, plain)
