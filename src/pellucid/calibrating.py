"""Probabilities that mean what they say: logits scaled as the validation images ask for.

Two classes get Platt's slope and intercept, several a temperature. Both are linear in the logits,
so that they are folded into the head: what is predicted, explained, exported and judged afterwards
is the calibrated network, and nobody has to remember a step. The order of images by a logit of two
classes stays as it is, and so does the most probable of several. Sources: see
`evaluation.probabilities.scaling`.
"""

from __future__ import annotations

from typing import Any

from pellucid.evaluation.judged import Judged
from pellucid.evaluation.probabilities.scaling import Method, Scaling, fit_scaling
from pellucid.network.classifier import Classifier, head_name, scale_logits
from pellucid.outputs import probabilities_from_logits
from pellucid.prediction import predict_logits
from pellucid.preparation import Prepared
from pellucid.progress import Progress
from pellucid.run import Run
from pellucid.task import Target


def calibrate(run: Run, prepared: Prepared, classifier: Classifier, progress: Progress) -> None:
    """Fit a scaling of each target on the validation images, and fold it into the head.

    `run.json` gets what was done, or why nothing was. The images that choose the epoch choose the
    scaling too, so that it is a little too sure.
    """
    task, rows = prepared.dataset.task, prepared.rows("validation")
    done: dict[str, dict[str, Any]] = {}
    if prepared.plan.calibration == "validation" and len(rows):
        logits = predict_logits(classifier, prepared.cache.pixels[rows], prepared.preprocessing)
        codes, table = prepared.dataset.codes()[rows], prepared.dataset.table.iloc[rows]
        for number, target in enumerate(task.targets):
            known = codes[:, number] >= 0
            own = probabilities_from_logits(logits[:, task.slices()[target.name]], target)
            judged = Judged(target, "validation", own[known], codes[known, number], table[known])
            scaling, reason = _fit(judged, target)
            if scaling is not None:
                scale_logits(classifier.heads[head_name(target.name)], *_line(scaling))
                progress.say(f"Calibrated on validation: {describe(scaling)}")
            done[target.name] = (
                {"reason": reason}
                if scaling is None
                else {"method": scaling.method, **scaling.parameters}
            )
    run.add_facts(training={**run.facts.get("training", {}), "calibration": done})


def _fit(judged: Judged, target: Target) -> tuple[Scaling | None, str]:
    """The scaling, or None with the reason; one that would turn ranks round is not taken."""
    if not len(judged.codes):
        return None, "no validation image has a label"
    method: Method = "platt" if target.is_binary else "temperature"
    scaling, reason = fit_scaling(judged, method)
    if scaling is not None and _line(scaling)[0] <= 0:
        return None, "on validation the network ranks the classes the wrong way round"
    return scaling, reason


def _line(scaling: Scaling) -> tuple[float, float]:
    """Slope and intercept of a scaling, for `scale_logits`."""
    if scaling.method == "temperature":
        return 1 / scaling.parameters["temperature"], 0.0
    return scaling.parameters["slope"], scaling.parameters["intercept"]


def describe(scaling: Scaling) -> str:
    """The scaling as a formula.

    >>> describe(Scaling("platt", {"intercept": -0.25, "slope": 0.8}, "validation"))
    'logit → 0.80 · logit - 0.25'
    """
    slope, intercept = _line(scaling)
    sign = "-" if intercept < 0 else "+"
    added = f" {sign} {abs(intercept):.2f}" if scaling.method == "platt" else ""
    return f"logit → {slope:.2f} · logit{added}"
