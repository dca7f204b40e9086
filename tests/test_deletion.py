"""Deletion and insertion on a network whose evidence is known: it adds up what is bright."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from scipy.special import expit

from attribution_cases import make_bundle, make_pixels
from pellucid.bundle import Bundle
from pellucid.errors import UsageError
from pellucid.explanation.faithfulness.deletion import deletion_insertion, goal_probabilities
from pellucid.explanation.faithfulness.random_maps import random_maps, rank_pixels
from pellucid.explanation.goals import Goal
from pellucid.images.preprocessing import Preprocessing

YES, NO = Goal("label", "yes"), Goal("label", "no")
SIZE = 16


def make_summing_bundle() -> Bundle:
    """The logit is 120 · mean over the image of max(0, x - 0.5) - 2, for x in [0, 1]."""
    block = {"channels": 1, "kernel": 1, "norm": "none", "pooling": "none"}
    bundle = make_bundle(size=SIZE, blocks=(block,))
    with torch.no_grad():
        bundle.classifier.backbone[0].conv.weight.fill_(1.0)
        bundle.classifier.backbone[0].conv.bias.fill_(0.0)
        head = bundle.classifier.heads["label"]
        head.weight.fill_(120.0)
        head.bias.fill_(-2.0)
    plain = Preprocessing(image_size=SIZE, channels=1, mean=(0.5,), std=(1.0,))
    return dataclasses.replace(bundle, preprocessing=plain)


def make_squares(n: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Dark images (n, 1, S, S) with one bright square each, and where it is (n, S, S)."""
    random = np.random.default_rng(3)
    pixels = np.full((n, 1, SIZE, SIZE), 40, dtype=np.uint8)
    masks = np.zeros((n, SIZE, SIZE), dtype=bool)
    for image, mask in zip(pixels, masks, strict=True):
        row, column = random.integers(0, SIZE - 4, 2)
        mask[row : row + 4, column : column + 4] = True
        image[0][mask] = 250
    return pixels, masks


def test_the_map_of_the_evidence_beats_random_maps_and_its_opposite_loses_to_them() -> None:
    bundle = make_summing_bundle()
    pixels, masks = make_squares()
    right = deletion_insertion(bundle, pixels, YES, masks.astype(float))
    assert right.shares.tolist() == pytest.approx(np.linspace(0, 1, 11).tolist())
    assert right.deletion_gains.min() > 0.1
    assert right.insertion_gains.min() > 0.1
    assert (right.deletion[:, 1] < 0.25).all()  # the square is 6 % of the image
    wrong = deletion_insertion(bundle, pixels, YES, -masks.astype(float))
    assert wrong.deletion_gains.max() < -0.1
    assert wrong.insertion_gains.max() < -0.1


def test_for_the_other_class_the_signs_turn() -> None:
    bundle = make_summing_bundle()
    pixels, masks = make_squares(3)
    found = deletion_insertion(bundle, pixels, NO, masks.astype(float))
    assert found.deletion_gains.max() < -0.1


def test_the_ends_of_the_curves_are_the_image_and_what_replaces_it() -> None:
    bundle = make_bundle(channels=3, task="targets")
    pixels = make_pixels(bundle)
    goals = [Goal("view.side", label) for label in "abc"]
    maps = np.random.default_rng(0).normal(size=(3, 16, 16))
    found = deletion_insertion(bundle, pixels, goals, maps, steps=4, replaced="mean")
    whole = [goal_probabilities(bundle, pixels[i : i + 1], goals[i])[0] for i in range(3)]
    means = np.round(pixels.mean(axis=(2, 3), keepdims=True)).astype(np.uint8)
    empty = np.broadcast_to(means, pixels.shape)
    gone = [goal_probabilities(bundle, empty[i : i + 1], goals[i])[0] for i in range(3)]
    for first, last in (
        (found.deletion, found.insertion),
        (found.random_deletion, found.random_insertion),
    ):
        np.testing.assert_allclose(first[:, 0], whole, atol=1e-6)
        np.testing.assert_allclose(last[:, -1], whole, atol=1e-6)
        np.testing.assert_allclose(first[:, -1], gone, atol=1e-6)
        np.testing.assert_allclose(last[:, 0], gone, atol=1e-6)


