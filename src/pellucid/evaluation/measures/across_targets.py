"""Several targets at once (multi-label): the mean of a metric over them, resampled by patient.

Each target counts alike, whatever its prevalence. One draw of patients serves all targets, since
they stand on the same images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from pellucid.evaluation.judged import Judged
from pellucid.evaluation.measures.ranks import ClassRanks
from pellucid.evaluation.uncertainty.intervals import Patients, percentile_interval, resample

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
METRICS = ("auroc", "auprc")
FEWEST = 10  # patients of each class of each target, as for a single target's AUROC


def average_targets(
    judged: Mapping[str, list[Judged]], draw: tuple[int, int]
) -> list[dict[str, Any]]:
    """One entry a split in which two or more targets are judged; empty for a single target."""
    splits = list(dict.fromkeys(part.split for parts in judged.values() for part in parts))
    entries = []
    for split in splits:
        parts = [part for parts in judged.values() for part in parts if part.split == split]
        if len(parts) > 1:
            entries.append(_average(split, parts, draw))
    return entries


def _average(split: str, parts: list[Judged], draw: tuple[int, int]) -> dict[str, Any]:
    ids = np.unique(np.concatenate([part.patient_ids.astype(str) for part in parts]))
    patients = Patients(np.arange(len(ids)), np.zeros(len(ids), dtype=np.int64))
    measures = [_measure(part, ids) for part in parts]

    def mean(weights: Floats) -> dict[str, Floats]:
        values = [measure(weights) for measure in measures]
        return {name: np.mean([value[name] for value in values], axis=0) for name in METRICS}

    too_few = next((reason for part in parts for reason in _too_few(part)), "")
    plain = mean(np.ones((1, len(ids))))
    drawn = resample(mean, patients, *draw)
    return {
        "split": split,
        "targets": [part.target.name for part in parts],
        "n_patients": len(ids),
        "average": f"macro: the mean over {len(parts)} targets, each counting alike",
        "metrics": {name: _figure(float(plain[name][0]), drawn[name], too_few) for name in METRICS},
    }


def _measure(part: Judged, ids: npt.NDArray[np.str_]) -> Callable[[Floats], dict[str, Floats]]:
    """AUROC and AUPRC of one target (its positive class, or the macro mean) by patient weights."""
    owners = np.searchsorted(ids, part.patient_ids.astype(str)).astype(np.int64)
    ranks = ClassRanks(part.probabilities, part.codes, owners)

    def measure(weights: Floats) -> dict[str, Floats]:
        by_class = ranks(weights)
        chosen = slice(1, 2) if part.target.is_binary else slice(None)
        return {name: by_class[name][:, chosen].mean(axis=1) for name in METRICS}

    return measure


def _too_few(part: Judged) -> Iterator[str]:
    """The classes whose patients are too few for an interval, in words."""
    for code, name in enumerate(part.target.classes):
        n = len(np.unique(part.patients.of_image[part.codes == code]))
        if n < FEWEST:
            who = "1 patient has" if n == 1 else f"{n} patients have"
            of = f"images of class {name} of {part.target.name}"
            yield f"only {who} {of}, and the method holds from {FEWEST} on"


def _figure(value: float, drawn: Floats, too_few: str) -> dict[str, Any]:
    if np.isnan(value):
        method = "undefined: a target has no image of one of its classes"
        return {"value": None, "low": None, "high": None, "method": method}
    low, high = percentile_interval(drawn)
    reason = too_few
    if not reason and np.isnan(low):
        reason = "undefined in more than one of ten resamples"
    if not reason and low == high:
        reason = "every resample gave the same value"
    if reason:
        method = f"no interval: {reason}"
        return {"value": value, "low": None, "high": None, "method": method}
    method = f"patient bootstrap, percentile, {len(drawn)} resamples"
    return {"value": value, "low": low, "high": high, "method": method}
