"""From images to patients: one probability and one label a patient, by mean, max or noisy-or.

What is judged is again a `Judged`, with one row a patient, so that every measure of this room takes
it. Only labelled images count, since a `Judged` holds no others.
Sources: Pearl 1988, ch. 4 (noisy-or); Maron and Lozano-Pérez 1998 (a bag is positive when any of
its members is).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from pellucid.errors import UsageError, did_you_mean
from pellucid.evaluation.judged import Judged

RULES = {
    "mean": "the mean of the images' probabilities",
    "max": "the highest of the images' probabilities (K > 2: of each class, scaled to sum to 1)",
    "noisy_or": "1 - the product of 1 - p of the positive class (K > 2: as the mean)",
}
"""How a patient's probabilities come from those of the images, in words."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class PatientLevel:
    """One target and split with a row a patient.

    `judged` is None where no patient is left. `n_mixed` patients have images of different classes;
    `n_left_out` of them have no label for that and are left out, `reason` says which and why.
    """

    judged: Judged | None
    rule: str
    n_mixed: int
    n_left_out: int
    reason: str


def by_patient(judged: Judged, rule: str) -> PatientLevel:
    """The patients of `judged`, their probabilities by `rule` (a key of `RULES`), their labels.

    A patient's label is that of the images where they agree. Where they do not: of two classes the
    patient is positive, since one diseased image makes a diseased patient; of more classes there is
    no such rule and the patient is left out. Rows are in the order of the patients' names; the
    image_id of a row is the patient's; a fact is kept where all of a patient's images agree.
    Noisy-or takes the images for independent witnesses, which those of one patient are not: it
    ranks patients with many images high.
    Raises `UsageError` for an unknown rule.
    """
    if rule not in RULES:
        raise UsageError("A rule for patients is known", repr(rule), did_you_mean(rule, [*RULES]))
    k, of_image = len(judged.target.classes), judged.patients.of_image
    shows = np.zeros((judged.patients.n, k), dtype=bool)
    shows[of_image, judged.codes] = True
    mixed = shows.sum(axis=1) > 1
    kept = np.ones_like(mixed) if k == 2 else ~mixed
    n_left_out = int((~kept).sum())
    # The last class shown: the only one, or the positive one of two.
    everyone = Judged(
        target=judged.target,
        split=judged.split,
        probabilities=_combined(judged.probabilities, of_image, rule),
        codes=(k - 1 - shows[:, ::-1].argmax(axis=1)).astype(np.int64),
        table=_patient_rows(judged),
    )
    return PatientLevel(
        judged=everyone.rows(kept) if kept.any() else None,
        rule=rule,
        n_mixed=int(mixed.sum()),
        n_left_out=n_left_out,
        reason=_reason(int(mixed.sum()), n_left_out, judged),
    )


def _combined(probabilities: Floats, of_image: Ints, rule: str) -> Floats:
    """Probabilities (n_patients, K) from those of images (n, K); of_image (n,) are patients."""
    order = np.argsort(of_image, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(of_image[order]) > 0])
    rows = probabilities[order]
    binary = probabilities.shape[1] == 2
    if rule == "max":
        highest = np.maximum.reduceat(rows, starts, axis=0)
        return _of_two(highest[:, 1]) if binary else highest / highest.sum(axis=1, keepdims=True)
    if rule == "noisy_or" and binary:
        with np.errstate(divide="ignore"):  # log 0 of a certain image: -inf, and the patient is 1
            none = np.add.reduceat(np.log1p(-rows[:, 1]), starts)
        return np.stack([np.exp(none), -np.expm1(none)], axis=1)
    counts = np.diff(np.r_[starts, len(rows)])
    return np.asarray(np.add.reduceat(rows, starts, axis=0) / counts[:, None])


def _of_two(positive: Floats) -> Floats:
    return np.stack([1 - positive, positive], axis=1)


def _patient_rows(judged: Judged) -> pd.DataFrame:
    """A row a patient: its name and the facts on which its images agree (the others are empty)."""
    facts = judged.facts.groupby(judged.patients.of_image)
    same = facts.nunique(dropna=False) == 1
    names = pd.Series(judged.patient_ids).groupby(judged.patients.of_image).first()
    table = facts.first().where(same)
    table.insert(0, "image_id", names)
    table.insert(1, "patient_id", names)
    return table.reset_index(drop=True)


def _reason(n_mixed: int, n_left_out: int, judged: Judged) -> str:
    who = "1 patient has" if n_mixed == 1 else f"{n_mixed} patients have"
    if n_left_out:
        done = "is left out" if n_left_out == 1 else "are left out"
        return f"{who} images of different classes and {done}: no single label is theirs"
    if n_mixed:
        counts = "counts" if n_mixed == 1 else "count"
        return f"{who} images of both classes and {counts} as {judged.target.classes[1]}"
    return ""
