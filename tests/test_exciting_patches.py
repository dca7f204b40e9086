"""Exciting patches: the strongest places, one a patient, cut where the unit looks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from attribution_cases import make_bundle, make_pixels
from pellucid.bundle import Bundle
from pellucid.errors import UsageError
from pellucid.explanation import exciting_patches as module
from pellucid.explanation.exciting_patches import exciting_patches
from pellucid.explanation.feature_maps import feature_maps


def bright_dot_finder() -> Bundle:
    """A network whose first channel is the image itself, and whose second is never active."""
    bundle = make_bundle(blocks=({"channels": 2, "norm": "none", "pooling": "none"},))
    convolution = bundle.classifier.backbone[0].conv
    with torch.no_grad():
        convolution.weight.zero_()
        convolution.bias.zero_()
        convolution.weight[0, 0, 1, 1] = 1
        convolution.bias[1] = -1
    return bundle


def dots(*places: tuple[int, int, int]) -> np.ndarray:
    """Grey images with one dot each: (row, column, brightness)."""
    images = np.full((len(places), 1, 16, 16), 90, np.uint8)
    for image, (row, column, brightness) in zip(images, places, strict=True):
        image[0, row, column] = brightness
    return images


def test_the_patch_lies_around_the_dot_strongest_first():
    pixels = dots((5, 9, 200), (12, 3, 250), (8, 8, 220))
    found = exciting_patches(bright_dot_finder(), pixels, "0", [0, 1])
    patches = found.patches[0]
    assert [patch.image for patch in patches] == [1, 2, 0]
    assert [patch.unit for patch in patches] == [(12, 3), (8, 8), (5, 9)]
    assert patches[0].activation == pytest.approx((250 / 255 - 0.4) / 0.25, rel=1e-5)
    assert found.field == 3
    assert not found.is_whole_image
    for patch in patches:
        assert patch.corner == (patch.unit[0] - 1, patch.unit[1] - 1)
        assert patch.centre == (1, 1)
        assert patch.pixels[0, 1, 1] == pixels[patch.image].max()
        assert patch.inside.all()
    assert found.patches[1] == ()


def test_at_a_corner_the_patch_shows_where_no_image_is():
    (patch,) = exciting_patches(bright_dot_finder(), dots((0, 15, 255)), "0", [0]).patches[0]
    assert patch.corner == (-1, 14)
    assert patch.inside.tolist() == [[False] * 3, [True, True, False], [True, True, False]]
    assert patch.pixels[0].tolist() == [[0, 0, 0], [90, 255, 0], [90, 90, 0]]


def test_a_patient_is_shown_once_and_only_the_rows_asked_for():
    pixels = dots((5, 9, 200), (12, 3, 250), (8, 8, 220), (2, 2, 255))
    bundle = bright_dot_finder()
    chosen = {"groups": ["a", "b", "b", "c"], "rows": [0, 1, 2]}
    found = exciting_patches(bundle, pixels, "0", [0], **chosen)
    assert [patch.image for patch in found.patches[0]] == [1, 0]
    assert found.n_images == 3
    few = exciting_patches(bundle, pixels, "0", [0], n_patches=2)
    assert [patch.image for patch in few.patches[0]] == [3, 1]


def test_batches_of_any_size_find_the_same(monkeypatch):
    bundle, counts = make_bundle(), []
    pixels = make_pixels(bundle, 11)
    whole = exciting_patches(bundle, pixels, "1", [0, 5], n_patches=4)
    monkeypatch.setattr(module, "_BATCH_IMAGES", 2)
    parts = exciting_patches(
        bundle, pixels, "1", [0, 5], n_patches=4, progress=lambda done, _: counts.append(done)
    )
    assert counts == [2, 4, 6, 8, 10, 11]
    for channel in (0, 5):
        pairs = zip(whole.patches[channel], parts.patches[channel], strict=True)
        assert all((one.image, one.unit) == (two.image, two.unit) for one, two in pairs)
    peaks = feature_maps(bundle, pixels, "1").maps[:, 5].max(axis=(1, 2))
    values = [patch.activation for patch in whole.patches[5]]
    assert np.allclose(values, np.sort(peaks)[::-1][:4], rtol=1e-5)


def test_only_the_pixels_in_the_patch_decide_the_activation():
    bundle = make_bundle(blocks=({"channels": 4}, {"channels": 4, "pooling": "none"}))
    pixels = make_pixels(bundle, 4)
    found = exciting_patches(bundle, pixels, "1", [2])
    side = round(found.field)
    assert side == 8
    for patch in found.patches[2]:
        other = np.random.default_rng(0).integers(0, 256, pixels.shape[1:], dtype=np.uint8)
        rows, columns = (slice(max(k, 0), k + side) for k in patch.corner)
        other[:, rows, columns] = pixels[patch.image][:, rows, columns]
        again = feature_maps(bundle, other[np.newaxis], "1").maps[0, 2][patch.unit]
        assert again == pytest.approx(patch.activation, rel=1e-4)


def test_a_field_as_large_as_the_image_shows_the_whole_image():
    bundle = make_bundle("resnet18", size=32)
    pixels = make_pixels(bundle, 2)
    found = exciting_patches(bundle, pixels, "layer4", [1])
    assert found.is_whole_image
    for patch in found.patches[1]:
        assert np.array_equal(patch.pixels, pixels[patch.image])
        assert patch.corner == (0, 0)


def test_a_channel_that_the_layer_has_not_is_refused():
    bundle = make_bundle()
    with pytest.raises(UsageError, match="channels 0 to 7"):
        exciting_patches(bundle, make_pixels(bundle), "1", [8])