def test_a_step_by_hand() -> None:
    """Half of the pixels: the left half goes first, and leaves the mean of the whole image."""
    bundle = make_summing_bundle()
    pixels = np.zeros((1, 1, SIZE, SIZE), dtype=np.uint8)
    pixels[..., : SIZE // 2] = 150
    left = (np.arange(SIZE) < SIZE // 2)[None, None] * np.ones((1, SIZE, 1))
    found = deletion_insertion(bundle, pixels, YES, left, steps=2, replaced="mean")
    bright = 120 * 0.5 * (150 / 255 - 0.5) - 2
    np.testing.assert_allclose(found.deletion[0], expit([bright, -2, -2]), atol=1e-6)
    np.testing.assert_allclose(found.insertion[0], expit([-2, bright, bright]), atol=1e-6)
    area = expit(bright) / 4 + expit(-2) * 3 / 4
    np.testing.assert_allclose(found.area(found.deletion), [area], atol=1e-6)


def test_a_map_that_is_the_same_everywhere_is_no_better_than_random() -> None:
    """In particular it does not go row by row from the top."""
    bundle = make_summing_bundle()
    pixels, masks = make_squares(24)
    found = deletion_insertion(bundle, pixels, YES, np.zeros(masks.shape), rankings=3)
    error = found.deletion_gains.std() / np.sqrt(len(pixels))
    assert abs(found.deletion_gains.mean()) < 4 * error + 0.02


def test_the_seed_decides_and_the_network_is_left_as_it_was() -> None:
    bundle = make_bundle()
    pixels = make_pixels(bundle)
    maps = pixels[:, 0].astype(float)
    bundle.classifier.train()
    counted: list[tuple[int, int]] = []
    one, same, other = (
        deletion_insertion(
            bundle, pixels, YES, maps, seed=seed, progress=lambda *done: counted.append(done)
        )
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one.random_deletion, same.random_deletion)
    assert (one.random_deletion != other.random_deletion).any()
    assert counted[:3] == [(1, 3), (2, 3), (3, 3)]
    assert bundle.classifier.training


def test_random_maps_are_as_smooth_as_the_map() -> None:
    rows = np.arange(32)
    heat = np.exp(-((rows[:, None] - 9) ** 2 + (rows[None] - 20) ** 2) / 30)
    drawn = random_maps(heat, 4, np.random.default_rng(0))
    spectra = np.abs(np.fft.fft2(drawn))
    expected = np.abs(np.fft.fft2(heat - heat.mean()))
    np.testing.assert_allclose(
        np.delete(spectra.reshape(4, -1), 0, 1)[:, :100],
        np.broadcast_to(np.delete(expected.ravel(), 0)[:100], (4, 100)),
        atol=1e-8,
    )
    np.testing.assert_allclose(drawn.mean(axis=(1, 2)), 0, atol=1e-12)
    places = {int(one.argmax()) for one in drawn}
    assert len(places) == 4


def test_ranks_go_from_the_highest_value_and_ties_by_a_smooth_field() -> None:
    heat = np.zeros((1, 16, 16))
    heat[0, 3, 5], heat[0, 7, 7] = 2, 1
    ranks = rank_pixels(heat, np.random.default_rng(0))[0]
    assert (ranks[3, 5], ranks[7, 7]) == (0, 1)
    assert sorted(ranks.ravel()) == list(range(256))
    first = ranks < 64
    neighbours = (first[1:] & first[:-1]).sum() / first.sum()
    assert neighbours > 0.5  # of scattered pixels a quarter would have one below
    assert not first[:4].all()


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"maps": np.zeros((2, 16, 16))}, "one map an image"),
        ({"maps": np.full((3, 16, 16), np.nan)}, "finite"),
        ({"replaced": "noise"}, "replaced"),
        ({"steps": 0}, "steps"),
        ({"rankings": 21}, "rankings"),
        ({"goals": [YES]}, "one goal"),
    ],
)
def test_what_is_refused(change: dict[str, object], word: str) -> None:
    bundle = make_bundle()
    given = {"goals": YES, "maps": np.zeros((3, 16, 16)), **change}
    with pytest.raises(UsageError, match=word):
        deletion_insertion(bundle, make_pixels(bundle), **given)
