"""The classifiers that are tried, and what each says: log-probabilities of every class.

Classes weigh the same in training, however rare; the answers are then shifted back to the classes'
shares (King and Zeng, "Logistic regression in rare events data", 2001), so that a probability means
what it says. Source of the classifiers: scikit-learn. Knows no folds and no pictures.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax

LOGISTIC, VECTORS, BOOSTING = (
    "logistic regression",
    "support vector machine (RBF)",
    "gradient boosting",
)
LOG_FLOOR = float(np.log(1e-12))  # no class is ruled out; one that training lacked has this
VECTOR_ROWS = 4_000  # training rows of a support vector machine, whose time grows with the square
_BINS = 32  # steps of each feature that the trees tell apart
_ITERATIONS = 1_000

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Candidate:
    """A classifier by name, with its hyperparameters."""

    name: str
    settings: Mapping[str, float]

    @property
    def has_probabilities(self) -> bool:
        """Whether its decisions are log-odds; those of a support vector machine are distances."""
        return self.name != VECTORS


CANDIDATES = (  # the simplest first: it wins a draw
    *(Candidate(LOGISTIC, {"C": c}) for c in (0.001, 0.01, 0.1, 1.0)),
    *(
        Candidate(VECTORS, {"C": c, "gamma_times_features": gamma})
        for c in (1.0, 10.0)
        for gamma in (0.25, 1.0)
    ),
    *(
        Candidate(BOOSTING, {"trees": 150, "leaves": leaves, "learning_rate": 0.1})
        for leaves in (4, 16)
    ),
)
UNTUNED = CANDIDATES[1]


@dataclass(frozen=True)
class Model:
    """A fitted candidate.

    `present` are the codes of the classes that training held, `shift` (len(present),) what takes
    the answers back to their shares, `link` turns distances into probabilities where it is needed.
    """

    candidate: Candidate
    estimator: Any
    present: Ints
    shift: Floats
    n_classes: int
    converged: bool
    link: Any = None

    def ranks(self, features: Floats) -> Floats:
        """Scores (n, n_classes) that order images by class; those of absent classes are -inf."""
        scores = _decisions(self.estimator, features)
        if self.candidate.has_probabilities:
            scores = log_softmax(scores + self.shift, axis=1)
        return self._spread(scores, -np.inf)

    def log_probabilities(self, features: Floats) -> Floats:
        """Log-probabilities (n, n_classes), none below `LOG_FLOOR`."""
        scores = _decisions(self.estimator, features)
        scores = _decisions(self.link, scores) if self.link is not None else scores + self.shift
        return self._spread(np.maximum(log_softmax(scores, axis=1), LOG_FLOOR), LOG_FLOOR)

    def _spread(self, scores: Floats, absent: float) -> Floats:
        whole = np.full((len(scores), self.n_classes), absent)
        whole[:, self.present] = scores
        return whole


def fit_candidate(
    candidate: Candidate, features: Floats, codes: Ints, *, n_classes: int, seed: int
) -> Model:
    """Fit one candidate on features (n, F) and codes (n,) of at least two classes.

    A support vector machine is fitted on `VECTOR_ROWS` rows at most, of every class.
    """
    from sklearn.exceptions import ConvergenceWarning

    if candidate.name == VECTORS and len(codes) > VECTOR_ROWS:
        rows = thinned(codes, VECTOR_ROWS, seed)
        features, codes = features[rows], codes[rows]
    estimator = _build(candidate, features.shape[1], seed)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")  # constant features, few steps, too few iterations
        estimator.fit(features, codes)
    present, counts = np.unique(codes, return_counts=True)
    converged = not any(issubclass(one.category, ConvergenceWarning) for one in told)
    shift = np.log(counts / counts.sum())
    return Model(candidate, estimator, present, shift, n_classes, converged)


def fit_link(distances: Floats, codes: Ints) -> Any:
    """Platt's link from distances (n, classes) to probabilities, for one or several classes.

    Give distances of rows that the classifier was not fitted on. Source: Platt, "Probabilistic
    outputs for support vector machines" (1999), with a slight penalty in the place of his priors.
    """
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=1.0, max_iter=_ITERATIONS).fit(distances, codes)


def thinned(codes: Ints, n_rows: int, seed: int) -> Ints:
    """About `n_rows` places, drawn by class; a class keeps its share, and at least 100 if it can.

    >>> thinned(np.repeat([0, 1], [950, 50]), 200, seed=0).size
    240
    """
    random = np.random.default_rng(seed)
    kept = []
    for code in np.unique(codes):
        inside = np.flatnonzero(codes == code)
        wanted = max(round(n_rows * len(inside) / len(codes)), min(len(inside), 100))
        kept.append(random.permutation(inside)[:wanted])
    return np.sort(np.concatenate(kept))


def _decisions(estimator: Any, features: Floats) -> Floats:
    """Decisions (n, classes); one number d of two classes becomes (-d/2, d/2), with odds exp(d)."""
    found = np.asarray(estimator.decision_function(features), dtype=np.float64)
    return found if found.ndim == 2 else np.stack([-found / 2, found / 2], axis=1)


def _build(candidate: Candidate, n_features: int, seed: int) -> Any:
    """The scikit-learn pipeline: scaling or steps, learned in training too, then the classifier."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import KBinsDiscretizer, StandardScaler
    from sklearn.svm import SVC

    settings = candidate.settings
    if candidate.name == LOGISTIC:
        last = LogisticRegression(
            C=settings["C"], max_iter=_ITERATIONS, class_weight="balanced", random_state=seed
        )
        return make_pipeline(StandardScaler(), last)
    if candidate.name == VECTORS:
        gamma = settings["gamma_times_features"] / max(1, n_features)
        last = SVC(C=settings["C"], gamma=gamma, class_weight="balanced", cache_size=500)
        return make_pipeline(StandardScaler(), last)
    trees = HistGradientBoostingClassifier(
        max_iter=int(settings["trees"]),
        max_leaf_nodes=int(settings["leaves"]),
        learning_rate=settings["learning_rate"],
        max_bins=_BINS,
        early_stopping=False,  # it would set rows apart without looking at patients
        class_weight="balanced",
        random_state=seed,
    )
    # Steps beforehand: scikit-learn's own weighted steps take ten times as long as the trees.
    steps = KBinsDiscretizer(_BINS, encode="ordinal", strategy="quantile", subsample=None)
    return make_pipeline(steps, trees)
