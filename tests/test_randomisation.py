"""The sanity check passes maps that come of the weights, and fails those that do not."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from scipy.ndimage import sobel
from scipy.stats import spearmanr

from attribution_cases import make_bundle, make_pixels
from pellucid.bundle import Bundle
from pellucid.errors import UsageError
from pellucid.explanation.attribution.attribute import attribute
from pellucid.explanation.faithfulness.randomisation import (
    BOUND,
    cascade,
    check_randomised,
    rank_correlations,
    stage_tensors,
)
from pellucid.explanation.goals import Goal

YES = Goal("label", "yes")


def test_an_edge_detector_fails_however_good_its_pictures_look() -> None:
    """It draws outlines of what is in the image, and needs no network for it."""
    bundle = make_bundle()
    pixels = make_pixels(bundle).astype(float)

    def edges(_: Bundle) -> np.ndarray:
        return np.hypot(sobel(pixels[:, 0], axis=1), sobel(pixels[:, 0], axis=2))

    found = check_randomised(bundle, edges, seeds=(5,))
    assert found.final == pytest.approx(1)
    assert found.verdict == "failed"
    assert "not below 0.5" in found.reason


def test_an_edge_detector_with_a_touch_of_the_network_fails_too() -> None:
    bundle = make_bundle()
    pixels = make_pixels(bundle)

    def mixed(given: Bundle) -> np.ndarray:
        own = attribute(given, pixels, YES, "gradient_x_input").values
        return sobel(pixels[:, 0].astype(float), axis=1) / 100 + 0.2 * own / own.std()

    found = check_randomised(bundle, mixed)
    assert BOUND <= found.final < 1
    assert found.verdict == "failed"


def test_gradients_pass_and_the_likeness_starts_at_one() -> None:
    bundle = make_bundle(size=32, blocks=({"channels": 6}, {"channels": 8}))
    pixels = make_pixels(bundle, 4)
    counted: list[tuple[int, int]] = []
    found = check_randomised(
        bundle,
        lambda given: attribute(given, pixels, YES, "gradient_x_input").values,
        seeds=(1, 2),
        progress=lambda *done: counted.append(done),
    )
    assert found.stages == ("trained", "head", "1", "0")
    assert found.correlations.shape == (4, 2, 4)
    np.testing.assert_allclose(found.strength[0], 1)
    assert found.final < BOUND
    assert found.verdict == "passed"
    assert (found.chance < 0.3).all()
    assert found.n_silent == [0, 0, 0, 0]
    assert counted == [(i, 6) for i in range(1, 7)]


def test_maps_that_fall_silent_decide_nothing() -> None:
    bundle = make_bundle()
    noise = np.random.default_rng(0).normal(size=(3, 16, 16))

    def silent(given: Bundle) -> np.ndarray:
        return noise if given is bundle else np.zeros_like(noise)

    found = check_randomised(bundle, silent, seeds=(1,))
    assert found.n_silent == [0, 3, 3, 3]
    assert np.isnan(found.final)
    assert found.verdict == "undecided"
    assert "most maps are the same everywhere" in found.reason


@pytest.mark.parametrize(
    ("name", "size", "expected"),
    [
        ("plain", 16, ["head", "1", "0"]),
        ("resnet18", 32, ["head", "layer4", "layer3", "layer2", "layer1", "relu"]),
        ("vgg11_bn", 32, ["head"]),
    ],
)
def test_every_weight_belongs_to_one_stage_and_the_head_comes_first(
    name: str, size: int, expected: list[str]
) -> None:
    classifier = make_bundle(name, size, task="targets").classifier
    groups = stage_tensors(classifier)
    assert list(groups)[: len(expected)] == expected
    every = [tensor for tensors in groups.values() for tensor in tensors]
    assert sorted(every) == sorted(classifier.state_dict())
    assert all(tensor.startswith("heads.") for tensor in groups["head"])
    first_of_all = next(iter(classifier.state_dict()))
    assert first_of_all in list(groups.values())[-1]


def test_the_cascade_goes_from_the_head_down_and_leaves_the_network_alone() -> None:
    bundle = make_bundle()
    before = copy.deepcopy(bundle.classifier.state_dict())
    groups = stage_tensors(bundle.classifier)
    for number, randomised in enumerate(cascade(bundle, seed=9), start=1):
        state = randomised.classifier.state_dict()
        for at, tensors in enumerate(groups.values()):
            weights = [name for name in tensors if name.endswith("weight") and before[name].std()]
            for name in weights:
                assert torch.equal(state[name], before[name]) is (at >= number)
        assert not randomised.classifier.training
    assert number == len(groups)
    for name, value in bundle.classifier.state_dict().items():
        assert torch.equal(value, before[name])


def test_a_classifier_in_training_mode_stays_so() -> None:
    bundle = make_bundle()
    bundle.classifier.train()
    pixels = make_pixels(bundle)
    check_randomised(bundle, lambda given: attribute(given, pixels, YES).values, seeds=(1,))
    assert bundle.classifier.training


def test_rank_correlations_are_spearmans() -> None:
    random = np.random.default_rng(4)
    one, other = random.normal(size=(2, 5, 8, 8)).round(1)  # with ties
    other[1] = -one[1]
    other[2] = 3.0
    found = rank_correlations(one, other)
    for i in (0, 1, 3, 4):
        assert found[i] == pytest.approx(spearmanr(one[i].ravel(), other[i].ravel())[0])
    assert found[1] == pytest.approx(-1)
    assert np.isnan(found[2])


def test_no_random_network_is_refused() -> None:
    with pytest.raises(UsageError, match="at least one random network"):
        check_randomised(make_bundle(), lambda _: np.zeros((1, 16, 16)), seeds=())
