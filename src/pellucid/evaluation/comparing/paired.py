"""The difference of two models in one metric: its size, its interval, and the test that it is zero.

Both models have judged the same images, and every method here uses it: the paired DeLong test for
AUROC, McNemar's for shares of right calls, and for any other metric a bootstrap in which both meet
the same patients. A model trained several times with other seeds counts as the mean of its runs,
never as the best one, and the bootstrap then draws runs as well as patients.
Sources: Efron and Tibshirani 1993, ch. 13 and 15, for the bootstrap and for p-values from its
interval; Davison and Hinkley 1997, 4.2, for the one that is added to each count; Rao and Wu 1988
for drawing one run fewer than there are, without which few runs would seem too alike; Bouthillier
et al. 2021 for counting the seed among the sources of variance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from pellucid.evaluation.comparing.mcnemar import paired_proportions
from pellucid.evaluation.judged import Judged
from pellucid.evaluation.uncertainty.delong import paired_delong
from pellucid.evaluation.uncertainty.figures import CONFIDENCE
from pellucid.evaluation.uncertainty.intervals import percentile_interval, resample
from pellucid.evaluation.uncertainty.statistic import ALL, Statistic

BOOTSTRAP, SAME = "paired patient bootstrap", "identical predictions"
FEW_RUNS = 5
HALF = 0.5  # the threshold at which two classes are called
CALLS = ("accuracy", "sensitivity", "specificity")  # shares of right calls, which McNemar compares

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Key = tuple[str, str]  # class, or `ALL`, and metric
Draws = dict[str, dict[Key, Floats]]  # of each model


@dataclass(frozen=True)
class Model:
    """A model's runs on the same images in the same order: one, or several that differ by seed."""

    name: str
    runs: tuple[Judged, ...]

    @property
    def judged(self) -> Judged:
        """The first run, for what is the same in all."""
        return self.runs[0]

    @cached_property
    def calls(self) -> tuple[Ints, ...]:
        """The class that each run calls each image (n,)."""
        return tuple(called(run) for run in self.runs)

    @cached_property
    def plain(self) -> dict[Key, Floats]:
        """Every metric of every run (n_runs,)."""
        ones = np.ones((1, self.judged.patients.n))
        values = [statistic(ones) for statistic in self.statistics]
        return {key: np.array([float(value[key][0]) for value in values]) for key in values[0]}

    @property
    def statistics(self) -> list[Statistic]:
        """The metrics of each run, for patient weights."""
        k = len(self.judged.target.classes)
        runs = zip(self.runs, self.calls, strict=True)
        return [Statistic(run, k * run.codes + calls) for run, calls in runs]

    def key_of(self, metric: str) -> Key:
        """Where the main figure of a metric stands: with the positive class, or with all."""
        target = self.judged.target
        own = (target.classes[1], metric)
        return own if target.is_binary and own in self.plain else (ALL, metric)

    def value(self, metric: str) -> float:
        """The metric, over several runs their mean."""
        return float(self.plain[self.key_of(metric)].mean())


def called(judged: Judged) -> Ints:
    """The class of each image (n,): for two classes the positive one from 0.5 on."""
    if judged.target.is_binary:
        return (judged.probabilities[:, 1] >= HALF).astype(np.int64)
    return np.asarray(judged.probabilities.argmax(axis=1))


def resample_together(models: Sequence[Model], draw: tuple[int, int]) -> Draws:
    """Every metric of each model (n_resamples,), all of them on the same drawn patients.

    Patients are drawn without strata: where one model finds more of a class and the other more of
    the rest, how common the classes are decides which is right more often, and that is chance too.
    """
    statistics = {model.name: model.statistics for model in models}
    random = np.random.default_rng([draw[1], 1])  # runs are drawn from a stream of their own

    def together(weights: Floats) -> dict[tuple[str, Key], Floats]:
        values: dict[tuple[str, Key], Floats] = {}
        for name, runs in statistics.items():
            shares = draw_runs(random, len(runs), len(weights))
            measured = [statistic(weights) for statistic in runs]
            for key in measured[0]:
                of_runs = np.stack([value[key] for value in measured], axis=1)
                values[name, key] = (shares * np.where(shares > 0, of_runs, 0.0)).sum(axis=1)
        return values

    drawn = resample(together, models[0].judged.patients, *draw, stratified=False)
    by_model: Draws = {model.name: {} for model in models}
    for (name, key), values in drawn.items():
        by_model[name][key] = values
    return by_model


def draw_runs(random: np.random.Generator, n_runs: int, n_resamples: int) -> Floats:
    """The share of each run in each resample (n_resamples, n_runs); rows sum to 1.

    One run fewer is drawn than there are, so that the spread of the mean is not underestimated.
    """
    if n_runs == 1:
        return np.ones((n_resamples, 1))
    even = np.full(n_runs, 1 / n_runs)
    return random.multinomial(n_runs - 1, even, size=n_resamples) / (n_runs - 1)


def has_formula(metric: str, first: Model, second: Model) -> bool:
    """Whether a pair is compared in this metric without resampling."""
    single = len(first.runs) == len(second.runs) == 1
    binary = first.judged.target.is_binary
    return single and (metric == "accuracy" or (binary and metric in ("auroc", *CALLS)))


