"""Shortcuts: whether the label can be told from what should not tell it.

For each group of facts a small classifier that sees nothing else is cross-validated by patient. If
it tells the label well above chance, a network can learn the same and will fail where the habit of
this data does not hold. Knows facts and labels; it does not look at a picture.

Sources: Zech et al., "Variable generalization performance …" (PLoS Medicine 2018); DeGrave, Janizek
and Lee, "AI for radiographic COVID-19 detection selects shortcuts over signal" (2021).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from pellucid.auditing.findings import Finding, Level, found
from pellucid.auditing.shortcut_facts import FactGroup, fact_groups
from pellucid.data.folds import folds_by_patient
from pellucid.data.index import Dataset
from pellucid.evaluation.measures.metrics import Ranking
from pellucid.evaluation.uncertainty.intervals import group_patients, percentile_interval, resample
from pellucid.task import Target

if TYPE_CHECKING:
    from pellucid.data.cache import PixelCache

TOLD = 0.70
"""A group is reported when the interval of its AUROC lies above this: well above chance, and
beyond what the multiplicity of groups explains (0.5 would be far below)."""

FEW_PATIENTS = 10  # of a class; below it nothing is judged
_FOLDS = 5
_RESAMPLES = 500
_MOST_ROWS = 20_000
_BINS = 6
_EXAMPLES = 2  # of each class

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Told:
    """How well one group tells one target."""

    auroc: float
    low: float
    high: float
    scores: Floats  # (n, n_classes), out of fold


def find_shortcuts(dataset: Dataset, cache: PixelCache) -> Iterator[Finding]:
    """One finding for each group of facts that tells the labels of a target well above chance."""
    readable = np.flatnonzero(cache.readable)
    groups = fact_groups(dataset, cache.facts)
    codes = dataset.codes()
    for number, whole in enumerate(dataset.task.targets):
        rows = readable[codes[readable, number] >= 0]
        rows = _sample(dataset.table["patient_id"].to_numpy(dtype=object), rows)
        rows, target = _enough_patients(dataset, rows, number)
        if target is None:
            yield _not_judged(whole.name)
            continue
        part = _part(dataset, rows, target)
        labels = np.asarray(part.codes()[:, 0], dtype=np.int64)
        folds = np.asarray(folds_by_patient(part, _FOLDS, seed=0), dtype=np.int64)
        patients = part.table["patient_id"].to_numpy(dtype=object)
        for group in groups:
            columns = _columns(group.table.iloc[rows])
            if columns is None:
                continue
            told = _judge(columns, labels, folds, patients)
            if told is not None and told.low > TOLD:
                among = target.classes if target is not whole else ()
                yield _finding(part, group, told, among)


def _enough_patients(dataset: Dataset, rows: Ints, number: int) -> tuple[Ints, Target | None]:
    """The rows of the classes with enough patients to judge, and the target of these alone.

    None where fewer than two such classes are left: one rare class must not hide what tells the
    others apart.
    """
    target = dataset.task.targets[number]
    part = dataset.table.iloc[rows]
    sizes = part.groupby(target.name)["patient_id"].nunique()
    classes = tuple(name for name in target.classes if sizes.get(name, 0) >= FEW_PATIENTS)
    if len(classes) < 2:
        return rows, None
    if len(classes) == len(target.classes):
        return rows, target
    return rows[part[target.name].isin(classes)], Target(name=target.name, classes=classes)


def _part(dataset: Dataset, rows: Ints, target: Target) -> Dataset:
    """The rows and the one target that are judged now."""
    task = dataset.task.model_copy(update={"targets": (target,)})
    table = dataset.table.iloc[rows].reset_index(drop=True)
    return Dataset(table, task, dataset.name, dataset.source)


def _sample(patients: npt.NDArray[np.object_], rows: Ints) -> Ints:
    """At most `_MOST_ROWS` rows, of whole patients, always the same ones."""
    if len(rows) <= _MOST_ROWS:
        return rows
    codes, names = pd.factorize(patients[rows])
    order = np.random.default_rng(0).permutation(len(names))
    kept = np.cumsum(np.bincount(codes)[order]) <= _MOST_ROWS
    return np.asarray(rows[np.isin(codes, order[kept])], dtype=np.int64)


def _not_judged(target: str) -> Finding:
    message = (
        f"Whether {target!r} can be told from what should not tell it was not judged: fewer than "
        f"two classes have {FEW_PATIENTS} patients."
    )
    return found("NOTE", "shortcuts_not_judged", message)


def _columns(table: pd.DataFrame) -> Floats | None:
    """Facts as 0 and 1: numbers in quantile bins, words as themselves; None if nothing varies."""
    parts = []
    for name in table.columns:
        column = table[name]
        if column.nunique(dropna=False) < 2:
            continue
        if pd.api.types.is_numeric_dtype(column) and column.nunique() > _BINS:
            edges = np.unique(column.quantile(np.linspace(0, 1, _BINS + 1)[1:-1]).to_numpy())
            words = pd.Series(np.digitize(column.to_numpy(dtype=np.float64), edges))
            words = words.where(column.notna().to_numpy(), -1)
        else:
            common = column.value_counts().index[:20]
            words = column.where(column.isin(common) | column.isna(), "other").astype(str)
        parts.append(pd.get_dummies(words.reset_index(drop=True), dtype=np.float64).to_numpy())
    return np.concatenate(parts, axis=1) if parts else None


def _judge(
    columns: Floats, labels: Ints, folds: Ints, patients: npt.NDArray[np.object_]
) -> _Told | None:
    """AUROC (one-vs-rest, macro) of out-of-fold scores, with its interval by patient."""
    n_classes = int(labels.max()) + 1
    scores = np.zeros((len(labels), n_classes))
    for fold in range(_FOLDS):
        scores[folds == fold] = _fitted(columns, labels, folds == fold, n_classes)
    classes = [1] if n_classes == 2 else list(range(n_classes))
    rankings = [Ranking(scores[:, k], labels == k) for k in classes]

    def macro(weights: Floats) -> Floats:
        return np.asarray(np.mean([ranking.auroc(weights) for ranking in rankings], axis=0))

    value = float(macro(np.ones((1, len(labels))))[0])
    if not value > TOLD:  # nothing to report, whatever its interval
        return None
    who = group_patients(patients, labels, n_classes)
    drawn = resample(lambda w: {"auroc": macro(w[:, who.of_image])}, who, _RESAMPLES, seed=0)
    return _Told(value, *percentile_interval(drawn["auroc"]), scores)


def _fitted(
    columns: Floats, labels: Ints, held_out: npt.NDArray[np.bool_], n_classes: int
) -> Floats:
    """Probabilities of the held-out rows from a logistic regression on the others."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=1.0, max_iter=200)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a rough fit tells enough
        model.fit(columns[~held_out], labels[~held_out])
    scores = np.zeros((int(held_out.sum()), n_classes))
    scores[:, model.classes_] = model.predict_proba(columns[held_out])
    return scores


