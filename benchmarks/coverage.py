"""How often the intervals of the figures hold the truth, where the truth is known.

Patients with one or more images are made up, whose scores agree within a patient (correlation 0.5)
and are normal in each class, so that AUROC, sensitivity, specificity and accuracy are known exactly
and the other metrics from two million images. The product's own code (`Evidence.figure`) then gives
the intervals. An interval promises to hold the truth 95 times in 100; the table says how often it
did, among how many given, with the simulation's own error. A second table compares the methods that
could have been chosen.

Run: python benchmarks/coverage.py --json benchmarks/results/coverage.json   (about 10 minutes)
     python benchmarks/coverage.py --quick                                   (about 1 minute)
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, ndtr, ndtri
from scipy.stats import norm

from machine import publish
from pellucid.evaluation.judged import Judged
from pellucid.evaluation.uncertainty.delong import auroc_delong, logit_interval
from pellucid.evaluation.uncertainty.figures import Evidence
from pellucid.evaluation.uncertainty.intervals import (
    Patients,
    bca_interval,
    jackknife_interval,
    leave_out,
    percentile_interval,
    resample,
)
from pellucid.evaluation.uncertainty.methods import METHODS
from pellucid.evaluation.uncertainty.proportions import (
    clopper_pearson,
    kish_size,
    share_interval,
    wilson,
)
from pellucid.evaluation.uncertainty.statistic import ALL, Statistic
from pellucid.task import Target

AGREEMENT = 0.5  # correlation of two scores of one patient
TARGET = Target(name="label", classes=("no", "yes"))
EXACT = (
    ("yes", "auroc"),
    ("yes", "sensitivity"),
    ("yes", "specificity"),
    ("yes", "ppv"),
    ("yes", "npv"),
    (ALL, "accuracy"),
)
RESAMPLED = (
    ("yes", "auprc"),
    ("yes", "f1"),
    (ALL, "balanced_accuracy"),
    (ALL, "matthews"),
    (ALL, "kappa"),
    (ALL, "brier"),
    (ALL, "log_loss"),
    ("yes", "positive_likelihood_ratio"),
    ("yes", "negative_likelihood_ratio"),
    ("yes", "specificity_at_sensitivity_90"),
    ("yes", "sensitivity_at_specificity_90"),
    ("yes", "specificity_at_sensitivity_95"),
)
SHORT = {
    "balanced_accuracy": "balanced",
    "positive_likelihood_ratio": "LR+",
    "negative_likelihood_ratio": "LR-",
    "specificity_at_sensitivity_90": "spec@90",
    "sensitivity_at_specificity_90": "sens@90",
    "specificity_at_sensitivity_95": "spec@95",
    "sensitivity": "sens",
    "specificity": "spec",
}


@dataclass(frozen=True)
class Cell:
    """One setting: images in all and a patient, prevalence, mixed patients or not, true AUROC."""

    n: int
    prevalence: float
    images: int
    mixed: bool
    auroc: float

    @property
    def distance(self) -> float:
        """How far apart the classes' scores are, in standard deviations."""
        return float(ndtri(self.auroc) * math.sqrt(2))


def cells(numbers: tuple[int, ...]) -> list[Cell]:
    """The settings: with several images, patients of one class each and patients of both."""
    designs = [(1, False), (3, False), (3, True), (10, False), (10, True)]
    return [
        Cell(n, prevalence, images, mixed, auroc)
        for n, prevalence, (images, mixed), auroc in itertools.product(
            numbers, (0.02, 0.1, 0.5), designs, (0.75, 0.9)
        )
    ]


def sample(cell: Cell, generator: np.random.Generator) -> Judged:
    """One test set: classes, scores that agree within patients, and probabilities from them."""
    of_image = np.arange(cell.n) // cell.images
    n_patients = int(of_image[-1]) + 1
    if cell.mixed:
        liability = generator.normal(size=n_patients)[of_image] + generator.normal(size=cell.n)
        codes = (liability < math.sqrt(2) * ndtri(cell.prevalence)).astype(np.int64)
    else:
        codes = (generator.random(n_patients) < cell.prevalence)[of_image].astype(np.int64)
    own = generator.normal(size=cell.n) * math.sqrt(1 - AGREEMENT)
    shared = generator.normal(size=n_patients)[of_image] * math.sqrt(AGREEMENT)
    return judged_from(cell, codes, cell.distance * codes + own + shared, of_image)


