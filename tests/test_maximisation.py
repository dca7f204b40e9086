"""Activation maximisation: it climbs, repeats by its seed, and says what it reached."""

from __future__ import annotations

import numpy as np
import pytest

from attribution_cases import make_bundle, make_pixels
from pellucid.errors import UsageError
from pellucid.explanation.feature_maps import feature_maps
from pellucid.explanation.goals import Goal
from pellucid.explanation.maximisation import (
    channel_objective,
    class_objective,
    maximise,
    objective_values,
)
from pellucid.prediction import predict_logits


def test_it_climbs_far_above_noise_and_above_other_images():
    bundle = make_bundle()
    objective = channel_objective("1", 3)
    made = maximise(bundle, objective, steps=40)
    assert made.reached > made.noise
    assert made.reached > objective_values(bundle, make_pixels(bundle, 20), objective).max()
    assert made.pixels.shape == (1, 16, 16)
    assert made.pixels.dtype == np.uint8
    assert len(made.history) == 40


def test_what_it_reached_is_measured_on_the_finished_picture():
    bundle = make_bundle(channels=3)
    made = maximise(bundle, channel_objective("0", 2), steps=5)
    maps = feature_maps(bundle, made.pixels[np.newaxis], "0").maps
    assert made.reached == pytest.approx(maps[0, 2].mean(), rel=1e-5)


def test_the_same_seed_gives_the_same_picture_and_another_seed_another():
    bundle = make_bundle()
    first, again, other = (
        maximise(bundle, channel_objective("1", 0), steps=6, seed=seed) for seed in (1, 1, 2)
    )
    assert np.array_equal(first.pixels, again.pixels)
    assert first.history.tolist() == again.history.tolist()
    assert not np.array_equal(first.pixels, other.pixels)


@pytest.mark.parametrize(("label", "sign"), [("yes", 1), ("no", -1)])
def test_of_one_logit_each_class_has_its_direction(label, sign):
    bundle = make_bundle()
    made = maximise(bundle, class_objective(Goal("label", label)), steps=30)
    logit = predict_logits(bundle.classifier, made.pixels[np.newaxis], bundle.preprocessing)[0, 0]
    assert made.reached == pytest.approx(sign * logit, rel=1e-4)
    assert made.reached > made.noise


def test_the_classifier_is_left_as_it_was():
    bundle = make_bundle()
    bundle.classifier.train()
    maximise(bundle, channel_objective("1", 0), steps=2)
    assert bundle.classifier.training
    assert all(parameter.grad is None for parameter in bundle.classifier.parameters())
    assert all(parameter.requires_grad for parameter in bundle.classifier.parameters())


def test_values_of_rows_are_those_rows_values():
    bundle = make_bundle()
    pixels = make_pixels(bundle, 5)
    objective = channel_objective("1", 1)
    every = objective_values(bundle, pixels, objective)
    assert np.allclose(objective_values(bundle, pixels, objective, rows=[4, 0]), every[[4, 0]])
    assert objective_values(bundle, pixels, objective, rows=[]).shape == (0,)


def test_wrong_wishes_are_refused():
    bundle = make_bundle()
    with pytest.raises(UsageError, match="at least one step"):
        maximise(bundle, channel_objective("1", 0), steps=0)
    with pytest.raises(UsageError, match="channels 0 to 7"):
        maximise(bundle, channel_objective("1", 99), steps=1)
