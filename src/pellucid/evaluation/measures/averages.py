"""Averages of a metric: over the classes of one target, and over several targets (multi-label).

Macro counts all classes alike, weighted by their images, micro adds the counts up first. Every
average says by its name which it is; `AVERAGES` says it in words.
Source: Sokolova and Lapalme 2009.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from pellucid.evaluation.measures.metrics import micro_f1, prevalence
from pellucid.evaluation.measures.ratios import ratio

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

MACRO = {
    "auroc": "auroc",
    "macro_auprc": "auprc",
    "macro_f1": "f1",
    "macro_sensitivity": "sensitivity",
    "macro_specificity": "specificity",
    "macro_ppv": "ppv",
    "macro_npv": "npv",
}
"""Of which metric each macro average is taken."""

WEIGHTED = {"weighted_auroc": "auroc", "weighted_auprc": "auprc", "weighted_f1": "f1"}
"""Of which metric each weighted average is taken."""

AVERAGES = {
    **dict.fromkeys(MACRO, "macro"),
    **dict.fromkeys(WEIGHTED, "weighted by the classes' images"),
    "auroc": "macro one-vs-rest",
    "macro_auprc": "macro one-vs-rest",
    "weighted_auroc": "one-vs-rest, weighted by the classes' images",
    "weighted_auprc": "one-vs-rest, weighted by the classes' images",
    "micro_f1": "micro",
}
"""How each average is taken, in words."""


def averages(by_class: Mapping[str, Floats], confusion: Floats) -> dict[str, Floats]:
    """The averages (…) over classes of the metrics (…, K) that are in `by_class`.

    `confusion` (…, K, K) gives the classes' weights and the micro average. A macro average is NaN
    where any class's value is; in a weighted one a class without images has no say.
    """
    shares = prevalence(confusion)
    values = {name: by_class[of].mean(axis=-1) for name, of in MACRO.items() if of in by_class}
    for name, of in WEIGHTED.items():
        if of in by_class:
            values[name] = np.where(shares == 0, 0.0, shares * by_class[of]).sum(axis=-1)
    return {**values, "micro_f1": micro_f1(confusion)}


def macro_over_targets(
    by_target: Mapping[str, Mapping[str, Floats]], name: str
) -> tuple[Floats, Ints]:
    """The mean (…) of one metric over the targets where it is defined, and how many these are.

    `by_target` holds each target's metrics (…): several binary targets are the multi-label case.
    NaN and 0 where no target's is defined. The count must be told with the mean: a mean over fewer
    targets is another figure.
    """
    values = np.stack([np.asarray(metrics[name], dtype=float) for metrics in by_target.values()])
    defined = ~np.isnan(values)
    n_defined = np.asarray(defined.sum(axis=0))
    total = np.where(defined, values, 0.0).sum(axis=0)
    return ratio(total, n_defined.astype(np.float64)), n_defined
