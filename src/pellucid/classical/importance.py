"""What the classical classifier goes by: families of features, and single ones alone.

Features of a family say much the same, so shuffling one of them hides little; a family is shuffled
as a whole. Sources: Breiman, "Random forests" (2001), for permutation importance; Hanley and McNeil
1982 for the AUROC of a single feature.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pellucid.classical.candidates import Candidate, Floats, Ints, Model, thinned
from pellucid.classical.classification import TrainingRows, macro_auroc
from pellucid.classical.one_thread import one_thread

METHOD = (
    "Fall of the AUROC when all features of a family are shuffled together between held-out "
    "training rows, mean and spread over the folds"
)
ALONE_METHOD = "AUROC of a single feature for one class against the rest, in the training rows"
ALONE = 10  # single features that are listed
_HELD_OUT = 400  # rows shuffled in each fold


def family_importance(
    data: TrainingRows, candidate: Candidate, families: Mapping[str, Ints], *, seed: int
) -> list[dict[str, Any]]:
    """`{"family", "n_features", "fall", "spread"}`, the most important first.

    `families` are the columns by name. The candidate is fitted again on each fold's training side.
    Empty where there are not two folds.
    """
    falls: dict[str, list[float]] = {name: [] for name in families}
    random = np.random.default_rng(seed)
    with one_thread():
        for fold in data.numbers() if len(data.numbers()) > 1 else ():
            rows, held_out = data.sides(fold)
            if len(np.unique(data.codes[rows])) < 2:
                continue
            model = data.fit(candidate, rows, seed)
            held_out = held_out[thinned(data.codes[held_out], _HELD_OUT, seed)]
            for name, fall in _falls(data, model, held_out, families, random).items():
                falls[name].append(fall)
    return _listed(falls, families)


def _falls(
    data: TrainingRows,
    model: Model,
    rows: Ints,
    families: Mapping[str, Ints],
    random: np.random.Generator,
) -> dict[str, float]:
    """The fall of the AUROC on these rows by family."""
    features, codes = data.features[rows], data.codes[rows]
    whole = macro_auroc(codes, model.ranks(features))
    falls = {}
    for name, columns in families.items():
        shuffled = features.copy()
        shuffled[:, columns] = features[random.permutation(len(rows))][:, columns]
        falls[name] = whole - macro_auroc(codes, model.ranks(shuffled))
    return falls


def _listed(
    falls: Mapping[str, Sequence[float]], families: Mapping[str, Ints]
) -> list[dict[str, Any]]:
    listed = []
    for name, values in falls.items():
        defined = [value for value in values if not np.isnan(value)]
        if defined:
            figures = {"fall": float(np.mean(defined)), "spread": float(np.std(defined))}
            listed.append({"family": name, "n_features": len(families[name]), **figures})
    return sorted(listed, key=lambda one: -one["fall"])


def features_alone(
    features: Floats, codes: Ints, names: Sequence[str], classes: Sequence[str]
) -> list[dict[str, Any]]:
    """The single features (of F) that tell a class best: `{"feature", "class", "auroc", "when"}`.

    `when` is "higher" or "lower": which values speak for the class. A feature stands once, with the
    class that it tells best; of two classes only the positive one is asked for.
    """
    from scipy.stats import rankdata

    ranks = rankdata(features, axis=0)
    listed: dict[str, dict[str, Any]] = {}
    for code in [1] if len(classes) == 2 else range(len(classes)):
        inside = codes == code
        n, rest = int(inside.sum()), int((~inside).sum())
        if not n or not rest:
            continue
        aurocs = (ranks[inside].sum(axis=0) - n * (n + 1) / 2) / (n * rest)
        for name, auroc in zip(names, aurocs.tolist(), strict=True):
            told = max(auroc, 1 - auroc)
            if name not in listed or told > listed[name]["auroc"]:
                when = "higher" if auroc >= 0.5 else "lower"
                listed[name] = {
                    "feature": name,
                    "class": classes[code],
                    "auroc": told,
                    "when": when,
                }
    return sorted(listed.values(), key=lambda one: -one["auroc"])[:ALONE]
