"""Where predictions go wrong: the surest mistakes, the least sure images, and mistakes alike.

The block "failures" of `evaluation.json`. An image is called as in the confusion matrix: of two
classes the positive one from 0.5 on, of more the likeliest. Mistakes are gathered by the
features of the network where they are given, else by truth and call; each group says which facts
are commoner in it than chance allows, counted in patients.
Sources: Eyuboglu et al. 2022 (Domino) for finding where models fail by features; Kaufman
and Rousseeuw 1990 for the silhouette that chooses the number of groups, and for its threshold.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pellucid.errors import PredictionsError
from pellucid.evaluation.comparing.multiplicity import holm
from pellucid.evaluation.groups.fact_groups import FactGroups, group_by_facts
from pellucid.evaluation.judged import Judged
from pellucid.evaluation.uncertainty.distributions import hypergeometric_tail

SHOWN = 12
SMALLEST_GROUP = 3
MOST_GROUPS = 10
LEVEL = 0.05
_ALIKE = 0.25  # mean silhouette, under which there is "no substantial structure"
_ONE_DIRECTION = 0.5  # mean cosine distance, under which all mistakes are alike; 1 is chance
_MOST_CLUSTERED = 2000  # pairwise distances of more do not fit; the surest are taken

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


def judge_failures(
    judged: Judged,
    features: npt.NDArray[np.floating] | None = None,
    feature_ids: npt.ArrayLike | None = None,
    *,
    shown: int = SHOWN,
) -> dict[str, Any]:
    """The block "failures": how many mistakes, the surest, the least sure images, and the groups.

    `features` (m, d) are the network's pooled features of the images `feature_ids` (m,), in any
    order; mistakes without features stand in no group. Raises `PredictionsError` when the two do
    not fit together or are not finite.
    """
    called, sure = called_classes(judged.probabilities)
    wrong = np.flatnonzero(called != judged.codes)
    surest = _by_sureness(judged, wrong, -sure)
    least = _by_sureness(judged, np.arange(judged.n), sure)
    kinds = np.stack([judged.codes, called], axis=1)
    if features is None:
        groups = _by_kind(surest, kinds)
    else:
        groups = _alike(*_with_features(judged, surest, features, feature_ids))
    return {
        "n_mistakes": len(wrong),
        "surest": [_image(judged, row, called, sure) for row in surest[:shown]],
        "least_sure": [_image(judged, row, called, sure) for row in least[:shown]],
        "grouped_by": "truth and call" if features is None else "features",
        "groups": _describe(judged, groups, kinds, features is not None),
    }


def called_classes(probabilities: Floats) -> tuple[Ints, Floats]:
    """The class called (n,) and its probability (n,), of probabilities (n, K)."""
    called = probabilities.argmax(axis=1).astype(np.int64)
    if probabilities.shape[1] == 2:
        called = (probabilities[:, 1] >= 0.5).astype(np.int64)
    return called, probabilities[np.arange(len(called)), called]


def _by_sureness(judged: Judged, rows: Ints, key: Floats) -> Ints:
    """Rows by ascending key, equal ones by the image's name."""
    ids = judged.image_ids.astype(str)
    return np.asarray(rows[np.lexsort((ids[rows], key[rows]))])


def _image(judged: Judged, row: int, called: Ints, sure: Floats) -> dict[str, Any]:
    classes = judged.target.classes
    return {
        "image_id": str(judged.image_ids[row]),
        "truth": classes[judged.codes[row]],
        "called": classes[called[row]],
        "probability": float(sure[row]),
    }


def _by_kind(mistakes: Ints, kinds: Ints) -> list[Ints]:
    """Mistakes of the same truth and call, the commonest first."""
    distinct = np.unique(kinds[mistakes], axis=0)
    groups = [mistakes[(kinds[mistakes] == kind).all(axis=1)] for kind in distinct]
    return _large_enough(groups)


def _large_enough(groups: list[Ints]) -> list[Ints]:
    kept = [rows for rows in groups if len(rows) >= SMALLEST_GROUP]
    return sorted(kept, key=lambda rows: (-len(rows), rows.tolist()))


def _with_features(
    judged: Judged,
    mistakes: Ints,
    features: npt.NDArray[np.floating],
    feature_ids: npt.ArrayLike | None,
) -> tuple[Ints, Floats]:
    """The surest mistakes that have features, and those, centred on all images' mean."""
    values = np.asarray(features, dtype=np.float64)
    ids = judged.image_ids if feature_ids is None else np.asarray(feature_ids, dtype=object)
    names = pd.Index(ids).astype(str)
    if values.ndim != 2 or len(values) != len(names):
        found = f"{values.shape} for {len(names)} images"
        raise PredictionsError("Features are one row an image", found, "Give their image_ids.")
    if not names.is_unique:
        raise PredictionsError(
            "An image has one row of features", repr(names[names.duplicated()][0])
        )
    if not np.isfinite(values).all():
        raise PredictionsError("Every feature is a finite number", "one that is not")
    place = names.get_indexer(pd.Index(judged.image_ids[mistakes]).astype(str))
    kept = mistakes[place >= 0][:_MOST_CLUSTERED]
    return kept, (values - values.mean(axis=0))[place[place >= 0][:_MOST_CLUSTERED]]


