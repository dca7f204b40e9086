"""Which interval suits which metric, why, and from how many patients on it holds what it promises.

The table is the outcome of benchmarks/coverage.py: a method stands here where its 95 % intervals
held the truth about 95 % of the time, and is not used with fewer patients than `smallest`, or than
`clustered` where patients have several images.
"""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.evaluation.uncertainty.statistic import ALL


@dataclass(frozen=True)
class Method:
    """How an interval is found (`kind`), on which scale, from how many patients on, and why."""

    kind: str
    smallest: int
    why: str
    scale: str = ""
    clustered: int = 0

    def fewest(self, *, several: bool) -> int:
        """The patients needed; `several` says whether any patient has several images."""
        return max(self.smallest, self.clustered) if several else self.smallest


_EXACT = "a share of images: exact theory, also for several images a patient"
SHARE = Method("share", 5, _EXACT, clustered=8)
PREDICTIVE = Method("share", 5, _EXACT, clustered=15)  # of each class; with fewer it is too wide
AREA = Method("area", 10, "DeLong's variance is exact for ranks and needs no resampling", "logit")
_NEEDS = "depends on the prevalence, which a bootstrap within classes would hold fixed"
LOGIT = Method("jackknife", 10, _NEEDS, "logit")
LOG = Method("jackknife", 10, _NEEDS, "log", clustered=15)
FISHER = Method("jackknife", 10, _NEEDS, "Fisher's z")
LOSS = Method("loss", 10, "a mean over images, whatever their classes", "log")
_JUMPS = "jumps from score to score, so that leaving out one patient says little"
DRAWN_90 = Method("bootstrap", 40, _JUMPS, clustered=50)  # four or five beyond the wanted share
DRAWN_95 = Method("bootstrap", 80, _JUMPS, clustered=100)
BIASED = Method("none", 0, "chance adds to it, and no method tried held the truth")

METHODS: dict[str, Method] = {
    **dict.fromkeys(("sensitivity", "specificity", "accuracy", "micro_f1"), SHARE),
    **dict.fromkeys(("ppv", "npv"), PREDICTIVE),
    "auroc": AREA,
    **dict.fromkeys(("auprc", "f1", "balanced_accuracy"), LOGIT),
    **dict.fromkeys(("ppv_at_prevalence", "npv_at_prevalence"), LOGIT),
    **dict.fromkeys(("weighted_auroc", "macro_auprc", "weighted_auprc"), LOGIT),
    **dict.fromkeys(("macro_f1", "weighted_f1", "macro_sensitivity", "macro_specificity"), LOGIT),
    **dict.fromkeys(("macro_ppv", "macro_npv"), LOGIT),
    **dict.fromkeys(("positive_likelihood_ratio", "negative_likelihood_ratio"), LOG),
    **dict.fromkeys(("matthews", "kappa", "linear_kappa", "quadratic_kappa"), FISHER),
    **dict.fromkeys(("brier", "log_loss"), LOSS),
    **dict.fromkeys(("specificity_at_sensitivity_90", "sensitivity_at_specificity_90"), DRAWN_90),
    **dict.fromkeys(("specificity_at_sensitivity_95", "sensitivity_at_specificity_95"), DRAWN_95),
    **dict.fromkeys(("calibration_error", "adaptive_calibration_error"), BIASED),
}
"""The method of each metric."""


def method_of(owner: str, name: str) -> Method:
    """The method for a metric of a class, or of all classes together (owner `ALL`)."""
    return LOGIT if (owner, name) == (ALL, "auroc") else METHODS[name]
