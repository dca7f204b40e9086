"""Probabilities that mean what they say: logits scaled as the validation images ask for.

Two classes get Platt's slope and intercept. Several get a temperature, after what balanced class
weights have done to their logits is taken back: a network that weighs class k by w learns
probabilities proportional to w · p, which no temperature undoes. All of it is linear in the logits,
so that it is folded into the head: what is predicted, explained, exported and judged afterwards is
the calibrated network, and nobody has to remember a step. The order of images by a logit of two
classes stays as it is. Sources: see `evaluation.probabilities.scaling`; Elkan 2001, "The
foundations of cost-sensitive learning" (weights as another prevalence).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pellucid.evaluation.judged import Judged
from pellucid.evaluation.probabilities.scaling import Method, Scaling, fit_scaling
from pellucid.folding import Unseen, parts_of
from pellucid.network.classifier import Classifier, head_name, scale_logits
from pellucid.outputs import probabilities_from_logits
from pellucid.preparation import Prepared
from pellucid.progress import Progress
from pellucid.run import Run
from pellucid.task import Target, Task
from pellucid.training.loss import balanced_weights, count_classes


def calibrate(
    run: Run, prepared: Prepared, classifier: Classifier, unseen: Unseen, progress: Progress
) -> Unseen:
    """Fit a scaling of each target on `unseen`, fold it into the head, and return it scaled.

    `run.json` gets what was done, or why nothing was. The images that choose the epoch choose the
    scaling too, so that it is a little too sure; those out of fold were judged by one network, and
    the mean of several is a little less sure than each.
    """
    task, logits = prepared.dataset.task, unseen.logits.copy()
    done: dict[str, dict[str, Any]] = {}
    if prepared.plan.calibration == "validation":
        weights = _weights(prepared)
        for target in task.targets:
            if target.name in weights:
                line = 1.0, tuple((-np.log(weights[target.name])).tolist())
                _scale(classifier, logits, target, task, line)
        codes = prepared.dataset.codes()[unseen.rows]
        table = prepared.dataset.table.iloc[unseen.rows]
        for number, target in enumerate(task.targets):
            known = codes[:, number] >= 0
            own = probabilities_from_logits(logits[:, task.slices()[target.name]], target)
            judged = Judged(target, "validation", own[known], codes[known, number], table[known])
            scaling, reason = _fit(judged, target)
            if scaling is not None:
                _scale(classifier, logits, target, task, _line(scaling, target))
                progress.say(f"Calibrated on validation: {describe(scaling)}")
                done[target.name] = {"method": scaling.method, **scaling.parameters}
            else:
                done[target.name] = {"reason": reason}
            if target.name in weights:
                done[target.name]["weights_taken_back"] = True
    run.add_facts(training={**run.facts.get("training", {}), "calibration": done})
    return replace(unseen, logits=logits)


def _scale(
    classifier: Classifier,
    logits: npt.NDArray[np.float32],
    target: Target,
    task: Task,
    line: tuple[float, tuple[float, ...]],
) -> None:
    """Let the head of a target say slope · z + intercepts, and what it has said already too."""
    slope, intercepts = line
    scale_logits(classifier.heads[head_name(target.name)], slope, intercepts)
    part = task.slices()[target.name]
    logits[:, part] = slope * logits[:, part] + np.array(intercepts)


def _weights(prepared: Prepared) -> dict[str, npt.NDArray[np.float64]]:
    """The class weights of the loss, of targets with several classes; Platt undoes those of two.

    Of an ensemble whose networks had other images each, what the mean of their logits has of them.
    """
    if prepared.plan.class_weights != "balanced":
        return {}
    task, codes = prepared.dataset.task, prepared.dataset.codes()
    counts = [count_classes(task, codes[part.learned]) for part in parts_of(prepared)]
    return {
        name: np.exp(np.mean([np.log(balanced_weights(each[name])) for each in counts], axis=0))
        for name in (target.name for target in task.targets if not target.is_binary)
    }


def _fit(judged: Judged, target: Target) -> tuple[Scaling | None, str]:
    """The scaling, or None with the reason; one that would turn ranks round is not taken."""
    if not len(judged.codes):
        return None, "no validation image has a label"
    method: Method = "platt" if target.is_binary else "temperature"
    scaling, reason = fit_scaling(judged, method)
    if scaling is not None and _line(scaling, target)[0] <= 0:
        return None, "on validation the network ranks the classes the wrong way round"
    return scaling, reason


def _line(scaling: Scaling, target: Target) -> tuple[float, tuple[float, ...]]:
    """Slope and intercepts of a scaling, for `scale_logits`; of two logits the last is moved."""
    zeros = (0.0,) * (target.n_logits - 1)
    if scaling.method == "temperature":
        return 1 / scaling.parameters["temperature"], (*zeros, 0.0)
    return scaling.parameters["slope"], (*zeros, scaling.parameters["intercept"])


def describe(scaling: Scaling) -> str:
    """The scaling as a formula.

    >>> describe(Scaling("platt", {"intercept": -0.25, "slope": 0.8}, "validation"))
    'logit → 0.80 · logit - 0.25'
    """
    if scaling.method == "temperature":
        return f"logits divided by {scaling.parameters['temperature']:.2f}"
    slope, intercept = scaling.parameters["slope"], scaling.parameters["intercept"]
    return f"logit → {slope:.2f} · logit {'-' if intercept < 0 else '+'} {abs(intercept):.2f}"
