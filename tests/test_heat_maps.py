"""Heat maps: the anatomy stays where the map is weak, scales carry units, pictures keep pixels."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from pellucid.reporting.drawing.heat_maps import (
    LONGEST_SIDE,
    HeatMap,
    colour_scale,
    draw_heat_maps,
    draw_overlay,
    draw_picture,
    fit_picture,
    overlay,
)


def _heat(signed: bool = False, size: tuple[int, int] = (40, 60)) -> HeatMap:
    values = np.zeros(size)
    values[5:15, 5:15] = 2.0
    if signed:
        values[25:35, 40:50] = -2.0
    return HeatMap(values, "Grad-CAM", "relative weight, 1 = strongest", signed)


def _pixels(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture.convert("RGB"))


@pytest.mark.parametrize("signed", [False, True])
def test_the_image_is_untouched_where_the_map_is_zero(signed: bool) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    heat = _heat(signed)

    shown = overlay(picture, heat)

    zero = heat.values == 0
    np.testing.assert_array_equal(shown[zero], picture[zero])
    assert np.abs(shown[~zero].astype(int) - picture[~zero]).mean() > 20


def test_what_stands_under_a_strong_place_can_still_be_seen() -> None:
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[5:15, 10:15] = 255

    shown = overlay(picture, _heat()).astype(int)

    assert (shown[6:14, 11:14].mean() - shown[6:14, 6:9].mean()) > 50


def test_for_and_against_differ_in_grey() -> None:
    shown = overlay(np.full((40, 60, 3), 128, np.uint8), _heat(signed=True)) @ [0.299, 0.587, 0.114]

    assert shown[8, 8] > 128 > shown[30, 45]


def test_an_overlay_has_the_pixels_of_the_picture_and_an_outline() -> None:
    picture = np.full((40, 60, 3), 90, np.uint8)
    drawn = _pixels(draw_overlay(picture, _heat()))

    assert drawn.shape == picture.shape
    inside = np.s_[8:12, 8:12]
    np.testing.assert_allclose(drawn[inside], overlay(picture, _heat())[inside], atol=2)
    assert drawn.max() > 240  # the outline


def test_pictures_are_bounded_and_small_ones_enlarged_by_whole_pixels() -> None:
    small = np.random.default_rng(1).random((1, 16, 12), dtype=np.float32)
    enlarged = fit_picture(small)
    assert enlarged.shape == (384, 288, 3)
    np.testing.assert_array_equal(enlarged[::24, ::24, 0], np.rint(small[0] * 255))

    assert fit_picture(np.zeros((3, 500, 700), np.float32)).shape == (500, 700, 3)
    assert max(fit_picture(np.zeros((1, 2000, 3200), np.float32)).shape) == LONGEST_SIDE


def test_the_row_of_maps_keeps_every_pixel_of_the_picture() -> None:
    picture = np.zeros((300, 600, 3), np.uint8)
    maps = [_heat(size=(300, 600)), _heat(signed=True, size=(300, 600))]

    drawn = _pixels(draw_heat_maps(picture, maps, "a.png: ILL, logit 2.3 <&$x$"))

    assert drawn.shape[1] >= 3 * 600


def test_a_scale_says_its_unit_and_its_ends() -> None:
    one = colour_scale(_heat(), "scale-a")
    assert "relative weight, 1 = strongest" in one
    assert ">2<" in one
    two = colour_scale(_heat(signed=True), "scale-b")
    assert "≥ +2" in two
    assert "≤ −2" in two


@pytest.mark.parametrize("value", [0.0, 3.0, -3.0])
def test_a_map_without_any_difference_is_drawn(value: float) -> None:
    heat = HeatMap(np.full((40, 60), value), "Occlusion", "fall of the logit", is_signed=True)
    assert _pixels(draw_overlay(np.zeros((40, 60, 3), np.uint8), heat)).shape == (40, 60, 3)
    assert colour_scale(heat, "s")


def test_one_bright_pixel_does_not_darken_the_rest_of_a_signed_map() -> None:
    values = np.random.default_rng(2).normal(0, 0.01, (64, 64))
    values[3, 3] = 50.0
    assert HeatMap(values, "", "", is_signed=True).limit < 0.1


def test_a_picture_alone() -> None:
    picture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    np.testing.assert_array_equal(_pixels(draw_picture(picture)), picture)
