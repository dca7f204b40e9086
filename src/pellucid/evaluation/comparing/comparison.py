"""Which of several models is better on the same patients, and whether chance explains it.

Takes two or more predictions tables; the result is one document: each model's figures, each pair's
differences with interval and test, all p-values corrected together, and a sentence that says what
follows. Models are never ranked, and of several runs never the best is taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pellucid.errors import PredictionsError, did_you_mean
from pellucid.evaluation.comparing.matching import Matched, match_tables
from pellucid.evaluation.comparing.multiplicity import holm
from pellucid.evaluation.comparing.pair_verdict import describe_pair, metric_words, pair_verdict
from pellucid.evaluation.comparing.paired import (
    Draws,
    Model,
    compare_pair,
    has_formula,
    known_metrics,
    resample_together,
)
from pellucid.evaluation.predictions import SPLITS
from pellucid.evaluation.uncertainty.figures import CONFIDENCE, build_figures, main_metrics
from pellucid.evaluation.uncertainty.intervals import percentile_interval
from pellucid.storage import load_document, write_json

FORMAT, VERSION = "pellucid-comparison", 1
OF_TWO_CLASSES = ("auroc", "sensitivity", "specificity", "accuracy")
OF_SEVERAL = ("auroc", "balanced_accuracy", "accuracy")

Document = dict[str, Any]


def compare_predictions(
    tables: Mapping[str, pd.DataFrame | Sequence[pd.DataFrame]],
    *,
    split: str = "test",
    positive: str | None = None,
    metrics: Sequence[str] | None = None,
    n_resamples: int = 2000,
    seed: int = 0,
) -> Document:
    """Compare two or more models' predictions tables on the images that all of them have.

    A name may stand for several tables: runs that differ by seed, which count by their mean.
    `metrics` are those in which pairs are compared, the first of which the verdict leads with; by
    default AUROC and the shares of right calls, since every test more makes each one stricter.
    P-values are two-sided and corrected by Holm over targets × pairs × metrics. Raises
    `PredictionsError` where tables contradict each other or have no image in common.
    """
    runs = {name: _runs(name, value) for name, value in tables.items()}
    _check_request(runs, split)
    matched, left = match_tables(runs, split, positive)
    blocks = [_block(part, metrics, (n_resamples, seed)) for part in matched]
    n_tests = _correct(blocks)
    for block in blocks:
        for pair in block["pairs"]:
            pair["verdict"] = pair_verdict(pair, block, n_tests)
    return {
        "format": FORMAT,
        "version": VERSION,
        "seed": seed,
        "n_resamples": n_resamples,
        "confidence": CONFIDENCE,
        "names": list(tables),
        "n_tests": n_tests,
        "correction": "Holm 1979",
        "notes": list(_notes(blocks, left, n_tests, n_resamples)),
        "targets": blocks,
        "seeds": [entry for part in matched for entry in _seeds(part, metrics)],
    }


def save_comparison(document: Document, path: Path) -> Path:
    """Write the document as JSON, in one step."""
    return write_json(path, document)


def load_comparison(path: Path) -> Document:
    """Read a comparison; raises `PredictionsError` when it is another or a newer file."""
    return load_document(path, "comparison", VERSION)


def describe_comparison(document: Document) -> str:
    """The verdicts and the differences as lines for a terminal."""
    lines: list[str] = []
    for block in document["targets"]:
        lines.append(_heading(block))
        for pair in block["pairs"]:
            lines += ["", f"  {pair['verdict']}", *describe_pair(pair, block)]
        lines.append("")
    lines += [_seed_line(entry) for entry in document["seeds"] if entry["mean"] is not None]
    return "\n".join([*lines, *document["notes"]]).strip()


def _seed_line(entry: Document) -> str:
    return (
        f"{entry['name']}, {entry['target']}: {metric_words(entry['metric'], entry['n_classes'])} "
        f"{entry['mean']:.3f} in the mean of {entry['n']} runs, standard deviation "
        f"{entry['spread']:.3f}, range {entry['low']:.3f} to {entry['high']:.3f}"
    )


def _heading(block: Document) -> str:
    text = f"{block['target']}, {block['split']}: {block['n_images']:,} images"
    if block["patients_known"]:
        text += f" of {block['n_patients']:,} patients"
    left = [f"{n:,} of {name}" for name, n in block["left_out"].items() if n]
    text += f", positive: {block['positive']}" if block["positive"] else ""
    return f"{text}; left out: {', '.join(left)}" if left else text


def _runs(name: str, value: pd.DataFrame | Sequence[pd.DataFrame]) -> list[pd.DataFrame]:
    runs = [value] if isinstance(value, pd.DataFrame) else list(value)
    if not runs:
        raise PredictionsError(
            "Each model needs at least one predictions table", f"none for {name}"
        )
    return runs


def _check_request(runs: Mapping[str, Sequence[pd.DataFrame]], split: str) -> None:
    if len(runs) < 2:
        raise PredictionsError("A comparison needs two models or more", ", ".join(runs) or "none")
    if split not in SPLITS:
        raise PredictionsError(
            f"The split must be one of {', '.join(SPLITS)}",
            repr(split),
            did_you_mean(split, list(SPLITS)),
        )


def _block(matched: Matched, metrics: Sequence[str] | None, draw: tuple[int, int]) -> Document:
    models = [Model(name, runs) for name, runs in matched.runs.items()]
    wanted = _wanted(metrics, models[0])
    pairs = list(combinations(models, 2))
    needs_draws = not all(has_formula(name, *pair) for name in wanted for pair in pairs)
    drawn = resample_together(models, draw) if needs_draws else {}
    judged = matched.any_run
    return {
        "target": matched.target.name,
        "split": matched.split,
        "n_images": judged.n,
        "n_patients": judged.patients.n,
        "patients_known": judged.patients_known,
        "classes": list(matched.target.classes),
        "positive": matched.target.positive,
        "left_out": matched.left_out,
        "models": [
            {"name": model.name, "runs": len(model.runs), "metrics": _figures(model, drawn, draw)}
            for model in models
        ],
        "pairs": [
            {
                "first": first.name,
                "second": second.name,
                "metrics": {name: compare_pair(name, first, second, drawn) for name in wanted},
                "verdict": "",
            }
            for first, second in pairs
        ],
    }


def _wanted(metrics: Sequence[str] | None, model: Model) -> list[str]:
    known = known_metrics(model)
    for name in metrics or ():
        if name not in known:
            raise PredictionsError(
                f"Models are compared in metrics of target {model.judged.target.name!r}",
                repr(name),
                did_you_mean(name, known),
            )
    if metrics:
        return list(dict.fromkeys(metrics))
    return list(OF_TWO_CLASSES if model.judged.target.is_binary else OF_SEVERAL)


def _figures(model: Model, drawn: Draws, draw: tuple[int, int]) -> Document:
    judged = model.judged
    if len(model.runs) == 1:
        cells = len(judged.target.classes) * judged.codes + model.calls[0]
        return main_metrics(build_figures(judged, cells, draw), judged.target)
    return {name: _mean_figure(model, name, drawn) for name in known_metrics(model)}


def _mean_figure(model: Model, metric: str, drawn: Draws) -> Document:
    """The mean over a model's runs, with an interval over patients and runs."""
    n, value = len(model.runs), model.value(metric)
    if np.isnan(value):
        method = f"undefined: not defined in each of {n} runs"
        return {"value": None, "low": None, "high": None, "method": method}
    spread = drawn[model.name][model.key_of(metric)]
    low, high = percentile_interval(spread, CONFIDENCE)
    if not high > low:
        method = "no interval: resamples are undefined or all alike"
        return {"value": value, "low": None, "high": None, "method": method}
    method = (
        f"mean of {n} runs; bootstrap of patients and runs, percentile, {len(spread)} resamples"
    )
    return {"value": value, "low": low, "high": high, "method": method}


