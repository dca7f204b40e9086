"""Goals: which class of which target is explained, and the score that an explanation follows.

The score is a logit, never a probability: softmax makes the score of one class fall when another
rises, so that a map of it would also show what speaks for the others. This module knows the task
and the classifier's output; it does not know how a score is explained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pellucid.bundle import Bundle
from pellucid.errors import UsageError, did_you_mean
from pellucid.network.classifier import evaluating
from pellucid.network.spec import NetworkSpec
from pellucid.outputs import probabilities_from_logits
from pellucid.prediction import predict_logits
from pellucid.task import Target, Task


@dataclass(frozen=True)
class Goal:
    """What is explained: the class `label` of the target `target`."""

    target: str
    label: str


def find_target(task: Task, name: str | None = None) -> Target:
    """The target of that name; without a name the only one. Raises `UsageError`."""
    if name is None:
        if len(task.targets) > 1:
            known = ", ".join(task.names)
            raise UsageError("Several targets: one must be named", "none", f"Known: {known}.")
        return task.targets[0]
    for target in task.targets:
        if target.name == name:
            return target
    raise UsageError("Unknown target", repr(name), did_you_mean(name, list(task.names)))


def find_goal(task: Task, target: str | None = None, label: str | None = None) -> Goal:
    """The goal that a user names; of two classes the positive one where no label is given.

    Raises `UsageError` for an unknown target or class, for none where there are several targets,
    and for no label where there are more than two classes.
    """
    asked = find_target(task, target)
    if label is None:
        if asked.positive is None:
            rule = f"Target {asked.name!r} has {len(asked.classes)} classes: one must be named"
            raise UsageError(rule, "none", f"Known: {', '.join(asked.classes)}.")
        return Goal(asked.name, asked.positive)
    if label not in asked.classes:
        rule = f"Unknown class of target {asked.name!r}"
        raise UsageError(rule, repr(label), did_you_mean(label, list(asked.classes)))
    return Goal(asked.name, label)


def predicted_goals(
    bundle: Bundle, pixels: npt.NDArray[np.uint8], target: str | None = None
) -> list[Goal]:
    """For each image (n, C, S, S) the class that the classifier calls; the likeliest one.

    Of two classes equally likely the second, positive one is called, as at a threshold of 0.5.
    """
    asked = find_target(bundle.task, target)
    images = check_pixels(pixels, bundle.spec)
    with evaluating(bundle.classifier):
        logits = predict_logits(bundle.classifier, images, bundle.preprocessing)
    p = probabilities_from_logits(logits[:, bundle.task.slices()[asked.name]], asked)
    codes = (p[:, 1] >= 0.5).astype(int) if asked.is_binary else p.argmax(axis=1)
    return [Goal(asked.name, asked.classes[code]) for code in codes]


def goals_of_each(task: Task, goals: Goal | Sequence[Goal], n: int) -> tuple[Goal, ...]:
    """One goal for each of n images: one for all of them, or a sequence of n. Checks each."""
    each = (goals,) * n if isinstance(goals, Goal) else tuple(goals)
    if len(each) != n:
        rule = f"There is one goal for all images or one for each of {n}"
        raise UsageError(rule, str(len(each)))
    for goal in dict.fromkeys(each):
        if not isinstance(goal, Goal):
            raise UsageError("A goal is a Goal(target, label)", repr(goal))
        find_goal(task, goal.target, goal.label)
    return each


def goal_score(logits: Tensor, task: Task, goal: Goal) -> Tensor:
    """The goal's score (n,) from all logits (n, task.n_logits): that class's own logit.

    A target of one logit z gives +z for its positive class and -z for the other, since the odds of
    the other class are e^(-z) (lecture, "output layers").
    """
    target = find_target(task, goal.target)
    code = target.classes.index(goal.label)
    block = logits[:, task.slices()[target.name]]
    if target.n_logits == 1:
        return block[:, 0] if code == 1 else -block[:, 0]
    return block[:, code]


def goal_scores(logits: Tensor, task: Task, goals: Sequence[Goal]) -> Tensor:
    """Each image's score (n,) for its own goal."""
    rows = [goal_score(logits[i : i + 1], task, goal) for i, goal in enumerate(goals)]
    return torch.cat(rows)


def check_pixels(pixels: npt.NDArray[Any], spec: NetworkSpec) -> npt.NDArray[np.uint8]:
    """The images as given, when they are uint8 (n, C, S, S) for this network, and at least one."""
    shape = (spec.channels, spec.image_size, spec.image_size)
    rule = f"Images to explain are uint8 (n, {', '.join(map(str, shape))})"
    remedy = "Make them with pellucid.images.preprocessing.preprocess."
    if not isinstance(pixels, np.ndarray) or pixels.ndim != 4 or pixels.shape[1:] != shape:
        raise UsageError(rule, str(getattr(pixels, "shape", type(pixels).__name__)), remedy)
    if pixels.dtype != np.uint8:
        raise UsageError(rule, str(pixels.dtype), remedy)
    if not len(pixels):
        raise UsageError(rule, "no image")
    return pixels