def _finding(part: Dataset, group: FactGroup, told: _Told, among: tuple[str, ...]) -> Finding:
    """A finding; `among` are the classes that were judged, where they are not all."""
    (target,) = part.task.targets
    name, classes = target.name, target.classes
    only = f" (among {', '.join(among)})" if among else ""
    level: Level = "NOTE" if group.may_tell else "WARN"
    message = (
        f"{name!r}{only} can be told from {group.words} alone: AUROC {told.auroc:.2f} "
        f"({told.low:.2f}–{told.high:.2f}) without looking at anything else."
    )
    labels = part.codes()[:, 0]
    ids = part.table["image_id"].to_numpy(dtype=object)
    groups = []
    for label in range(len(classes)):
        inside = np.flatnonzero(labels == label)
        surest = inside[np.argsort(-told.scores[inside, label], kind="stable")[:_EXAMPLES]]
        groups.append([str(ids[row]) for row in surest])
    if len(groups) == 2:  # the two classes side by side
        groups = [[*groups[0], *groups[1]]]
    figures: dict[str, float | int | str] = {
        "auroc": round(told.auroc, 4),
        "low": round(told.low, 4),
        "high": round(told.high, 4),
        "n": len(labels),
        "target": name,
        "facts": ", ".join(map(str, group.table.columns)),
    }
    return found(
        level,
        f"shortcut_{group.name}",
        message,
        remedy=group.remedy,
        groups=groups if group.show_pictures else (),
        figures=figures,
    )