def _correct(blocks: Sequence[Document]) -> int:
    """Write the corrected p-values beside the plain ones; returns how many tests there were."""
    entries = [e for block in blocks for pair in block["pairs"] for e in pair["metrics"].values()]
    corrected = holm([entry["p"] for entry in entries])
    for entry, p in zip(entries, corrected.tolist(), strict=True):
        entry["p_corrected"] = None if np.isnan(p) else p
    return int((~np.isnan(corrected)).sum())


def _seeds(matched: Matched, metrics: Sequence[str] | None) -> Iterator[Document]:
    """Mean and spread over the runs of each model that has several."""
    for name, runs in matched.runs.items():
        model = Model(name, runs)
        if len(runs) < 2:
            continue
        for metric in _wanted(metrics, model):
            values = model.plain[model.key_of(metric)]
            known = not np.isnan(values).any()
            yield {
                "name": name,
                "target": matched.target.name,
                "n_classes": len(matched.target.classes),
                "metric": metric,
                "mean": float(values.mean()) if known else None,
                "spread": float(values.std(ddof=1)) if known else None,
                "low": float(values.min()) if known else None,
                "high": float(values.max()) if known else None,
                "n": len(values),
                "values": [None if np.isnan(value) else float(value) for value in values],
                "note": "" if known else "undefined in a run",
            }


def _notes(
    blocks: Sequence[Document], left: Sequence[str], n_tests: int, n_resamples: int
) -> Iterator[str]:
    """What a reader must know beside the figures."""
    if left:
        targets = ", ".join(left)
        yield f"Not every table has labels for the target {targets}, which was left out."
    if any(not block["patients_known"] for block in blocks):
        yield "No table knows patients: each image counted as a patient of its own."
    if any(block["split"] in ("validation", "train") for block in blocks):
        yield "These images were used to make the models, so the figures flatter them."
    tests = [e["test"] for b in blocks for pair in b["pairs"] for e in pair["metrics"].values()]
    if any("bootstrap" in test for test in tests):
        least = 2 / (n_resamples + 1) * n_tests
        if least > 1 - CONFIDENCE:
            yield (
                f"With {n_resamples:,} resamples and {n_tests} tests no bootstrapped p-value can "
                f"pass the correction (the least is {least:.2g}): draw more resamples."
            )
