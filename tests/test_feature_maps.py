"""Feature maps and filters: the numbers of the layer, ranked by the rule that is stated."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from attribution_cases import make_bundle, make_pixels
from pellucid.errors import UsageError
from pellucid.explanation.feature_maps import FeatureMaps, feature_maps, to_input, unit_fields
from pellucid.explanation.filters import filters
from pellucid.network.formulas import cross_correlation


def test_maps_are_what_the_layer_gives():
    bundle = make_bundle()
    pixels = make_pixels(bundle)
    seen = feature_maps(bundle, pixels, "0")
    with torch.no_grad():
        expected = bundle.classifier.backbone[0](to_input(bundle, pixels))
    assert np.array_equal(seen.maps, expected.numpy())
    assert seen.maps.shape == (3, 6, 8, 8)
    assert not seen.is_signed
    assert feature_maps(bundle, pixels, "0.norm").is_signed


def test_a_first_map_is_the_lectures_cross_correlation_with_the_filter():
    bundle = make_bundle()
    found = filters(bundle)
    assert found.layer == "0.conv"
    assert found.weights.shape == (6, 1, 3, 3)
    pixels = make_pixels(bundle, 1)
    seen = feature_maps(bundle, pixels, found.layer)
    image = to_input(bundle, pixels)[0].double().numpy()
    expected = cross_correlation(image, found.weights.astype(float), padding=1)
    assert np.allclose(seen.maps[0], expected, atol=1e-5)


def test_filters_of_a_colour_network_have_three_planes_and_a_length():
    found = filters(make_bundle("resnet18", size=32, channels=3))
    assert found.layer == "conv1"
    assert found.weights.shape[1] == 3
    assert found.norms[5] == pytest.approx(np.sqrt((found.weights[5].astype(float) ** 2).sum()))


def test_channels_are_ranked_by_their_mean_size_also_below_zero():
    maps = np.zeros((1, 3, 2, 2), np.float32)
    maps[0, 1], maps[0, 2, 0, 0] = -2, 7
    seen = FeatureMaps("here", maps)
    assert seen.strongest(2) == [1, 2]
    assert seen.strengths.tolist() == [[0, 2, 1.75]]


def test_pixels_of_another_kind_are_refused():
    bundle = make_bundle()
    for wrong in (np.zeros((1, 1, 8, 8), np.uint8), np.zeros((1, 1, 16, 16), np.float32)):
        with pytest.raises(UsageError, match="uint8 pixels"):
            feature_maps(bundle, wrong, "0")
    with pytest.raises(UsageError, match="no such layer"):
        feature_maps(bundle, make_pixels(bundle), "7")


def test_where_a_field_cannot_be_followed_a_unit_may_see_everything(monkeypatch):
    from pellucid.explanation import feature_maps as module

    bundle = make_bundle()
    assert unit_fields(bundle, {"0.conv": 16})["0.conv"].size == 3
    monkeypatch.setattr(module, "receptive_fields", lambda classifier, spec: {})
    field = unit_fields(bundle, {"0": 8})["0"]
    assert (field.size, field.stride, field.start) == (16, 2, 0.5)
    assert field.is_whole_image
