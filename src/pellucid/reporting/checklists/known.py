"""What a run's documents say that several fillers need: splits, facts, plan, blocks of a split.

Reads documents only; makes no sentence for an item.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pandas as pd

from pellucid.reporting.documents import SPLITS, RunDocuments
from pellucid.reporting.writing import Estimate, count, listing, metric_name, split_name

Block = dict[str, Any]
COLUMNS = ("image_id", "image_path", "frame", "patient_id", "split")
CLUSTERS = ("site", "hospital", "centre", "center", "scanner", "institution", "manufacturer")
PERSONS = ("sex", "gender", "age", "race", "ethnicity")


def judged_blocks(documents: RunDocuments, split: str) -> list[Block]:
    """The blocks of one split that hold images, one a target."""
    return [b for b in documents.blocks if b["split"] == split and b.get("n_images")]


def main_blocks(documents: RunDocuments) -> list[Block]:
    """The block that the verdict is about, one a target; those without images are left out."""
    blocks = (documents.main_block(target) for target in documents.targets)
    return [block for block in blocks if block.get("n_images")]


def calibration_of(documents: RunDocuments) -> str:
    """What training did to the logits of each target in the end; empty where it did nothing."""
    calibration = (documents.facts.get("training") or {}).get("calibration") or {}
    names = {"platt": "Platt's slope and intercept", "temperature": "a temperature"}
    done = [
        f"{target}: {names[str(how['method'])]}, fitted on validation and part of the model"
        for target, how in calibration.items()
        if how.get("method") in names
    ]
    return "; ".join(done)


def on_split(block: Block) -> str:
    """A target's name and its split, as a sentence begins: "label, test:"."""
    return f"{block['target']}, {split_name(block['split'])}:"


def who(block: Block) -> str:
    """How many images and, where known, patients: "60 images of 41 patients"."""
    images = count(int(block["n_images"]), "image")
    if not block.get("patients_known", True):
        return f"{images} (patients unknown)"
    return f"{images} of {count(int(block['n_patients']), 'patient')}"


def figures(block: Block, names: Iterable[str]) -> str:
    """The named metrics of a block with their intervals; those it does not hold are left out."""
    held = block["metrics"]
    return listing(
        [f"{metric_name(n)} {Estimate.of(held[n]).sentence}" for n in names if n in held]
    )


def all_figures(block: Block) -> Iterator[dict[str, Any]]:
    """Every figure of a block's metrics and classes."""
    yield from block["metrics"].values()
    for metrics in block.get("per_class", {}).values():
        yield from metrics.values()


def plan_value(documents: RunDocuments, name: str) -> str | None:
    """One hyperparameter as plan.yaml writes it, without quotes; None where it is not there."""
    for item in documents.plan:
        if item.name == name:
            return item.value.strip("'\"")
    return None


def plan_words(documents: RunDocuments, names: Iterable[str]) -> str:
    """The named hyperparameters in a sentence: "learning rate 0.001 and batch size 32"."""
    found = ((name, plan_value(documents, name)) for name in names)
    return listing([f"{name.replace('_', ' ')} {value}" for name, value in found if value])


def fact_names(documents: RunDocuments) -> list[str]:
    """The facts of patients or images that the dataset holds, or the subgroups are made by."""
    named = [str(name) for name in documents.dataset.get("facts") or []]
    named += [str(entry["fact"]) for _, entry in subgroups_of(documents)]
    return [name for name in dict.fromkeys(named) if name not in COLUMNS]


def is_about(name: str, words: Iterable[str]) -> bool:
    """Whether a fact's name holds one of the words, as "patient_age" holds "age".

    >>> is_about("patient_age", PERSONS), is_about("image_quality", PERSONS)
    (True, False)
    """
    parts = name.lower().replace("-", "_").replace(" ", "_").split("_")
    return any(word in parts for word in words)


def subgroups_of(documents: RunDocuments) -> list[tuple[Block, dict[str, Any]]]:
    """Every subgroup table of the main blocks, with its block."""
    return [(b, entry) for b in main_blocks(documents) for entry in b.get("subgroups") or []]


def split_tables(documents: RunDocuments) -> list[tuple[str, pd.DataFrame]]:
    """The index's rows of each split, in the order training to external test."""
    table = documents.index
    if table is None or "split" not in table:
        return []
    parts = ((split, table[table["split"] == split]) for split in SPLITS)
    return [(split, part) for split, part in parts if len(part)]


def size_of(documents: RunDocuments) -> str:
    """How many images and, where known, patients the dataset holds."""
    facts = documents.dataset
    images = count(int(facts.get("n_images") or 0), "image")
    if not documents.patients_known:
        return f"{images}, patients unknown"
    return f"{images} of {count(int(facts.get('n_patients') or 0), 'patient')}"