def judged_from(cell: Cell, codes: Any, scores: Any, of_image: Any) -> Judged:
    """The test set as the product sees it; 0.5 is the threshold with equal error rates."""
    positive = expit(cell.distance * (scores - cell.distance / 2))
    judged = Judged(TARGET, "test", np.stack([1 - positive, positive], axis=1), codes, NO_TABLE)
    shows = np.zeros((int(of_image[-1]) + 1, 2), dtype=np.int64)
    shows[of_image, codes] = 1
    stratum = np.unique(shows @ [1, 2], return_inverse=True)[1].reshape(-1)
    vars(judged)["patients"] = Patients(of_image, stratum)  # as group_patients, without names
    return judged


NO_TABLE = pd.DataFrame()


def called(judged: Judged) -> Any:
    """Where each image stands in the confusion matrix (n,)."""
    return 2 * judged.codes + (judged.probabilities[:, 1] >= 0.5)


@cache
def truths(prevalence: float, auroc: float) -> dict[tuple[str, str], float]:
    """The true metrics: exact where a formula is known, else of two million images."""
    cell = Cell(2_000_000, prevalence, 1, False, auroc)
    judged = sample(cell, np.random.default_rng(1))
    found = Statistic(judged, called(judged))(np.ones((1, cell.n)))
    right = float(ndtr(cell.distance / 2))
    positive, negative = prevalence * right, (1 - prevalence) * right
    exact = {
        ("yes", "auroc"): auroc,
        ("yes", "sensitivity"): right,
        ("yes", "specificity"): right,
        ("yes", "ppv"): positive / (positive + (1 - prevalence) * (1 - right)),
        ("yes", "npv"): negative / (negative + prevalence * (1 - right)),
        (ALL, "accuracy"): right,
        (ALL, "balanced_accuracy"): right,
        ("yes", "positive_likelihood_ratio"): right / (1 - right),
        ("yes", "negative_likelihood_ratio"): (1 - right) / right,
    }
    return {key: float(row[0]) for key, row in found.items()} | exact


@dataclass
class Tally:
    """How many intervals were asked for and given, held the truth, and how wide they were."""

    asked: int = 0
    given: int = 0
    held: int = 0
    width: float = 0.0

    def add(self, low: float | None, high: float | None, truth: float) -> None:
        """Count one interval; None or NaN where there is none."""
        self.asked += 1
        if low is not None and high is not None and not math.isnan(low):
            self.given += 1
            self.held += low <= truth <= high
            self.width += high - low

    def row(self) -> dict[str, Any]:
        """Coverage and the error that simulation gives one of 95, and the share given, per cent."""
        if not self.given:
            return {"coverage": None, "error": None, "given": 0.0, "asked": self.asked}
        return {
            "coverage": round(100 * self.held / self.given, 1),
            "error": round(100 * math.sqrt(0.95 * 0.05 / self.given), 1),
            "given": round(100 * self.given / self.asked, 1),
            "asked": self.asked,
            "width": round(self.width / self.given, 4),
        }


def judge_cell(cell: Cell, repeats: int, resampled: int) -> dict[tuple[str, str], Tally]:
    """Coverage of every metric in one setting; those of `RESAMPLED` with fewer repeats."""
    generator = np.random.default_rng(
        [cell.n, int(1000 * cell.prevalence), cell.images, cell.mixed, int(100 * cell.auroc)]
    )
    tallies: dict[tuple[str, str], Tally] = defaultdict(Tally)
    truth = truths(cell.prevalence, cell.auroc)
    for repeat in range(repeats):
        judged = sample(cell, generator)
        statistic = Statistic(judged, called(judged))
        values = statistic(np.ones((1, judged.patients.n)))
        evidence = Evidence(judged, called(judged), statistic, (400, repeat))
        for key in EXACT + (RESAMPLED if repeat < resampled else ()):
            figure = evidence.figure(*key, float(values[key][0]))
            tallies[key].add(figure["low"], figure["high"], truth[key])
    return tallies


