"""The sanity check: a map that does not change when what was learned is thrown away shows nothing.

The stages of a copy of the classifier get new random weights one after the other, from the head
down to the first, and each time the maps are made again (Adebayo et al. 2018, cascading
randomisation). The rank correlation with the maps of the trained network must vanish. Knows how to
randomise a network; how a map is made is the caller's.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from pellucid.bundle import Bundle
from pellucid.errors import UsageError
from pellucid.explanation.faithfulness.random_maps import random_maps
from pellucid.explanation.layers import full_name, stages
from pellucid.network.classifier import Classifier, build_classifier
from pellucid.network.ensemble import of_first_member

BOUND = 0.5
"""Below it the mean |rank correlation| after full randomisation must lie: at 0.5 a quarter of the
variance of the ranks would be owed to the image and the method alone. Smooth maps of few cells
agree by chance as well; what chance gives stands beside the figure."""
NETWORKS = 3  # random ones, since one alone may agree with the trained one by chance
_FIRST_SEED = 1001  # far from the seeds of plans: where training began is no stranger to its end
_CHANCE_DRAWS = 5
TRAINED, HEAD = "trained", "head"

Floats = npt.NDArray[np.float64]
MapsOf = Callable[[Bundle], npt.NDArray[Any]]


@dataclass(frozen=True)
class Randomisation:
    """How like the maps stay while stages are randomised.

    `stages`: "trained", then the stages randomised so far, the head first. The correlations are
    (stages, networks, n), NaN where a map is the same everywhere: of the maps, and of their
    magnitudes. `chance` (n,) is the mean |correlation| of each map with random maps as smooth.
    """

    stages: tuple[str, ...]
    correlations: Floats
    magnitude_correlations: Floats
    chance: Floats

    @property
    def strength(self) -> Floats:
        """Mean |correlation| (stages, n) over the random networks; NaN where none is defined."""
        return _nan_mean(np.abs(self.correlations))

    @property
    def n_silent(self) -> list[int]:
        """How many maps of each stage, of all random networks, are the same everywhere."""
        return [int(stage.sum()) for stage in np.isnan(self.correlations)]

    @property
    def final(self) -> float:
        """Mean |correlation| when every stage is randomised."""
        return float(_nan_mean(self.strength[-1]))

    @property
    def verdict(self) -> str:
        """One of "passed", "failed", and "undecided" where most maps say nothing."""
        if np.isnan(self.correlations[-1]).mean() > 0.5:
            return "undecided"
        return "passed" if self.final < BOUND else "failed"

    @property
    def reason(self) -> str:
        """The verdict in a sentence."""
        if self.verdict == "undecided":
            return "Under random weights most maps are the same everywhere, so that none compares."
        figure = f"The mean |rank correlation| is {self.final:.2f}"
        if self.verdict == "passed":
            return f"{figure} under random weights, below {BOUND}: the maps are the model's."
        return f"{figure} under random weights, not below {BOUND}: the maps hardly need the model."


def random_seeds(n: int) -> tuple[int, ...]:
    """The seeds of n random networks."""
    return tuple(range(_FIRST_SEED, _FIRST_SEED + n))


def check_randomised(
    bundle: Bundle,
    maps_of: MapsOf,
    *,
    seeds: Sequence[int] = random_seeds(NETWORKS),
    progress: Callable[[int, int], None] | None = None,
) -> Randomisation:
    """Randomise stage after stage of a copy, and compare `maps_of(bundle)` (n, S, S) each time.

    The bundle's own classifier is left as it is. `seeds` draw one random network each. Raises
    `UsageError`.
    """
    if not seeds:
        raise UsageError("The sanity check needs at least one random network", "no seed")
    trained = np.asarray(maps_of(bundle), dtype=np.float64)
    names = list(stage_tensors(bundle.classifier))
    shape = (1 + len(names), len(seeds), len(trained))
    signed, magnitudes = np.ones(shape), np.ones(shape)
    signed[0] = magnitudes[0] = rank_correlations(trained, trained)
    for j, seed in enumerate(seeds):
        for i, randomised in enumerate(cascade(bundle, seed), start=1):
            maps = np.asarray(maps_of(randomised), dtype=np.float64)
            signed[i, j] = rank_correlations(trained, maps)
            magnitudes[i, j] = rank_correlations(np.abs(trained), np.abs(maps))
            if progress:
                progress(j * len(names) + i, len(seeds) * len(names))
    chance = _chance(trained, np.random.default_rng(seeds[0]))
    return Randomisation((TRAINED, *names), signed, magnitudes, chance)


def cascade(bundle: Bundle, seed: int) -> Iterator[Bundle]:
    """Bundles with ever more stages randomised, from the head down; each is a copy of its own."""
    fresh = build_classifier(bundle.spec, bundle.task, seed=seed).state_dict()
    state = copy.deepcopy(bundle.classifier.state_dict())
    for tensors in stage_tensors(bundle.classifier).values():
        for name in tensors:
            state[name] = fresh[name].to(state[name].device)
        classifier = copy.deepcopy(bundle.classifier)
        classifier.load_state_dict(state)
        yield dataclasses.replace(bundle, classifier=classifier)


def stage_tensors(classifier: Classifier) -> dict[str, list[str]]:
    """The names of weights and statistics of each stage, the head first, the first stage last.

    What a network holds after its last stage counts as part of the head.
    """
    ends = _last_modules(classifier)
    names = [name for name, _ in classifier.named_modules()]
    groups: dict[str, list[str]] = {stage: [] for stage in (*ends, HEAD)}
    for tensor in classifier.state_dict():
        at = names.index(of_first_member(tensor).rpartition(".")[0])
        stage = next((stage for stage, end in ends.items() if at <= end), HEAD)
        groups[HEAD if tensor.startswith("heads.") else stage].append(tensor)
    return {stage: groups[stage] for stage in reversed(groups) if groups[stage]}


def _last_modules(classifier: Classifier) -> dict[str, int]:
    """Of each stage the place of its last module in the order of modules."""
    names = [name for name, _ in classifier.named_modules()]
    ends = {}
    for stage in stages(classifier, classifier.spec):
        own = full_name(classifier, stage)
        inside = [i for i, name in enumerate(names) if name == own or name.startswith(f"{own}.")]
        ends[stage] = max(inside)
    return ends


def rank_correlations(one: Floats, other: Floats) -> Floats:
    """Spearman's rank correlation (n,) of maps (n, S, S); NaN where one is the same everywhere."""
    ranks = [rankdata(maps.reshape(len(maps), -1), axis=1) for maps in (one, other)]
    first, second = (rank - rank.mean(axis=1, keepdims=True) for rank in ranks)
    length = np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1))
    together = (first * second).sum(axis=1)
    return np.where(length > 0, together / np.where(length > 0, length, 1), np.nan)


def _chance(maps: Floats, random: np.random.Generator) -> Floats:
    """Mean |rank correlation| (n,) with random maps that are exactly as smooth."""
    found = []
    for heat in maps:
        drawn = random_maps(heat, _CHANCE_DRAWS, random)
        same = np.broadcast_to(heat, drawn.shape)
        found.append(_nan_mean(np.abs(rank_correlations(same, drawn))))
    return np.array(found)


def _nan_mean(values: Floats) -> Floats:
    """The mean of a vector, else over the axis before the last; NaN left out, NaN of none."""
    known = ~np.isnan(values)
    axis = -2 if values.ndim > 1 else -1
    counts = known.sum(axis=axis)
    sums = np.where(known, values, 0.0).sum(axis=axis)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
