"""The plan of each network of an ensemble: its own seed, and its share of the time.

Members differ by where their weights began and by every draw of batches and augmentation, so that
their mistakes differ too; of an ensemble of folds, by their images as well. Knows plans alone; it
does not know how members are trained or joined.
"""

from __future__ import annotations

from typing import Any

from pellucid.training.batches import FOR_MEMBER, seed_for
from pellucid.training.hyperparameters import Plan

LEAST_SHARE = 0.02  # of the budget is left to a member, however long those before it took


def n_networks(plan: Plan) -> int:
    """How many networks are trained: the members, and the one that learns from them."""
    return plan.members + plan.distil


def member_plan(plan: Plan, number: int, spent: float = 0.0) -> Plan:
    """The plan of the network `number`, from 1; the first keeps the seed of the whole.

    `spent` are the seconds that those before it took: what one leaves goes to those after it.
    """
    changes: dict[str, Any] = {"members": 1, "ensemble_of": "seeds", "distil": False}
    if number > 1:
        changes["seed"] = seed_for(plan.seed, number, 0, FOR_MEMBER)
    if plan.budget_seconds is not None:
        share = (plan.budget_seconds - spent) / (n_networks(plan) - number + 1)
        changes["budget_seconds"] = max(share, LEAST_SHARE * plan.budget_seconds)
    return plan.model_copy(update=changes)