def alternatives(judged: Judged, seed: int) -> Iterator[tuple[tuple[str, str], str, Any]]:
    """Every method that could be chosen for some metrics: key, method, bounds."""
    cells_of = called(judged)
    statistic, patients = Statistic(judged, cells_of), judged.patients
    plain = statistic(np.ones((1, patients.n)))
    left_out = leave_out(statistic, patients)
    worth = [kish_size(np.bincount(patients.of_image[judged.codes == k])) for k in (0, 1)]
    for stratified, name in ((True, "within classes"), (False, "over all patients")):
        drawn = resample(statistic, patients, 400, seed, stratified=stratified)
        for key in COMPARED:
            value = float(plain[key][0])
            yield key, f"bootstrap {name}, percentile", percentile_interval(drawn[key])
            yield key, f"bootstrap {name}, BCa", bca_interval(drawn[key], value, left_out[key])
    for key in COMPARED:
        scale = METHODS[key[1]].scale or "logit"
        bounds = jackknife_interval(
            float(plain[key][0]), left_out[key], scale, max(min(worth) - 1, 1)
        )
        yield key, f"jackknife, {scale} scale, t", bounds
    key = ("yes", "auroc")
    value, variance = auroc_delong(judged.probabilities[:, 1], judged.codes == 1, patients.of_image)
    reach = norm.ppf(0.975) * math.sqrt(variance)
    yield key, "DeLong, plain scale, z", (value - reach, value + reach)
    yield key, "DeLong, logit scale, z", logit_interval(value, variance)
    yield key, "DeLong, logit scale, t", logit_interval(value, variance, min(worth) - 1)
    yield from _share_methods(judged, cells_of)


def _share_methods(judged: Judged, cells_of: Any) -> Iterator[tuple[tuple[str, str], str, Any]]:
    key, of_image = ("yes", "sensitivity"), judged.patients.of_image
    sizes = np.bincount(of_image[judged.codes == 1], minlength=judged.patients.n)
    hits = np.bincount(of_image[cells_of == 3], minlength=judged.patients.n)[sizes > 0]
    sizes = sizes[sizes > 0]
    n, share = int(sizes.sum()), hits.sum() / sizes.sum()
    yield key, "Wilson, images", wilson(share, n)
    yield key, "Clopper-Pearson, images", clopper_pearson(hits.sum(), n)
    yield key, "Wilson, patients", wilson(share, len(sizes))
    yield key, "Wilson, Korn-Graubard", share_interval(hits, sizes)[:2]


COMPARED = (
    ("yes", "auroc"),
    ("yes", "sensitivity"),
    ("yes", "ppv"),
    ("yes", "f1"),
    ("yes", "auprc"),
    (ALL, "matthews"),
    (ALL, "brier"),
    ("yes", "specificity_at_sensitivity_90"),
    (ALL, "calibration_error"),
)
CONTESTS = [
    Cell(200, 0.1, 1, False, 0.9),
    Cell(600, 0.1, 3, False, 0.9),
    Cell(200, 0.5, 1, False, 0.75),
    Cell(1000, 0.5, 10, True, 0.75),
]


def compare_methods(repeats: int) -> list[dict[str, Any]]:
    """Coverage of each method, by metric and setting."""
    tallies: dict[tuple[str, str, int], Tally] = defaultdict(Tally)
    for number, cell in enumerate(CONTESTS):
        generator = np.random.default_rng([9, number])
        truth = truths(cell.prevalence, cell.auroc)
        for repeat in range(repeats):
            judged = sample(cell, generator)
            if len(np.unique(judged.codes)) < 2:
                continue
            for key, method, bounds in alternatives(judged, repeat):
                tallies[key[1], method, number].add(*bounds, truth[key])
    methods = dict.fromkeys((metric, method) for metric, method, _ in tallies)
    return [
        {
            "metric": metric,
            "method": method,
            **{
                f"{c.n} images, {c.images} a patient, prevalence {c.prevalence:g}": tallies[
                    metric, method, number
                ].row()["coverage"]
                for number, c in enumerate(CONTESTS)
            },
        }
        for metric, method in methods
    ]


