"""The tables of a comparison: models, differences and seeds; rounded on the page, whole in CSV.

Knows the document of a comparison.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pellucid.evaluation.comparing.pair_verdict import metric_words
from pellucid.reporting.tables import Cell, Table, build_table
from pellucid.reporting.writing import Estimate, metric_name

Document = Mapping[str, Any]


def models_table(block: Document, metrics: Sequence[str], name: str) -> Table:
    """The compared metrics of each model; runs where a model has several."""
    several = any(model["runs"] > 1 for model in block["models"])
    words = [metric_words(metric, len(block["classes"])) for metric in metrics]
    rows = [
        (
            str(model["name"]),
            int(model["runs"]) if several else None,
            *(Estimate.of(model["metrics"].get(metric)) for metric in metrics),
        )
        for model in block["models"]
    ]
    return build_table(name, ["Model", "Runs", *words], rows)


def figures_table(block: Document, name: str) -> Table:
    """Every figure of each model, a row a metric."""
    models = block["models"]
    every = dict.fromkeys(key for model in models for key in model["metrics"])
    several = len(block["classes"]) > 2
    rows: list[tuple[Cell, ...]] = [
        (
            "macro AUROC" if key == "auroc" and several else metric_name(key),
            *(Estimate.of(model["metrics"].get(key)) for model in models),
        )
        for key in every
    ]
    return build_table(name, ["Metric", *(str(model["name"]) for model in models)], rows)


def pairs_table(block: Document, name: str) -> Table:
    """Every difference with its p-values, a row a pair and metric."""
    rows = [
        (
            str(pair["first"]),
            str(pair["second"]),
            metric_words(metric, len(block["classes"])),
            Estimate.of(entry["difference"]),
            entry["p"],
            entry["p_corrected"],
            str(entry["test"]),
        )
        for pair in block["pairs"]
        for metric, entry in pair["metrics"].items()
    ]
    heads = ["First", "Second", "Metric", "Second - first", "p", "p, corrected", "Test"]
    return build_table(name, heads, rows)


def seeds_table(entries: Sequence[Document], name: str) -> Table:
    """Mean and spread of each model that has several runs."""
    rows = [
        (
            str(entry["name"]),
            metric_words(entry["metric"], int(entry["n_classes"])),
            int(entry["n"]),
            *(entry[key] for key in ("mean", "spread", "low", "high")),
            str(entry["note"]),
        )
        for entry in entries
    ]
    heads = ["Model", "Metric", "Runs", "Mean", "Standard deviation", "Lowest", "Highest", "Note"]
    return build_table(name, heads, rows) if rows else Table(name, (), ())
