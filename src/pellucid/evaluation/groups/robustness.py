"""How far the judgement holds when pictures get worse: the main metric at each stated corruption.

From a table of predictions for the same images, corrupted; it sees no picture. A figure has the
interval that `figures` gives it everywhere else, so that the clean value is told in one way.
Changes are paired: every resample draws the same patients for the clean and for each corrupted
picture; where patients are too few for the interval of the figure, a change has none and is not
tested. It is told as more than chance after correction for all levels together.
Source: Hendrycks and Dietterich 2019 for curves over severities.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pellucid.errors import PredictionsError
from pellucid.evaluation.comparing.multiplicity import holm
from pellucid.evaluation.judged import Judged
from pellucid.evaluation.measures.averages import AVERAGES
from pellucid.evaluation.measures.metrics import Ranking
from pellucid.evaluation.predictions import PROBABILITY, check_predictions
from pellucid.evaluation.uncertainty.distributions import normal_share
from pellucid.evaluation.uncertainty.figures import Evidence
from pellucid.evaluation.uncertainty.intervals import percentile_interval, resample
from pellucid.evaluation.uncertainty.statistic import ALL, Statistic

MAIN_METRIC = "auroc"
LEVEL = 0.05
CONFIDENCE = 0.95

Floats = npt.NDArray[np.float64]
Level = tuple[str, int]  # corruption and severity
Stated = Mapping[str, tuple[str, tuple[float, ...]]]  # by corruption: unit, value at each severity

CLEAN: Level = ("", 0)


def judge_robustness(
    clean: Mapping[str, Judged],
    corrupted: pd.DataFrame,
    draw: tuple[int, int],
    *,
    stated: Stated | None = None,
) -> list[dict[str, Any]]:
    """The document's "robustness": one entry a target of `clean`, by the target's name.

    `corrupted` is a predictions table plus columns corruption and severity (1, 2, …). Images that
    are not in `clean` are ignored, those that miss a level are left out, and `n_images` says how
    many are compared; truth is that of `clean`. `stated` gives each corruption's unit and values.
    Raises `PredictionsError` where a column or a target is missing or no image is left.
    """
    parts = _levels(corrupted)
    return [_entry(judged, parts, draw, stated or {}) for judged in clean.values()]


def _levels(corrupted: pd.DataFrame) -> dict[Level, pd.DataFrame]:
    """The checked table of each corruption and severity, in the order in which they come."""
    for name in ("corruption", "severity"):
        if name not in corrupted:
            raise PredictionsError(f"A table of corrupted predictions needs the column {name}")
        if corrupted[name].isna().any():
            raise PredictionsError(f"Every row of corrupted predictions needs its {name}", "none")
    severity = pd.to_numeric(corrupted["severity"], errors="coerce")
    wrong = ~(severity >= 1) | (severity % 1 != 0)
    if wrong.any():
        found = repr(corrupted.loc[wrong, "severity"].iloc[0])
        raise PredictionsError("A severity is a whole number from 1 on", found)
    names = corrupted["corruption"].astype(str)
    levels = dict.fromkeys(zip(names, severity.astype(int), strict=True))
    return {
        (name, level): check_predictions(corrupted[(names == name) & (severity == level)])
        for name, level in levels
    }


@dataclass(frozen=True)
class _Aligned:
    """The images that every level has, and their probabilities (n, K) at each."""

    judged: Judged
    probabilities: dict[Level, Floats]


def _aligned(judged: Judged, parts: Mapping[Level, pd.DataFrame]) -> _Aligned:
    name = judged.target.name
    tables = {level: _rows_of(judged, table) for level, table in parts.items()}
    inside = np.ones(judged.n, dtype=bool)
    for table in tables.values():
        inside &= pd.Index(judged.image_ids).isin(table.index)
    if not inside.any() or not tables:
        rule = f"Every corruption needs predictions of the same images of target {name!r}"
        raise PredictionsError(rule, "none that all levels have")
    kept = judged.rows(inside)
    columns = [PROBABILITY + label for label in judged.target.classes]
    probabilities = {
        level: table.reindex(kept.image_ids)[columns].to_numpy(dtype=np.float64)
        for level, table in tables.items()
    }
    return _Aligned(kept, {CLEAN: kept.probabilities, **probabilities})


def _rows_of(judged: Judged, table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the target and split, by image."""
    absent = [c for c in judged.target.classes if PROBABILITY + c not in table]
    if absent:
        raise PredictionsError(f"Corrupted predictions need the column {PROBABILITY}{absent[0]}")
    rows = table[(table["target"] == judged.target.name) & (table["split"] == judged.split)]
    return rows.set_index("image_id")


class _Areas:
    """AUROC at every level for patient weights (b, n_patients): {level: (b,)}."""

    def __init__(self, aligned: _Aligned) -> None:
        judged = aligned.judged
        self._of_image = judged.patients.of_image
        k = len(judged.target.classes)
        classes = [1] if k == 2 else range(k)
        self._rankings = {
            level: [Ranking(shares[:, c], judged.codes == c) for c in classes]
            for level, shares in aligned.probabilities.items()
        }

    def __call__(self, weights: Floats) -> dict[Level, Floats]:
        of_images = weights[:, self._of_image]
        return {
            level: np.mean([ranking.auroc(of_images) for ranking in rankings], axis=0)
            for level, rankings in self._rankings.items()
        }