def _alike(mistakes: Ints, features: Floats) -> list[Ints]:
    """Groups of mistakes (m,) by the angles of their features (m, d), average linkage.

    Of 2 to 10 groups those with the best mean silhouette; none where even that is poor, unless all
    lie in one direction. In fewer than about ten dimensions chance alone makes such groups.
    """
    if len(mistakes) < SMALLEST_GROUP:
        return []
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform
    from sklearn.metrics import silhouette_score
    from sklearn.metrics.pairwise import cosine_distances

    distances = np.clip(cosine_distances(features), 0.0, 2.0)
    np.fill_diagonal(distances, 0.0)
    tree = linkage(squareform(distances, checks=False), "average")
    best, labels = _ALIKE, None
    for k in range(2, min(MOST_GROUPS, len(mistakes) - 1) + 1):
        tried = fcluster(tree, k, "maxclust")
        if 1 < tried.max() < len(mistakes):
            score = silhouette_score(distances, tried, metric="precomputed")
            best, labels = (score, tried) if score > best else (best, labels)
    if labels is not None:
        return _large_enough([mistakes[labels == k] for k in np.unique(labels)])
    one_direction = squareform(distances, checks=False).mean() < _ONE_DIRECTION
    return [mistakes] if one_direction else []


def _describe(
    judged: Judged, groups: list[Ints], kinds: Ints, by_features: bool
) -> list[dict[str, Any]]:
    facts = group_by_facts(judged.facts)
    described = []
    for rows, standing_out in zip(groups, _standing_out(judged, groups, facts), strict=True):
        parts = [_who(judged, rows, kinds[rows], by_features), *standing_out]
        if facts and not standing_out:
            parts.append("no fact stands out beyond chance")
        ids = [str(name) for name in judged.image_ids[rows]]
        described.append({"what": "; ".join(parts) + ".", "n": len(rows), "image_ids": ids})
    return described


def _who(judged: Judged, rows: Ints, kinds: Ints, by_features: bool) -> str:
    """The commonest truth and call of a group's images (m, 2)."""
    found, counts = np.unique(kinds, axis=0, return_counts=True)
    truth, called = (judged.target.classes[code] for code in found[counts.argmax()])
    n_patients = len(np.unique(judged.patients.of_image[rows]))
    of_one = "patient" if n_patients == 1 else "patients"
    who = f" of {n_patients} {of_one}" if judged.patients_known else ""
    if not by_features:
        return f"{len(kinds)} images{who}: {truth} called {called}"
    n = int(counts.max())
    how_many = "all" if n == len(kinds) else f"{n} of them"
    return f"{len(kinds)} mistakes{who} alike to the network, {how_many} {truth} called {called}"


def _standing_out(judged: Judged, groups: list[Ints], facts: list[FactGroups]) -> list[list[str]]:
    """Of each group, the facts that are commoner in it than chance allows, by Holm over all."""
    tests = [
        (number, fact, int(value), *_excess(judged, rows, fact.codes == value))
        for number, rows in enumerate(groups)
        for fact in facts
        for value in fact.known
    ]
    said: list[list[tuple[float, str]]] = [[] for _ in groups]
    corrected = holm([test[-1] for test in tests])
    for (number, fact, value, here, overall, p), p_corrected in zip(tests, corrected, strict=True):
        if p_corrected < LEVEL:
            text = (
                f"{fact.fact} {fact.values[value]} in {here:.0%} of them, "
                f"against {overall:.0%} of all images of the same truth"
            )
            said[number].append((p, text))
    return [[text for _, text in sorted(texts)] for texts in said]


def _excess(judged: Judged, rows: Ints, has: Bools) -> tuple[float, float, float]:
    """Share of a group's images that have a value, of all of the same truths, and p of so many.

    p counts patients, so that one patient's many images are one; it is the chance that as many of
    the patients with these truths, drawn blindly, have the value (hypergeometric).
    """
    reference = np.isin(judged.codes, judged.codes[rows])
    of_image = judged.patients.of_image
    inside = np.zeros(judged.n, dtype=bool)
    inside[rows] = True
    n, n_with, drawn, drawn_with = (
        len(np.unique(of_image[chosen]))
        for chosen in (reference, reference & has, inside, inside & has)
    )
    p = hypergeometric_tail(drawn_with, drawn, n_with, n)
    return float(has[rows].mean()), float(has[reference].mean()), p
