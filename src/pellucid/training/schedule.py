"""The learning rate over a training, and what a time budget does to it and to the epochs.

Numbers only: no torch, no clock; times are given in seconds.
"""

from __future__ import annotations

import math

from pellucid.training.hyperparameters import Plan

WARMUP_SHARE = 0.1  # under a budget, the warm-up takes at most this share of the time
LEAST_EPOCH = 0.2  # a smaller part of an epoch is not worth a validation


def learning_rate(plan: Plan, position: float, elapsed: float = 0.0) -> float:
    """The rate at `position` epochs from the start, `elapsed` seconds into the training.

    A linear rise over `warmup_epochs`, times half a cosine wave from 1 to 0. How far the wave is
    follows the share of the epochs done or of the budget spent, whichever is larger: so the rate
    reaches 0 at the end however slow the machine is.
    Source: Loshchilov and Hutter 2017, "SGDR", without restarts.
    """
    spent = elapsed / plan.budget_seconds if plan.budget_seconds else 0.0
    warm = 1.0
    if plan.warmup_epochs > 0.0:
        warm = min(1.0, max(position / plan.warmup_epochs, spent / WARMUP_SHARE))
    if plan.schedule == "constant":
        return plan.learning_rate * warm
    share = min(1.0, max(position / plan.epochs, spent))
    return plan.learning_rate * warm * 0.5 * (1.0 + math.cos(math.pi * share))


def epochs_planned(
    plan: Plan, done: int, train_seconds: float, validation_seconds: float, elapsed: float
) -> int:
    """How many epochs there will be at the speed of the last one; the last may be cut short."""
    if plan.budget_seconds is None:
        return plan.epochs
    whole = max(train_seconds + validation_seconds, 1e-9)
    left = max(0.0, plan.budget_seconds - elapsed)
    rest = left % whole - validation_seconds
    more = int(left // whole) + (1 if rest >= LEAST_EPOCH * train_seconds else 0)
    return min(plan.epochs, done + more)


def is_out_of_time(
    plan: Plan, elapsed: float, step_seconds: float, validation_seconds: float
) -> bool:
    """Whether one more step and the validation after it would break the budget."""
    if plan.budget_seconds is None:
        return False
    return elapsed + step_seconds + validation_seconds > plan.budget_seconds
