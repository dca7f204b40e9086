"""Size, channels and normalisation: shapes, ranges, what stays the same, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pellucid.errors import PlanError
from pellucid.images.preprocessing import (
    LUMA,
    Preprocessing,
    normalise,
    place_back,
    preprocess,
)

sizes = st.integers(1, 40)
channels = st.sampled_from([1, 3])
fits = st.sampled_from(["pad", "stretch"])


@settings(deadline=None, max_examples=60)
@given(sizes, sizes, sizes, channels, channels, fits, st.integers(0, 2**32 - 1))
def test_shape_and_range(
    height: int, width: int, size: int, given_: int, wanted: int, fit: str, seed: int
) -> None:
    pixels = np.random.default_rng(seed).random((given_, height, width), dtype=np.float32)
    plan = Preprocessing(image_size=size, channels=wanted, fit=fit)
    result = preprocess(pixels, plan)
    assert result.shape == (wanted, size, size)
    assert result.dtype == np.uint8
    assert result.max() <= np.ceil(pixels.max() * 255)


@settings(deadline=None, max_examples=60)
@given(sizes, sizes, sizes, channels, channels, st.integers(0, 255))
def test_a_constant_image_stays_constant(
    height: int, width: int, size: int, given_: int, wanted: int, value: int
) -> None:
    pixels = np.full((given_, height, width), value / 255, dtype=np.float32)
    plan = Preprocessing(image_size=size, channels=wanted, fit="stretch")
    assert (preprocess(pixels, plan) == value).all()


@settings(deadline=None, max_examples=30)
@given(sizes, channels, fits, st.integers(0, 2**32 - 1))
def test_an_image_of_the_right_size_is_unchanged(
    size: int, count: int, fit: str, seed: int
) -> None:
    stored = np.random.default_rng(seed).integers(0, 256, (count, size, size), dtype=np.uint8)
    plan = Preprocessing(image_size=size, channels=count, fit=fit)
    np.testing.assert_array_equal(preprocess(stored.astype(np.float32) / 255, plan), stored)


def test_padding_is_black_and_centred() -> None:
    plan = Preprocessing(image_size=8, channels=1)
    wide = preprocess(np.ones((1, 10, 20), np.float32), plan)[0]
    assert (wide[2:6] == 255).all()
    assert (wide[:2] == 0).all()
    assert (wide[6:] == 0).all()
    thin = preprocess(np.ones((1, 1000, 1), np.float32), plan)[0]
    assert thin.sum(axis=0).tolist() == [0, 0, 0, 8 * 255, 0, 0, 0, 0]


def test_grey_is_repeated_and_colour_becomes_luma() -> None:
    grey = np.random.default_rng(0).random((1, 9, 9), dtype=np.float32)
    colour = preprocess(grey, Preprocessing(image_size=6, channels=3))
    assert (colour == colour[0]).all()
    np.testing.assert_array_equal(
        colour[:1], preprocess(grey, Preprocessing(image_size=6, channels=1))
    )
    for channel, weight in enumerate(LUMA):
        pure = np.zeros((3, 4, 4), np.float32)
        pure[channel] = 1
        result = preprocess(pure, Preprocessing(image_size=4, channels=1))
        assert (result == round(255 * weight)).all()


def test_shrinking_makes_no_false_pattern() -> None:
    stripes = np.tile(np.float32([0, 1]), (1, 256, 128))
    for size in (16, 60, 90):
        small = preprocess(stripes, Preprocessing(image_size=size, channels=1))
        assert abs(small.astype(int) - 127.5).max() < 30


def test_the_same_input_gives_the_same_output_and_stays_untouched() -> None:
    pixels = np.random.default_rng(0).random((3, 30, 20), dtype=np.float32)
    kept = pixels.copy()
    plan = Preprocessing(image_size=11, channels=3)
    np.testing.assert_array_equal(preprocess(pixels, plan), preprocess(pixels, plan))
    np.testing.assert_array_equal(pixels, kept)


def test_normalise() -> None:
    pixels = np.arange(2 * 3 * 2 * 2, dtype=np.uint8).reshape(2, 3, 2, 2)
    plan = Preprocessing(image_size=2, channels=3, mean=(0.1, 0.2, 0.3), std=(0.5,))
    result = normalise(pixels, plan)
    assert result.dtype == np.float32
    expected = (pixels / 255 - np.array([0.1, 0.2, 0.3])[:, None, None]) / 0.5
    np.testing.assert_allclose(result, expected, atol=1e-6)
    np.testing.assert_allclose(normalise(pixels[0], plan), expected[0], atol=1e-6)


@pytest.mark.parametrize(
    ("settings_", "words"),
    [
        ({"image_size": 0}, "between 1 and 4096"),
        ({"image_size": 10**6}, "1000000"),
        ({"image_size": "large"}, "image_size"),
        ({"channels": 2}, r"1 \(grey\) or 3 \(colour\), got 2"),
        ({"fit": "crop"}, "fit"),
        ({"mean": (0.1, 0.2)}, "mean has one number"),
        ({"mean": (127.0,)}, "Divide it by 255"),
        ({"std": (0.0,)}, "std is above 0"),
        ({"std": ()}, "std has one number"),
        ({"std": (float("nan"),)}, "std has one number"),
        ({"image_sise": 3}, 'Did you mean "image_size"'),
    ],
)
def test_wrong_settings_are_refused(settings_: dict[str, object], words: str) -> None:
    with pytest.raises(PlanError, match=words):
        Preprocessing(**{"image_size": 8, "channels": 1, **settings_})


def test_missing_settings_and_frozen() -> None:
    with pytest.raises(PlanError, match="needs channels"):
        Preprocessing(image_size=8)
    plan = Preprocessing(image_size=8, channels=1)
    with pytest.raises(ValidationError):
        plan.image_size = 9
    assert Preprocessing.model_validate_json(plan.model_dump_json()) == plan


@pytest.mark.parametrize("shape", [(4, 4), (2, 4, 4), (1, 0, 4), (1, 1, 4, 4)])
def test_wrong_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(PlanError, match="1 or 3 channels"):
        preprocess(np.zeros(shape, np.float32), Preprocessing(image_size=4, channels=1))


@pytest.mark.parametrize("fit", ["pad", "stretch"])
@pytest.mark.parametrize("shape", [(120, 60), (60, 120), (90, 90)])
def test_a_map_of_a_mark_lies_on_the_mark_again(fit: str, shape: tuple[int, int]) -> None:
    plan = Preprocessing(image_size=48, channels=1, fit=fit)
    image = np.zeros((1, *shape), dtype=np.float32)
    image[0, 10:24, 40:54] = 1.0

    seen = preprocess(image, plan)[0].astype(np.float32) / 255
    back = place_back(seen, *shape, plan)

    assert back.shape == shape
    assert back.dtype == np.float32
    assert back[13:21, 43:51].min() > 0.9
    assert back[image[0] == 0].mean() < 0.03


def test_placing_back_cuts_the_padding_away_and_keeps_values() -> None:
    plan = Preprocessing(image_size=8, channels=1)
    heat = np.full((8, 8), 5.0)
    heat[2:6] = -2.0  # a wide image of 2:1 lies in these four rows

    assert np.unique(place_back(heat, 40, 80, plan)).tolist() == [-2.0]


@pytest.mark.parametrize(("shape", "height"), [((7, 8), 4), ((8, 8, 1), 4), ((8, 8), 0)])
def test_a_map_that_is_not_the_networks_square_is_refused(
    shape: tuple[int, ...], height: int
) -> None:
    with pytest.raises(PlanError, match="map to place back is 8 x 8"):
        place_back(np.zeros(shape), height, 4, Preprocessing(image_size=8, channels=1))
