"""Classes: how many, how rare, missing where, and other shares in one split than in the rest.

Counts patients wherever patients are what is independent. Reads the table alone; it does not know
pixels, and does not know which prevalence the clinic has.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import pandas as pd

from pellucid.auditing.findings import Finding, Level, found
from pellucid.data.index import Dataset
from pellucid.data.listing import count
from pellucid.task import Target

FEW_PATIENTS = 10
TOO_FEW_PATIENTS = 3  # one for each of train, validation and test
RARE_SHARE = 0.1
CHANCE = 0.01  # of a finding in splits that were dealt at random, all targets and classes together
UNEVEN_POINTS = 0.1
UNEVEN_ODDS = 2.0
"""A shift is worth a warning from ten points on, or when the odds of a class double or halve."""

Floats = npt.NDArray[np.float64]


def find_imbalance(dataset: Dataset) -> Iterator[Finding]:
    """Missing labels, classes with few patients or absent from a split, balance, prior shift."""
    for target in dataset.task.targets:
        missing = dataset.table[dataset.table[target.name].isna()]
        if len(missing):
            message = f"{count(len(missing), 'image')} have no label for {target.name!r}."
            yield found("NOTE", "missing_labels", message, rows=missing)
        for label in target.classes:
            yield from _few_patients(dataset, target.name, label)
            yield from _absent(dataset, target.name, label)
        yield _class_balance(dataset, target)
        yield from _prior_shift(dataset, target)


def _few_patients(dataset: Dataset, target: str, label: str) -> Iterator[Finding]:
    rows = dataset.table[dataset.table[target] == label]
    n = rows["patient_id"].nunique()
    if n >= FEW_PATIENTS:
        return
    level: Level = "FAIL" if n < TOO_FEW_PATIENTS else "WARN"
    who = count(n, "patient" if dataset.patients_known else "image")
    remedy = "Merge it into another class (--merge), or add patients."
    message = f"Class {label!r} of {target!r} has {who}."
    yield found(level, "few_patients", message, remedy=remedy, rows=rows, figures={"n": n})


def _absent(dataset: Dataset, target: str, label: str) -> Iterator[Finding]:
    table = dataset.table
    if "split" not in table:
        return
    has = set(table.loc[table[target] == label, "split"].unique())
    for split in table["split"].unique():
        if split not in has:
            level: Level = "FAIL" if split == "train" else "WARN"
            message = f"Class {label!r} of {target!r} does not stand in {split}."
            yield found(level, "absent_class", message, remedy="Correct the splits.")


def _class_balance(dataset: Dataset, target: Target) -> Finding:
    """The share of each class, and by split in the figures (for two classes in the sentence)."""
    labels = dataset.table[target.name]
    shares = labels.value_counts(normalize=True).reindex(list(target.classes), fill_value=0.0)
    figures = {str(label): float(share) for label, share in shares.items()}
    text = ", ".join(f"{label} {share:.1%}" for label, share in shares.items())
    if "split" in dataset.table:
        inside = pd.crosstab(dataset.table["split"], labels, normalize="index")
        inside = inside.reindex(columns=list(target.classes), fill_value=0.0)
        for split, row in inside.iterrows():
            figures |= {f"{split}: {label}": float(share) for label, share in row.items()}
        if target.positive:
            of_splits = [f"{split} {p:.1%}" for split, p in inside[target.positive].items()]
            text += f" ({target.positive} by split: {', '.join(of_splits)})"
    rare = shares.min() < RARE_SHARE / max(1, len(target.classes) - 1)
    return found(
        "WARN" if rare else "NOTE",
        "class_balance",
        f"Classes of {target.name!r}: {text}.",
        remedy="Accuracy would flatter; look at each class." if rare else "",
        figures=figures,
    )


@dataclass(frozen=True)
class Shift:
    """How far the share of a class in a split is from its share in the other splits."""

    split: str
    label: str
    inside: float
    outside: float
    p: float  # of so large a difference when patients are dealt to splits at random

    @property
    def is_large(self) -> bool:
        """Whether predictive values would be others, however sure the difference is."""
        odds = sorted(share / max(1 - share, 1e-9) for share in (self.inside, self.outside))
        apart = abs(self.inside - self.outside) > UNEVEN_POINTS
        return apart or odds[1] > UNEVEN_ODDS * odds[0]


def _prior_shift(dataset: Dataset, target: Target) -> Iterator[Finding]:
    """The widest gap among those that are both large and beyond chance.

    Another hospital has another prevalence, which is why it was brought in: only a note, and only
    where the other splits are alike.
    """
    if "split" not in dataset.table:
        return
    table = dataset.table
    inner = prior_shifts(table[table["split"] != "external_test"], target)
    outer = [shift for shift in prior_shifts(table, target) if shift.split == "external_test"]
    tests = max(1, len(inner) + len(outer)) * len(dataset.task.targets)
    levels: tuple[tuple[list[Shift], Level], ...] = ((inner, "WARN"), (outer, "NOTE"))
    for shifts, level in levels:
        sure = [shift for shift in shifts if shift.is_large and shift.p * tests < CHANCE]
        if sure:
            yield _uneven(target, max(sure, key=lambda s: abs(s.inside - s.outside)), level)
            return


def _uneven(target: Target, worst: Shift, level: Level) -> Finding:
    message = (
        f"{worst.label!r} of {target.name!r} makes {worst.inside:.0%} of {worst.split} and "
        f"{worst.outside:.0%} of the other images, more than chance explains."
    )
    remedy = "Predictive values will differ by split; deal the splits by class, or say why not."
    figures = {"inside": worst.inside, "outside": worst.outside, "p": worst.p}
    return found(level, "split_balance", message, remedy=remedy, figures=figures)


def prior_shifts(table: pd.DataFrame, target: Target) -> list[Shift]:
    """The share of each class in each split against the rest, tested by dealing patients anew.

    The sum over a split's patients of (their images of the class − their images × its share) has,
    when patients are dealt at random, mean 0 and the variance n (N−n) / (N (N−1)) Σ r². That is
    exact for any number of images a patient; the tail is taken as normal. Source: Hoeffding 1951,
    "A combinatorial central limit theorem".
    """
    known = table[["patient_id", "split", target.name]].dropna()
    images = known.groupby(["patient_id", "split", target.name], sort=False).size().unstack(-1)
    images = images.reindex(columns=list(target.classes)).fillna(0.0)
    counts = images.to_numpy(dtype=float)
    splits = images.index.get_level_values("split").to_numpy(dtype=object)
    if len(set(splits)) < 2:
        return []
    return [
        _shift((str(split), label), counts[:, k], counts.sum(axis=1), splits == split)
        for split in dict.fromkeys(splits)
        for k, label in enumerate(target.classes)
        if counts[:, k].any()
    ]


def _shift(
    names: tuple[str, str], of_class: Floats, images: Floats, inside: npt.NDArray[np.bool_]
) -> Shift:
    """`of_class` and `images` (n_patients,) are numbers of images; `inside` is the split."""
    residual = of_class - images * (of_class.sum() / images.sum())
    n, of_split = len(images), int(inside.sum())
    variance = of_split * (n - of_split) / (n * (n - 1)) * float((residual**2).sum())
    z = abs(float(residual[inside].sum())) / np.sqrt(variance) if variance > 0 else 0.0
    here, there = (float(of_class[k].sum() / images[k].sum()) for k in (inside, ~inside))
    return Shift(*names, here, there, 2 * NormalDist().cdf(-z))