def _entry(
    judged: Judged, parts: Mapping[Level, pd.DataFrame], draw: tuple[int, int], stated: Stated
) -> dict[str, Any]:
    aligned = _aligned(judged, parts)
    areas = _Areas(aligned)
    plain = {
        level: float(value[0])
        for level, value in areas(np.ones((1, aligned.judged.patients.n))).items()
    }
    drawn = resample(areas, aligned.judged.patients, *draw)
    figures = {
        level: _figure(replace(aligned.judged, probabilities=shares), plain[level], draw)
        for level, shares in aligned.probabilities.items()
    }
    corruptions = _curves(figures, drawn, stated)
    costliest = _costliest(corruptions)
    return {
        "target": judged.target.name,
        "split": judged.split,
        "metric": MAIN_METRIC,
        "average": "" if judged.target.is_binary else AVERAGES[MAIN_METRIC],
        "n_images": aligned.judged.n,
        "n_patients": aligned.judged.patients.n,
        "corruptions": corruptions,
        "costliest": None if costliest is None else costliest["name"],
        "verdict": _verdict(costliest, "AUROC" if judged.target.is_binary else "macro AUROC"),
    }


def _curves(
    figures: Mapping[Level, dict[str, Any]], drawn: Mapping[Level, Floats], stated: Stated
) -> list[dict[str, Any]]:
    """Each corruption's levels, by severity."""
    clean = figures[CLEAN]
    levels = [level for level in figures if level != CLEAN]
    spreads = {level: drawn[level] - drawn[CLEAN] for level in levels}
    changes = {level: _change(clean, figures[level], spreads[level]) for level in levels}
    p_values = [_p_value(changes[level], spreads[level]) for level in levels]
    corrected = dict(zip(levels, holm(p_values).tolist(), strict=True))
    curves: dict[str, dict[str, Any]] = {}
    for level in sorted(levels, key=lambda level: level[1]):
        name, severity = level
        unit, values = stated.get(name, ("severity", ()))
        known = severity <= len(values)
        entry = {
            "severity": severity,
            "value": float(values[severity - 1]) if known else float(severity),
            "metric": figures[level],
            "change": changes[level],
            "p_corrected": None if np.isnan(corrected[level]) else corrected[level],
        }
        curve = {"name": name, "unit": unit if known else "severity", "clean": clean, "levels": []}
        curves.setdefault(name, curve)["levels"].append(entry)
    return [curves[name] for name in _in_order(level[0] for level in levels)]


def _in_order(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _figure(judged: Judged, value: float, draw: tuple[int, int]) -> dict[str, Any]:
    """The area with the interval that it has in the block of its split."""
    cells = len(judged.target.classes) * judged.codes + judged.probabilities.argmax(axis=1)
    evidence = Evidence(judged, cells, Statistic(judged, cells), draw)
    owner = judged.target.classes[1] if judged.target.is_binary else ALL
    return evidence.figure(owner, MAIN_METRIC, value)


def _change(clean: dict[str, Any], worse: dict[str, Any], spread: Floats) -> dict[str, Any]:
    if clean["value"] is None or worse["value"] is None:
        return {"value": None, "low": None, "high": None, "method": str(clean["method"])}
    change = {"value": worse["value"] - clean["value"], "low": None, "high": None}
    if clean["low"] is None:
        return {**change, "method": str(clean["method"])}
    low, high = percentile_interval(spread, CONFIDENCE)
    if np.isnan(low) or low == high:
        why = "undefined in many resamples" if np.isnan(low) else "every resample gave the same"
        return {**change, "method": f"no interval: {why}"}
    method = f"patient bootstrap, percentile, {len(spread)} resamples"
    return {**change, "low": low, "high": high, "method": method}


def _p_value(change: dict[str, Any], spread: Floats) -> float:
    """Two-sided, by the bootstrap's standard error; NaN where the change has no interval."""
    if change["low"] is None:
        return float("nan")
    return float(2 * normal_share(-abs(change["value"]) / float(np.std(spread))))


def _costliest(corruptions: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The corruption with the largest mean loss over its levels; None where none is defined."""
    costs = [
        (np.mean([level["change"]["value"] for level in c["levels"]]), number)
        for number, c in enumerate(corruptions)
        if all(level["change"]["value"] is not None for level in c["levels"])
    ]
    return corruptions[min(costs)[1]] if costs else None


def _verdict(costliest: dict[str, Any] | None, metric: str) -> str:
    if costliest is None:
        return "No change can be told: AUROC needs images of every class."
    level = min(costliest["levels"], key=lambda level: float(level["change"]["value"]))
    change, name = level["change"], costliest["name"].replace("_", " ")
    before, after = costliest["clean"]["value"], level["metric"]["value"]
    bounds = "" if change["low"] is None else f", {change['low']:+.3f} to {change['high']:+.3f}"
    said = (
        f"{name} costs most: {metric} goes from {before:.3f} to {after:.3f} at {level['value']:g} "
        f"({costliest['unit']}; change {change['value']:+.3f}{bounds})"
    ).replace(" -", " −")
    if level["p_corrected"] is None and change["value"] < 0:
        return f"{said}; whether that is more than chance cannot be told."
    lost = change["value"] < 0 and level["p_corrected"] < LEVEL
    return f"{said}." if lost else f"{said}, which is within chance."