def summarise(found: dict[Cell, dict[tuple[str, str], Tally]]) -> list[dict[str, Any]]:
    """A row a size, prevalence and images a patient; both AUROCs and both designs pooled."""
    groups = dict.fromkeys((c.n, c.prevalence, c.images) for c in found)
    rows = []
    for group in groups:
        parts = [t for c, t in found.items() if (c.n, c.prevalence, c.images) == group]
        row: dict[str, Any] = dict(zip(("n", "prevalence", "images"), group, strict=True))
        for key in EXACT + RESAMPLED:
            total = Tally()
            for part in parts:
                for field in ("asked", "given", "held", "width"):
                    setattr(total, field, getattr(total, field) + getattr(part[key], field))
            told = total.row()
            row[SHORT.get(key[1], key[1])] = (
                f"{told['coverage']}±{told['error']} ({told['given']})" if total.given else "-"
            )
        rows.append(row)
    return rows


def overview(settings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each metric over the cells of n, prevalence and images in which intervals are usual.

    A cell pools its settings (AUROC, how patients mix); it counts from one interval in five given.
    `within` are cells that hold 93.5 to 96.5 % within two simulation errors.
    """
    cells: dict[str, dict[tuple[Any, ...], list[float]]] = defaultdict(dict)
    for row in settings:
        given = row["asked"] * row["given"] / 100
        cell = cells[row["metric"]].setdefault(
            (row["n"], row["prevalence"], row["images"]), [0.0, 0.0, 0.0]
        )
        cell[0] += given * (row["coverage"] or 0.0)
        cell[1] += given
        cell[2] += row["asked"]
    rows = []
    for metric, found in cells.items():
        usual = [(held / n, n) for held, n, asked in found.values() if n >= 0.2 * asked]
        if usual:
            shares = [share for share, _ in usual]
            error = [200 * math.sqrt(0.95 * 0.05 / n) for _, n in usual]
            within = sum(93.5 - e <= c <= 96.5 + e for c, e in zip(shares, error, strict=True))
            pooled = sum(c * n for c, n in usual) / sum(n for _, n in usual)
            rows.append(
                {"metric": metric, "cells": len(usual), "held": round(pooled, 1)}
                | {"least": round(min(shares), 1), "most": round(max(shares), 1)}
                | {"within": int(within)}
                | {"below": int(sum(c < 93.5 - e for c, e in zip(shares, error, strict=True)))}
            )
    return rows


def main() -> None:
    """Simulate, print the tables and write them with every setting's numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--quick", action="store_true", help="fewer settings and repeats")
    arguments = parser.parse_args()
    sizes = (50, 200) if arguments.quick else (50, 200, 1000, 5000)
    repeats = (100, 40) if arguments.quick else (800, 200)
    found = {}
    for cell in cells(sizes):
        slow = cell.n >= 1000
        resampled = repeats[1] // (2 if slow else 1)
        found[cell] = judge_cell(cell, repeats[0] // (2 if cell.n >= 5000 else 1), resampled)
    contests = compare_methods(20 if arguments.quick else 200)
    command = "python benchmarks/coverage.py" + (" --quick" if arguments.quick else "")
    print("Held the truth, per cent ± simulation error (per cent of intervals given)")
    publish(summarise(found), command, arguments.json)
    print("\nMethods compared: held the truth, per cent")
    publish(contests, command, None)
    settings = [
        {**vars(cell), "metric": key[1], **tally.row()}
        for cell, tallies in found.items()
        for key, tally in tallies.items()
    ]
    print("\nEach metric over all cells, per cent")
    publish(overview(settings), command, None)
    if arguments.json:
        document = json.loads(arguments.json.read_text())
        document |= {"methods_compared": contests, "overview": overview(settings)}
        lines = ",\n  ".join(json.dumps(row) for row in settings)  # a line each: there are 2,160
        whole = json.dumps(document, indent=1).rstrip().removesuffix("}").rstrip()
        arguments.json.write_text(f'{whole},\n "settings": [\n  {lines}\n ]\n}}\n')


if __name__ == "__main__":
    sys.exit(main())
