"""Classification: feature vectors become probabilities, by the best of a few tuned classifiers.

The second half of the classical pipeline. Every candidate is judged on held-out folds of the
training rows, the one with the best mean AUROC is fitted on all of them, and nothing else is ever
looked at. Knows features, codes and folds; it knows no pictures, patients or splits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pellucid.classical.candidates import (
    CANDIDATES,
    UNTUNED,
    VECTOR_ROWS,
    VECTORS,
    Bools,
    Candidate,
    Floats,
    Ints,
    Model,
    fit_candidate,
    fit_link,
)
from pellucid.classical.one_thread import one_thread
from pellucid.errors import DataError

Report = Callable[[int, int], None]


@dataclass(frozen=True)
class TrainingRows:
    """Features (n, F), codes (n,) in 0 … n_classes - 1, and the fold (n,) of each training row.

    Rows of one patient have one fold. A row of fold -1 is always trained on and never judged.
    """

    features: Floats
    codes: Ints
    folds: Ints
    n_classes: int

    def numbers(self) -> list[int]:
        """The folds that are held out in turn."""
        return sorted({int(fold) for fold in self.folds if fold >= 0})

    def sides(self, fold: int) -> tuple[Ints, Ints]:
        """The rows trained on and the rows held out."""
        held_out = self.folds == fold
        return np.flatnonzero(~held_out), np.flatnonzero(held_out)

    def fit(self, candidate: Candidate, rows: Ints, seed: int) -> Model:
        """Fit a candidate on some of the rows."""
        features, codes = self.features[rows], self.codes[rows]
        return fit_candidate(candidate, features, codes, n_classes=self.n_classes, seed=seed)


@dataclass(frozen=True)
class Trial:
    """How one candidate did: the AUROC of each held-out fold (NaN where it is undefined)."""

    candidate: Candidate
    aurocs: tuple[float, ...]
    seconds: float
    notes: tuple[str, ...]
    held_out: Floats  # (n, n_classes), each row's scores when it was held out; NaN if never

    @property
    def mean(self) -> float:
        """The mean AUROC of the folds in which it is defined, or NaN."""
        defined = [value for value in self.aurocs if not np.isnan(value)]
        return float(np.mean(defined)) if defined else float("nan")

    def to_json(self) -> dict[str, Any]:
        """One row of the table of candidates; null is an AUROC that is undefined."""
        defined = [value for value in self.aurocs if not np.isnan(value)]
        return {
            "classifier": self.candidate.name,
            "hyperparameters": dict(self.candidate.settings),
            "mean_auroc": self.mean if defined else None,
            "spread": float(np.std(defined)) if defined else None,
            "fold_aurocs": [None if np.isnan(value) else value for value in self.aurocs],
            "seconds": round(self.seconds, 2),
            "notes": [*self.notes, *([] if defined else ["undefined: no fold holds two classes"])],
        }


@dataclass(frozen=True)
class Chosen:
    """The classifier that was chosen and fitted on all training rows, and every trial before."""

    model: Model
    trials: tuple[Trial, ...]
    notes: tuple[str, ...]


def fit_classifier(
    data: TrainingRows,
    *,
    seed: int,
    candidates: Sequence[Candidate] = CANDIDATES,
    progress: Report | None = None,
) -> Chosen:
    """Tune by cross-validation in the training rows, choose by mean AUROC, fit on all of them.

    Without two folds nothing can be tuned, and a logistic regression of fixed strength is fitted.
    `progress(done, total)` counts candidates. Runs on one processor, so that it repeats to the last
    digit and does not fight with others. Raises `DataError` with fewer than two classes.
    """
    if len(np.unique(data.codes)) < 2:
        raise DataError("A classifier needs at least two classes to train on", "one or none")
    with one_thread():
        trials = []
        for done, candidate in enumerate(candidates if len(data.numbers()) > 1 else (), start=1):
            trials.append(_try(data, candidate, seed))
            if progress is not None:
                progress(done, len(candidates))
        best = _best(trials)
        model = data.fit(best.candidate if best else UNTUNED, np.arange(len(data.codes)), seed)
        if best and not best.candidate.has_probabilities:
            model = replace(model, link=_link(data, best, model))
    return Chosen(model, tuple(trials), tuple(_notes(data, best, model)))


def _notes(data: TrainingRows, best: Trial | None, model: Model) -> list[str]:
    """What a reader must know of how the classifier was chosen and fitted."""
    notes = []
    if best is None:
        notes.append(
            "Not tuned: too few patients to cross-validate, so a logistic regression of fixed "
            "strength was fitted."
        )
    elif not best.candidate.has_probabilities:
        notes.append("Probabilities by Platt's link, fitted on held-out folds of training rows.")
        if len(data.codes) > VECTOR_ROWS:
            notes.append(_thinned(len(data.codes)))
    if not model.converged:
        notes.append("The classifier did not converge within its iterations.")
    return notes


def _thinned(n: int) -> str:
    return f"Fitted on about {VECTOR_ROWS:,} of {n:,} training rows, drawn by class."


def _best(trials: Sequence[Trial]) -> Trial | None:
    """The best mean AUROC; the first of equals, which is the simplest."""
    judged = [trial for trial in trials if not np.isnan(trial.mean)]
    return max(judged, key=lambda trial: trial.mean) if judged else None


def _try(data: TrainingRows, candidate: Candidate, seed: int) -> Trial:
    """Fit on all folds but one and judge on that one, in turn."""
    clock, aurocs, unfinished, most = time.monotonic(), [], 0, 0
    scores = np.full((len(data.codes), data.n_classes), np.nan)
    for fold in data.numbers():
        rows, held_out = data.sides(fold)
        if len(np.unique(data.codes[rows])) < 2:
            aurocs.append(float("nan"))
            continue
        model = data.fit(candidate, rows, seed)
        scores[held_out] = model.ranks(data.features[held_out])
        aurocs.append(macro_auroc(data.codes[held_out], scores[held_out]))
        unfinished, most = unfinished + (not model.converged), max(most, len(rows))
    notes = []
    if unfinished:
        notes.append(f"did not converge in {unfinished} of {len(aurocs)} folds")
    if candidate.name == VECTORS and most > VECTOR_ROWS:
        notes.append(_thinned(most))
    return Trial(candidate, tuple(aurocs), time.monotonic() - clock, tuple(notes), scores)


def _link(data: TrainingRows, best: Trial, model: Model) -> Any:
    """Platt's link from the distances that rows had when they were held out."""
    distances = best.held_out[:, model.present]
    known: Bools = np.asarray(np.isfinite(distances).all(axis=1))
    missing = np.setdiff1d(model.present, data.codes[known])
    if len(missing):  # a class that was never held out has its own training distances
        extra = np.flatnonzero(np.isin(data.codes, missing))
        distances = distances.copy()
        distances[extra] = model.ranks(data.features[extra])[:, model.present]
        known[extra] = True
    return fit_link(distances[known], data.codes[known])


def macro_auroc(codes: Ints, scores: Floats) -> float:
    """AUROC of the positive class (code 1) of two, or the mean one-vs-rest of several.

    Classes that the rows lack, or that are all of them, are left out; NaN where none is left.
    """
    from sklearn.metrics import roc_auc_score

    k = scores.shape[1]
    finite = np.where(np.isfinite(scores), scores, np.finfo(np.float64).min)
    values = [
        float(roc_auc_score(codes == one, finite[:, one]))
        for one in ([1] if k == 2 else range(k))
        if 0 < (codes == one).sum() < len(codes)
    ]
    return float(np.mean(values)) if values else float("nan")
