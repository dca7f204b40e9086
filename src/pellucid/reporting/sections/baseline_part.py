"""How the classical baseline was chosen, and by which of its features it tells the classes apart.

Every number is from baseline.json, which the run wrote from its training split alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pellucid.reporting.documents import RunDocuments
from pellucid.reporting.parts import Part
from pellucid.reporting.tables import Cell, build_table
from pellucid.reporting.writing import count, decimal

FAMILIES_SHOWN = 8


def baseline_parts(documents: RunDocuments) -> list[Part]:
    """One part a target; the reason alone where no baseline could be fitted."""
    targets = documents.baseline.get("targets") or []
    return [_part(target, number) for number, target in enumerate(targets)]


def _part(target: dict[str, Any], number: int) -> Part:
    title = f"The classical baseline of {target.get('target', '')}"
    anchor = f"baseline-{number}"
    if not target.get("classifier"):
        reason = str(target.get("reason") or "").rstrip(".")
        return Part(title, anchor, (f"None was fitted: {reason}.",))
    tried = target.get("cross_validation") or []
    families = (target.get("importance") or {}).get("families") or []
    tables = [
        build_table(
            f"{anchor}-tried",
            ["Classifier", "Hyperparameters", "Mean AUROC", "Standard deviation"],
            list(_tried(tried)),
        ),
        build_table(
            f"{anchor}-families",
            ["Features", "How many", "Fall of AUROC", "Standard deviation"],
            [
                [one["family"], one["n_features"], one["fall"], one["spread"]]
                for one in families[:FAMILIES_SHOWN]
            ],
        ),
    ]
    return Part(
        title,
        anchor,
        (_words(target, len(tried)),),
        tables=tuple(table for table in tables if table.rows),
        key="Mean and spread are over the folds. The second table: what is lost when all features "
        "of a family are shuffled together between held-out training rows.",
    )


def _tried(tried: list[dict[str, Any]]) -> Iterator[list[Cell]]:
    for one in sorted(tried, key=lambda one: -(one.get("mean_auroc") or 0.0)):
        mean, spread = one.get("mean_auroc"), one.get("spread")
        yield [one["classifier"], _settings(one["hyperparameters"]), mean, spread]


def _settings(hyperparameters: dict[str, Any]) -> str:
    return ", ".join(
        f"{name.replace('_', ' ')} {decimal(value) if value != round(value) else round(value)}"
        for name, value in hyperparameters.items()
    )


def _words(target: dict[str, Any], n_tried: int) -> str:
    who = count(int(target["n_train_images"]), "training image")
    patients = count(int(target["n_train_patients"]), "patient")
    return (
        f"Handcrafted features of {who} of {patients}, then the best of {n_tried} candidates by "
        f"cross-validation over patients, within train alone: {target['classifier']} "
        f"({_settings(target['hyperparameters'])})."
    )
