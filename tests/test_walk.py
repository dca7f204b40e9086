"""The walk from edges to disease: its stages, and logits that are the sums of their parts."""

from __future__ import annotations

import math

import numpy as np
import pytest

from attribution_cases import TASKS, make_bundle, make_pixels
from pellucid.errors import UsageError
from pellucid.explanation.feature_maps import feature_maps
from pellucid.explanation.walk import walk
from pellucid.network.classifier import head_name
from pellucid.prediction import predict_logits, predict_pooled


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_logit_is_the_sum_of_its_parts(task, channels):
    bundle = make_bundle(task=task, channels=channels)
    pixels = make_pixels(bundle, 1)
    way = walk(bundle, pixels)
    logits = predict_logits(bundle.classifier, pixels, bundle.preprocessing)[0]
    pooled = predict_pooled(bundle.classifier, pixels, bundle.preprocessing)[0]
    assert np.array_equal(way.pooled, pooled)
    assert [parts.logit for parts in way.logits] == [float(logit) for logit in logits]
    rows = np.concatenate(
        [
            bundle.classifier.heads[head_name(name)].weight.detach().double().numpy()
            for name in bundle.task.names
        ]
    )
    for parts, weights in zip(way.logits, rows, strict=True):
        exact = [float(f) * float(w) for f, w in zip(pooled, weights, strict=True)]
        assert parts.contributions.tolist() == exact
        assert parts.total == math.fsum([*exact, parts.bias])
        size = np.abs(parts.contributions).sum() + abs(parts.bias)
        assert abs(parts.total - parts.logit) <= 1e-6 * size


def test_logits_are_named_by_the_class_that_they_speak_for():
    way = walk(make_bundle(task="targets"), make_pixels(make_bundle(task="targets"), 1))
    named = [(parts.target, parts.label) for parts in way.logits]
    sides = [("view.side", label) for label in "abc"]
    assert named == [("label", "yes"), *sides, ("type", "no"), ("type", "yes")]


def test_a_stage_shows_its_strongest_maps_with_shape_and_field():
    bundle = make_bundle("resnet18", size=32)
    pixels = make_pixels(bundle, 1)
    way = walk(bundle, pixels[0], channels=4)
    assert [stage.layer for stage in way.stages] == ["relu", "layer1", "layer2", "layer3", "layer4"]
    assert way.stages[1].shape == (64, 32, 32)
    fields = [stage.field.size for stage in way.stages]
    assert fields == sorted(fields)
    assert fields[0] == 3
    for stage in way.stages:
        seen = feature_maps(bundle, pixels, stage.layer)
        assert list(stage.channels) == seen.strongest(4)
        assert np.array_equal(stage.maps, seen.maps[0, list(stage.channels)])
        assert list(stage.strengths) == sorted(stage.strengths, reverse=True)


def test_the_window_is_what_the_most_active_unit_sees():
    bundle = make_bundle(blocks=({"channels": 3, "pooling": "none"},))
    (stage,) = walk(bundle, make_pixels(bundle, 1)).stages
    row, column = np.unravel_index(stage.maps[0].argmax(), stage.maps[0].shape)
    assert stage.window == (row - 1.5, column - 1.5, 3)


def test_the_strongest_parts_move_the_logit_most_up_or_down():
    bundle = make_bundle(task="four classes")
    parts = walk(bundle, make_pixels(bundle, 1)).logits[2]
    sizes = np.abs(parts.contributions)
    assert sizes[parts.strongest(3)].tolist() == sorted(sizes.tolist(), reverse=True)[:3]


def test_a_walk_follows_one_image():
    bundle = make_bundle()
    with pytest.raises(UsageError, match="one image, got 2"):
        walk(bundle, make_pixels(bundle, 2))
