"""The field's names of metrics, what each means in plain words, and how a reader groups them.

Knows words only: no figure and no page.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

METRIC_NAMES = {
    "auroc": "AUROC",
    "macro_auroc": "macro AUROC",
    "weighted_auroc": "weighted AUROC",
    "auprc": "AUPRC",
    "macro_auprc": "macro AUPRC",
    "weighted_auprc": "weighted AUPRC",
    "specificity_at_sensitivity_90": "specificity at sensitivity 0.90",
    "specificity_at_sensitivity_95": "specificity at sensitivity 0.95",
    "sensitivity_at_specificity_90": "sensitivity at specificity 0.90",
    "sensitivity_at_specificity_95": "sensitivity at specificity 0.95",
    "sensitivity": "sensitivity (recall)",
    "specificity": "specificity",
    "balanced_accuracy": "balanced accuracy",
    "ppv": "PPV (precision)",
    "npv": "NPV",
    "ppv_at_prevalence": "PPV at the stated prevalence",
    "npv_at_prevalence": "NPV at the stated prevalence",
    "positive_likelihood_ratio": "positive likelihood ratio",
    "negative_likelihood_ratio": "negative likelihood ratio",
    "f1": "F1",
    "macro_f1": "macro F1",
    "weighted_f1": "weighted F1",
    "micro_f1": "micro F1",
    "matthews": "Matthews correlation",
    "kappa": "Cohen's kappa",
    "linear_kappa": "kappa, linear weights",
    "quadratic_kappa": "kappa, quadratic weights",
    "accuracy": "accuracy",
    "macro_sensitivity": "macro sensitivity (recall)",
    "macro_specificity": "macro specificity",
    "macro_ppv": "macro PPV (precision)",
    "macro_npv": "macro NPV",
    "brier": "Brier score",
    "log_loss": "log loss",
    "calibration_error": "calibration error",
    "adaptive_calibration_error": "adaptive calibration error",
    "slope": "calibration slope",
    "intercept": "calibration intercept",
}
METRIC_MEANINGS = {
    "auroc": "chance that a positive image is ranked above a negative one; 0.5 is guessing",
    "auprc": "mean precision over all recalls; guessing gives the prevalence",
    "weighted_auroc": "each class against the rest, weighted by its images",
    "macro_auprc": "mean over the classes, each against the rest",
    "weighted_auprc": "each class against the rest, weighted by its images",
    "specificity_at_sensitivity_90": "what is cleared where 90 % of the positive are found",
    "specificity_at_sensitivity_95": "what is cleared where 95 % of the positive are found",
    "sensitivity_at_specificity_90": "what is found where 90 % of the negative are cleared",
    "sensitivity_at_specificity_95": "what is found where 95 % of the negative are cleared",
    "sensitivity": "share of the positive images that are called positive",
    "specificity": "share of the negative images that are called negative",
    "macro_f1": "mean over the classes",
    "weighted_f1": "mean over the classes, weighted by their images",
    "micro_f1": "over all images together, which is accuracy",
    "macro_sensitivity": "mean over the classes",
    "macro_specificity": "mean over the classes",
    "macro_ppv": "mean over the classes",
    "macro_npv": "mean over the classes",
    "balanced_accuracy": "mean of the shares found in each class",
    "ppv": "share of the images called positive that are",
    "npv": "share of the images called negative that are",
    "positive_likelihood_ratio": "how much a positive call raises the odds; 1 says nothing",
    "negative_likelihood_ratio": "how much a negative call lowers the odds; 1 says nothing",
    "f1": "harmonic mean of precision and recall",
    "accuracy": "share of the images called rightly",
    "matthews": "correlation of truth and call; 0 is guessing",
    "kappa": "agreement beyond chance; 0 is guessing",
    "linear_kappa": "agreement beyond chance, a miss by two classes counting double",
    "quadratic_kappa": "agreement beyond chance, a miss by two classes counting fourfold",
    "brier": "mean squared error of the probability; 0 is best",
    "log_loss": "mean negative log-probability of the truth, in nats; 0 is best",
    "calibration_error": "mean gap between probability and frequency in ten equal bins; 0 is best",
    "adaptive_calibration_error": "the same in ten bins of equally many images; 0 is best",
    "slope": "1 is best; below 1 the probabilities are too extreme",
    "intercept": "0 is best; below 0 the probabilities are too high",
}
MACRO_AUROC = "mean over the classes, each ranked against the rest; 0.5 is guessing"
PROBABILITY_METRICS = ("brier", "log_loss", "calibration_error", "adaptive_calibration_error")
RATIOS = ("positive_likelihood_ratio", "negative_likelihood_ratio", "slope", "intercept")
WITHOUT_BAR = frozenset((*PROBABILITY_METRICS, *RATIOS))  # best when low, or without an upper end


@dataclass(frozen=True)
class MetricGroup:
    """Metrics that answer one question of a reader."""

    name: str
    question: str
    keys: tuple[str, ...]


GROUPS = (
    MetricGroup(
        "Discrimination",
        "How well are images ranked, whatever the threshold?",
        (
            "auroc",
            "macro_auroc",
            "weighted_auroc",
            "auprc",
            "macro_auprc",
            "weighted_auprc",
            "specificity_at_sensitivity_90",
            "specificity_at_sensitivity_95",
            "sensitivity_at_specificity_90",
            "sensitivity_at_specificity_95",
        ),
    ),
    MetricGroup(
        "Decisions",
        "How often is the call right?",
        (
            "sensitivity",
            "specificity",
            "ppv",
            "npv",
            "ppv_at_prevalence",
            "npv_at_prevalence",
            "positive_likelihood_ratio",
            "negative_likelihood_ratio",
            "balanced_accuracy",
            "accuracy",
            "f1",
            "macro_f1",
            "weighted_f1",
            "micro_f1",
            "macro_sensitivity",
            "macro_specificity",
            "macro_ppv",
            "macro_npv",
            "matthews",
            "kappa",
            "linear_kappa",
            "quadratic_kappa",
        ),
    ),
    MetricGroup("Probabilities", "Does a probability mean what it says?", PROBABILITY_METRICS),
)


def group_of(key: str) -> str:
    """The group in which a metric is shown; an unknown one is a decision's."""
    return next((group.name for group in GROUPS if key in group.keys), "Decisions")


def in_order(keys: Iterable[str]) -> list[str]:
    """Metrics in the order in which a reader meets them; unknown ones last."""
    order = list(METRIC_NAMES)
    return sorted(keys, key=lambda key: order.index(key) if key in order else len(order))
