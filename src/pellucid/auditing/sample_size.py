"""How much a test split can say: the width of interval to expect from its number of patients.

Known before anything is trained: the figures are those of an imagined classifier, AUROC 0.85 and
sensitivity 0.80, and one picture a patient. More pictures of a patient tell less than more patients
do, so they are not counted. Knows labels and splits, no pictures.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from pellucid.auditing.findings import Finding, Level, found
from pellucid.data.index import Dataset
from pellucid.data.split import FRACTIONS
from pellucid.task import Target

AUROC = 0.85
SENSITIVITY = 0.80
WIDE = 0.15
"""An AUROC of 0.85 known to ±0.15 may be anything from poor (0.70) to perfect: test says little."""
WANTED = 0.10

Z = 1.959964  # of the normal distribution, 95 % two-sided


@dataclass(frozen=True)
class Expected:
    """Half the width of the 95 % interval that is to be expected, one picture a patient."""

    auroc: float
    sensitivity: float


def expected_interval(
    n_positive: int,
    n_negative: int,
    *,
    auroc: float = AUROC,
    sensitivity: float = SENSITIVITY,
) -> Expected:
    """Half-widths of the intervals of AUROC and sensitivity for so many patients.

    Sources: Hanley and McNeil 1982, "The meaning and use of the area under a ROC curve" (AUROC);
    Wilson 1927, as recommended by Brown, Cai and DasGupta 2001 (sensitivity).

    >>> expected = expected_interval(28, 64)
    >>> round(expected.auroc, 3), round(expected.sensitivity, 3)
    (0.096, 0.144)
    """
    q1, q2 = auroc / (2 - auroc), 2 * auroc**2 / (1 + auroc)
    spread = auroc * (1 - auroc) + (n_positive - 1) * (q1 - auroc**2)
    spread += (n_negative - 1) * (q2 - auroc**2)
    return Expected(
        auroc=Z * math.sqrt(spread / (n_positive * n_negative)),
        sensitivity=wilson_half_width(sensitivity, n_positive),
    )


def wilson_half_width(share: float, n: int) -> float:
    """Half the width of Wilson's 95 % interval of a share among n patients."""
    return Z * math.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2)) / (1 + Z**2 / n)


def find_sample_size(dataset: Dataset) -> Iterator[Finding]:
    """The sample-size line, one a target: how well its test split would know the figures."""
    for target in dataset.task.targets:
        yield from _judge(dataset, target)


def _judge(dataset: Dataset, target: Target) -> Iterator[Finding]:
    counts, given = _patients_in_test(dataset, target)
    name = target.positive or min(counts, key=lambda label: counts[label])
    n_positive, n_negative = counts.pop(name), sum(counts.values())
    if not n_positive or not n_negative:
        return
    expected = expected_interval(n_positive, n_negative)
    wide = round(expected.auroc, 2) > WIDE
    level: Level = "WARN" if wide else "NOTE"
    yield found(
        level,
        "sample_size",
        _sentence(_who(dataset, target, name), (n_positive, n_negative), given, expected),
        remedy=_remedy(dataset, n_positive + n_negative, expected) if wide else "",
        figures={
            "target": target.name,
            "class": name,
            "n_positive": n_positive,
            "n_negative": n_negative,
            "auroc_half_width": round(expected.auroc, 3),
            "sensitivity_half_width": round(expected.sensitivity, 3),
        },
    )


def _patients_in_test(dataset: Dataset, target: Target) -> tuple[dict[str, int], bool]:
    """Patients of each class in test as it is given, or as it would be dealt.

    A patient with several classes counts once, for the positive or else the rarest of them.
    """
    table = dataset.table
    given = "split" in table and bool((table["split"] == "test").any())
    rows = table[table["split"] == "test"] if given else table
    pairs = rows[["patient_id", target.name]].dropna().drop_duplicates()
    sizes = pairs[target.name].value_counts()
    order = [target.positive, *sorted(target.classes, key=lambda label: sizes.get(label, 0))]
    rank = {label: place for place, label in reversed(list(enumerate(order)))}
    first = pairs[target.name].map(rank).groupby(pairs["patient_id"]).min()
    n = first.map(pd.Series(order)).value_counts()
    share = 1.0 if given else FRACTIONS[2]
    return {label: round(share * int(n.get(label, 0))) for label in target.classes}, given


def _who(dataset: Dataset, target: Target, name: str) -> tuple[str, str]:
    """What is counted, and how the class is called; a class "1" needs its target's name."""
    label = f"{target.name} {name}" if len(dataset.task.targets) > 1 else name
    return "patients" if dataset.patients_known else "images", label


def _sentence(
    who: tuple[str, str], counts: tuple[int, int], given: bool, expected: Expected
) -> str:
    noun, label = who
    start = f"{counts[0]:,} {label} and {counts[1]:,} other {noun} "
    start += "are in test" if given else f"would be in test (dealt {FRACTIONS[2]:.0%})"
    return (
        f"{'' if given else 'About '}{start}: expect an AUROC of {AUROC:.2f} to be known to "
        f"±{expected.auroc:.2f} and a sensitivity of {SENSITIVITY:.2f} to "
        f"±{expected.sensitivity:.2f}."
    )


def _remedy(dataset: Dataset, n: int, expected: Expected) -> str:
    # A half-width shrinks with the root of the number of patients.
    needed = math.ceil(n * (expected.auroc / WANTED) ** 2 / 10) * 10
    noun = "patients" if dataset.patients_known else "images"
    return (
        f"Test on about {needed:,} {noun} in all for ±{WANTED:.2f}, use folds, or state the "
        "interval with every figure."
    )