def compare_pair(metric: str, first: Model, second: Model, drawn: Draws) -> dict[str, Any]:
    """`second - first` in a metric: the difference as a figure, its p-value and the test.

    `drawn` may be empty where `has_formula` holds.
    """
    difference = second.value(metric) - first.value(metric)
    if np.isnan(difference):
        test = _test_name(metric, first, second)
        return _entry(
            None, f"undefined: {_why_undefined(metric, first, second)}", float("nan"), test
        )
    if _are_identical(first, second):
        return _entry((0.0, 0.0, 0.0), "the predictions are identical", 1.0, SAME)
    if not has_formula(metric, first, second):
        return _by_bootstrap(metric, first, second, drawn)
    if metric == "auroc":
        return _by_delong(first.judged, second.judged)
    return _by_calls(metric, first, second)


def bootstrap_p(differences: Floats) -> float:
    """The two-sided p-value of no difference, from resampled differences (n_resamples,).

    The level at which the percentile interval would just touch zero, so that both say the same;
    NaN where under nine in ten are defined.
    """
    defined = differences[~np.isnan(differences)]
    if len(defined) < 0.9 * len(differences):
        return float("nan")
    tails = min((defined <= 0).sum(), (defined >= 0).sum())
    return float(min(1.0, 2 * (tails + 1) / (len(defined) + 1)))


def _by_delong(first: Judged, second: Judged) -> dict[str, Any]:
    clusters = first.patient_ids if len(set(first.patient_ids)) < first.n else None
    scores = (first.probabilities[:, 1], second.probabilities[:, 1])
    found = paired_delong(*scores, first.codes == 1, clusters, CONFIDENCE)
    test = "paired DeLong" if clusters is None else "paired DeLong by patient (Obuchowski 1997)"
    if not found.high > found.low:
        reason = "no interval: the spread of the difference cannot be told from these images"
        return _entry((found.difference, None, None), reason, found.p, test)
    bounds = (max(-1.0, found.low), min(1.0, found.high))
    return _entry((found.difference, *bounds), f"{test}, normal", found.p, test)


def _by_calls(metric: str, first: Model, second: Model) -> dict[str, Any]:
    judged = first.judged
    inside = {"sensitivity": judged.codes == 1, "specificity": judged.codes == 0}.get(
        metric, np.ones(judged.n, dtype=bool)
    )
    before, after = ((model.calls[0] == judged.codes)[inside] for model in (first, second))
    found = paired_proportions(before, after, judged.patient_ids[inside], CONFIDENCE)
    entry = _entry(found[:3], found.interval, found.p, found.test)
    significant = found.p < 1 - CONFIDENCE
    if significant != (not found.low <= 0 <= found.high):
        entry["difference"]["note"] = "the interval is approximate; the test decides"
    return entry


def _by_bootstrap(metric: str, first: Model, second: Model, drawn: Draws) -> dict[str, Any]:
    key, test = first.key_of(metric), _test_name(metric, first, second)
    difference = second.value(metric) - first.value(metric)
    spread = drawn[second.name][key] - drawn[first.name][key]
    low, high = percentile_interval(spread, CONFIDENCE)
    if np.isnan(low):
        undefined = int(np.isnan(spread).sum())
        reason = f"no interval: undefined in {undefined} of {len(spread)} resamples"
        return _entry((difference, None, None), reason, float("nan"), test)
    if low == high:
        reason = "no interval: every resample gave the same difference"
        p = 1.0 if difference == 0 else float("nan")
        return _entry((difference, None, None), reason, p, test)
    method = f"{test}, percentile, {len(spread)} resamples"
    entry = _entry((difference, low, high), method, bootstrap_p(spread), test)
    note = _few_runs(first, second)
    if note:
        entry["difference"]["note"] = note
    return entry


def _few_runs(first: Model, second: Model) -> str:
    """What to beware of where seeds count but few were tried; empty for single runs alone."""
    numbers = sorted({len(model.runs) for model in (first, second)})
    if numbers == [1] or numbers[0] >= FEW_RUNS:
        return ""
    if numbers[0] == 1:
        return "one of the two has a single run, so what its seed changes is not in the interval"
    return f"only {numbers[0]} runs: how much a seed changes is itself unsure"


def _test_name(metric: str, first: Model, second: Model) -> str:
    if has_formula(metric, first, second):
        return "paired DeLong" if metric == "auroc" else "McNemar"
    single = len(first.runs) == len(second.runs) == 1
    return BOOTSTRAP if single else f"{BOOTSTRAP}, runs drawn too"


def _are_identical(first: Model, second: Model) -> bool:
    """Whether both gave every image the same probabilities, so that no patients could part them."""
    if len(first.runs) > 1 or len(second.runs) > 1:
        return False
    return np.array_equal(first.judged.probabilities, second.judged.probabilities)


def _why_undefined(metric: str, first: Model, second: Model) -> str:
    counts = np.bincount(first.judged.codes, minlength=len(first.judged.target.classes))
    absent = [c for c, n in zip(first.judged.target.classes, counts, strict=True) if not n]
    if absent:
        return f"no image of class {', '.join(absent)}"
    who = [model.name for model in (first, second) if np.isnan(model.value(metric))]
    return f"{metric} is not defined for {' and '.join(who)}"


def _entry(
    figure: Sequence[float | None] | None, method: str, p: float, test: str
) -> dict[str, Any]:
    value, low, high = figure or (None, None, None)
    return {
        "difference": {"value": value, "low": low, "high": high, "method": method},
        "p": None if np.isnan(p) else float(p),
        "p_corrected": None,
        "test": test,
    }


def known_metrics(model: Model) -> list[str]:
    """The metrics in which a model can be compared."""
    return list(dict.fromkeys(name for _, name in _main_keys(model)))


def _main_keys(model: Model) -> Mapping[Key, Any]:
    target = model.judged.target
    owners = (target.classes[1], ALL) if target.is_binary else (ALL,)
    return {key: value for key, value in model.plain.items() if key[0] in owners}
