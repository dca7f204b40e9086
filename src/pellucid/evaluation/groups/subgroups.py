"""How good predictions are for each group of people, places and devices, and whether groups differ.

The block "subgroups" of `evaluation.json`: by every fact, each value's metrics with intervals, the
gap between the best and the worst, and a test of no difference, corrected for the number of facts.
Cells of few patients are suppressed: their figures would be noise, and the people might be
recognised. (A total minus the other cells still tells how many they are together.)
Sources: Obermeyer et al. 2019 and Seyyed-Kalantari et al. 2021 for why; CLAIM 2024 and TRIPOD+AI
ask for it; `group_gap` for the test and the gap.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pellucid.evaluation.comparing.multiplicity import holm
from pellucid.evaluation.groups.fact_groups import UNKNOWN, FactGroups, group_by_facts
from pellucid.evaluation.groups.group_gap import GroupAreas, compare_groups, gap_interval
from pellucid.evaluation.judged import Judged
from pellucid.evaluation.measures.averages import AVERAGES
from pellucid.evaluation.uncertainty.figures import Evidence
from pellucid.evaluation.uncertainty.statistic import ALL, Statistic

FEWEST_PATIENTS = 10
FEWEST_OF_A_CLASS = 5
MAIN_METRIC = "auroc"
LEVEL = 0.05  # of p_corrected, from which on a gap is told as more than chance
BINARY = ("auroc", "sensitivity", "specificity", "ppv", "npv")
MANY_CLASSES = ("auroc", "balanced_accuracy", "accuracy")

Ints = npt.NDArray[np.int64]


def judge_subgroups(
    judged: Judged,
    draw: tuple[int, int],
    *,
    cells: Ints | None = None,
    threshold: float = 0.5,
) -> list[dict[str, Any]]:
    """The block "subgroups": one entry a fact column that groups images; empty without any.

    `cells` (n,) are K · true + predicted; without them a positive is called from `threshold` on,
    and of more classes the most probable. `draw` is (resamples, seed), also of the permutations.
    A suppressed value has no metrics, and no counts where it has under 10 patients. "unknown" and
    suppressed values are not part of gap, p and verdict; these are None where under two are left.
    """
    if cells is None:
        cells = _cells(judged, threshold)
    entries = [_entry(judged, groups, cells, draw) for groups in group_by_facts(judged.facts)]
    corrected = holm([entry["p"] for entry in entries])
    n_tests = sum(entry["p"] is not None for entry in entries)
    for entry, p in zip(entries, corrected.tolist(), strict=True):
        entry["p_corrected"] = p if entry["p"] is not None else None
        entry["verdict"] = _verdict(entry, n_tests)
    return entries


def _cells(judged: Judged, threshold: float) -> Ints:
    k = len(judged.target.classes)
    if judged.target.is_binary:
        called = (judged.probabilities[:, 1] >= threshold).astype(np.int64)
    else:
        called = np.asarray(judged.probabilities.argmax(axis=1), dtype=np.int64)
    return k * judged.codes + called


def _entry(
    judged: Judged, groups: FactGroups, cells: Ints, draw: tuple[int, int]
) -> dict[str, Any]:
    """All but the corrected p and the verdict, which need the other facts."""
    values = [
        _value(judged.rows(groups.codes == k), name, cells[groups.codes == k], draw)
        for k, name in enumerate(groups.values)
    ]
    shown = [k for k in groups.known if not values[k]["suppressed"]]
    return {
        "fact": groups.fact,
        "values": values,
        "metric": MAIN_METRIC,
        **_difference(judged, groups.codes, shown, draw),
    }


def _value(part: Judged, name: str, cells: Ints, draw: tuple[int, int]) -> dict[str, Any]:
    reason = _why_suppressed(part)
    countable = part.patients.n >= FEWEST_PATIENTS
    return {
        "value": name,
        "n_images": part.n if countable else None,
        "n_patients": part.patients.n if countable else None,
        "suppressed": bool(reason),
        "reason": reason,
        "metrics": {} if reason else _figures(part, cells, draw),
    }


def _figures(part: Judged, cells: Ints, draw: tuple[int, int]) -> dict[str, Any]:
    """The figures of `build_figures` that are shown of a group, without the time of the others."""
    statistic = Statistic(part, cells)
    values = statistic(np.ones((1, part.patients.n)))
    evidence = Evidence(part, cells, statistic, draw)
    owner, names = (
        (part.target.classes[1], BINARY) if part.target.is_binary else (ALL, MANY_CLASSES)
    )
    figures = {name: evidence.figure(owner, name, float(values[owner, name][0])) for name in names}
    for name in AVERAGES.keys() & figures.keys() if owner == ALL else ():
        figures[name]["average"] = AVERAGES[name]
    return figures


def _why_suppressed(part: Judged) -> str:
    """Why a cell is too small to be shown; empty where it is not."""
    if part.patients.n < FEWEST_PATIENTS:
        return (
            f"fewer than {FEWEST_PATIENTS} patients: any figure would be noise, "
            "and they might be recognised"
        )
    for number, name in enumerate(part.target.classes):
        if len(np.unique(part.patients.of_image[part.codes == number])) < FEWEST_OF_A_CLASS:
            return f"fewer than {FEWEST_OF_A_CLASS} patients of class {name}"
    return ""


def _difference(
    judged: Judged, codes: Ints, shown: list[int], draw: tuple[int, int]
) -> dict[str, Any]:
    """The gap between the shown groups and its test."""
    if len(shown) < 2:
        return {"gap": None, "p": None, "test": "not made: fewer than two groups are large enough"}
    inside = np.isin(codes, shown)
    part, groups = judged.rows(inside), np.searchsorted(shown, codes[inside]).astype(np.int64)
    areas = GroupAreas(part, groups)
    values, covariance = areas(groups)
    low, high = gap_interval(values, covariance, areas.fewest, draw[1])
    p, test = compare_groups(part, groups, draw)
    gap = {
        "value": float(np.ptp(values)),
        "low": low,
        "high": high,
        "method": "largest minus smallest, from simultaneous intervals of all pairs, "
        "DeLong variances by patient",
    }
    return {"gap": gap, "p": p, "test": test}


def _verdict(entry: dict[str, Any], n_tests: int) -> str:
    fact, gap = entry["fact"], entry["gap"]
    if gap is None:
        return f"Groups by {fact} cannot be compared: fewer than two are large enough."
    shown = [v for v in entry["values"] if not v["suppressed"] and v["value"] != UNKNOWN]
    by_area = sorted(shown, key=lambda v: float(v["metrics"][MAIN_METRIC]["value"]))
    worst, best = (
        f"{v['metrics'][MAIN_METRIC]['value']:.2f} in {v['value']}"
        for v in (by_area[0], by_area[-1])
    )
    facts = f"{n_tests} facts" if n_tests > 1 else "one fact"
    p = f"p = {entry['p_corrected']:.2g}, corrected for {facts}"
    between = f"By {fact}, AUROC lies between {worst} and {best}"
    if entry["p_corrected"] < LEVEL:
        bounds = f"{gap['low']:.2f} to {gap['high']:.2f}"
        return f"{between}: a gap of {gap['value']:.2f} ({bounds}), more than chance ({p})."
    return (
        f"{between}, which is within chance ({p}); "
        f"a true gap of up to {gap['high']:.2f} is not ruled out."
    )
