"""Which plans are worth trying beside the one that the rules give, and how a race among them goes.

What no rule can know beforehand is how deep and how large a network pays on this data within this
time. So networks and image sizes race; everything else follows by the rules. The race is successive
halving over folds: all train on the first, the better half on the next, until one is left.
Source: Jamieson and Talwalkar 2016, "Non-stochastic best arm identification", with folds as the
resource, so that every training has the time that a network will have in the end.
Knows plans and scores; it trains nothing.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pellucid.training.fingerprint import Fingerprint
from pellucid.training.hyperparameters import Plan

NETWORKS_CPU = ("plain", "resnet18")
NETWORKS_GPU = ("resnet18", "resnet34", "resnet50")
SIZES = (64, 96, 128, 160, 224, 320)
MOST_FOLDS = 5


@dataclass
class Candidate:
    """A plan in the race: what it has otherwise than the rules', and its score of each fold.

    `images_per_second` is how fast it trains here, None where no budget asks for it.
    """

    settings: Mapping[str, Any]
    scores: list[float] = field(default_factory=list)
    images_per_second: float | None = None

    @property
    def name(self) -> str:
        """What it has otherwise, in words."""
        return ", ".join(f"{key} {value}" for key, value in self.settings.items())

    @property
    def mean(self) -> float:
        """The mean score; the lowest where a fold has none."""
        known = [-math.inf if math.isnan(score) else score for score in self.scores]
        return sum(known) / len(known) if known else -math.inf


def propose(fingerprint: Fingerprint, plan: Plan, fixed: Collection[str]) -> list[Candidate]:
    """At most `plan.candidates` of them, the rules' own first; `fixed` is what the user has set.

    The nearest come first: another network, then a larger image, then both.
    """
    networks, sizes = [plan.network], [plan.image_size]
    on_gpu = fingerprint.machine.gpu is not None and plan.device != "cpu"
    if "network" not in fixed and not plan.weights:
        known = NETWORKS_GPU if on_gpu else NETWORKS_CPU
        networks += [name for name in known if name != plan.network]
    if "image_size" not in fixed:
        side = fingerprint.pictures.side
        sizes += [size for size in SIZES if plan.image_size < size <= max(side, plan.image_size)]
    pairs = [(i + j, j, i) for i in range(len(networks)) for j in range(len(sizes))]
    return [
        Candidate({"network": networks[i], "image_size": sizes[j]})
        for _, j, i in sorted(pairs)[: plan.candidates]
    ]


def count_trainings(n: int) -> int:
    """How many trainings a race of n candidates takes.

    >>> [count_trainings(n) for n in (1, 2, 3, 4, 6)]
    [0, 2, 5, 6, 11]
    """
    total = 0
    while n > 1:
        total, n = total + n, math.ceil(n / 2)
    return total


def survivors(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The better half, by the mean over the folds so far, in their order; ties go to the first."""
    kept = math.ceil(len(candidates) / 2)
    best = sorted(range(len(candidates)), key=lambda i: (-candidates[i].mean, i))[:kept]
    return [candidates[i] for i in sorted(best)]
