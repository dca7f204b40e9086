"""Corruptions: stated amounts, the same for an image wherever it stands, and worse by severity."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image as Picture
from skimage.filters import gaussian

from pellucid.errors import UsageError
from pellucid.images.corruptions import CORRUPTIONS, SEVERITIES, corrupt

NAMES = list(CORRUPTIONS)


def pictures(n: int = 6, channels: int = 1, size: int = 40) -> np.ndarray:
    """Smooth blobs with an edge, unlike one another, away from black and white."""
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[:size, :size] / size
    made = []
    for _ in range(n):
        top, left, width = random.uniform(0.3, 0.7, 3)
        blob = np.exp(-((rows - top) ** 2 + (columns - left) ** 2) / (0.1 * width))
        made.append([60 + 100 * blob + 30 * (columns > left) for _ in range(channels)])
    return np.array(made).astype(np.uint8)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("name", NAMES)
def test_shape_and_kind_stay_and_the_original_is_not_touched(name: str, channels: int) -> None:
    pixels = pictures(3, channels)[:, :, :, :31]
    before = pixels.copy()
    for severity in SEVERITIES:
        made = corrupt(pixels, name, severity, 0)
        assert made.shape == pixels.shape
        assert made.dtype == np.uint8
        assert (made != pixels).any()
        assert not np.shares_memory(made, pixels)
    assert (pixels == before).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_higher_severity_changes_more(name: str) -> None:
    pixels = pictures().astype(float)
    change = [
        np.abs(corrupt(pictures(), name, severity, 0) - pixels).mean() for severity in SEVERITIES
    ]
    assert change[0] < change[1] < change[2]


@pytest.mark.parametrize("name", NAMES)
def test_an_image_is_corrupted_alike_in_any_company(name: str) -> None:
    pixels = pictures()
    made = corrupt(pixels, name, 2, seed=7)
    assert (corrupt(pixels, name, 2, seed=7) == made).all()
    order = np.array([3, 0, 5, 1, 4, 2])
    assert (corrupt(pixels[order], name, 2, seed=7) == made[order]).all()
    for number in range(len(pixels)):
        assert (corrupt(pixels[number : number + 1], name, 2, seed=7)[0] == made[number]).all()


@pytest.mark.parametrize("name", ["gaussian_noise", "rotation", "corner_mark"])
def test_the_seed_chooses(name: str) -> None:
    made = [corrupt(pictures(), name, 1, seed) for seed in range(8)]
    assert any((one != made[0]).any() for one in made[1:])


def test_noise_has_its_deviation_and_images_have_their_own() -> None:
    grey = np.full((2, 1, 200, 200), 128, np.uint8)
    grey[1, 0, 0, 0] = 127
    for severity, deviation in zip(SEVERITIES, CORRUPTIONS["gaussian_noise"].values, strict=True):
        made = corrupt(grey, "gaussian_noise", severity, 0).astype(float) - 128
        assert made.std() == pytest.approx(deviation, rel=0.02)
        assert abs(made.mean()) < 0.5
        assert abs(np.corrcoef(made[0].ravel(), made[1].ravel())[0, 1]) < 0.03


def test_noise_is_grey_in_a_grey_picture_of_three_channels() -> None:
    made = corrupt(pictures(2, 3), "gaussian_noise", 3, 0)
    assert (made[:, 0] == made[:, 1]).all()


def test_blur_is_scikit_images() -> None:
    pixels = pictures(2)
    for severity, sigma in zip(SEVERITIES, CORRUPTIONS["gaussian_blur"].values, strict=True):
        made = corrupt(pixels, "gaussian_blur", severity, 0).astype(float)
        expected = gaussian(pixels[0, 0].astype(float), sigma, mode="nearest", preserve_range=True)
        assert np.abs(made[0, 0] - expected).max() <= 0.6


def test_brightness_shifts_and_ends_at_white() -> None:
    grey = np.array([0, 100, 250], np.uint8).reshape(1, 1, 1, 3)
    assert corrupt(grey, "brightness", 1, 0).ravel().tolist() == [20, 120, 255]


def test_contrast_keeps_the_mean_and_shrinks_the_spread() -> None:
    pixels = pictures()
    factor = CORRUPTIONS["contrast"].values[1]
    made = corrupt(pixels, "contrast", 2, 0).astype(float)
    for one, before in zip(made, pixels.astype(float), strict=True):
        assert one.mean() == pytest.approx(before.mean(), abs=0.5)
        assert one.std() == pytest.approx(factor * before.std(), rel=0.03)


def test_jpeg_is_pillows_at_the_stated_quality() -> None:
    pixels = pictures(2, 3)
    made = corrupt(pixels, "jpeg", 2, 0)
    buffer = io.BytesIO()
    quality = int(CORRUPTIONS["jpeg"].values[1])
    Picture.fromarray(np.moveaxis(pixels[1], 0, -1).copy()).save(buffer, "JPEG", quality=quality)
    assert (np.moveaxis(made[1], 0, -1) == np.asarray(Picture.open(buffer))).all()


def test_lower_resolution_removes_what_is_finer_than_its_factor() -> None:
    stripes = np.zeros((1, 1, 32, 32), np.uint8)
    stripes[..., ::2] = 200
    assert np.ptp(corrupt(stripes, "lower_resolution", 1, 0)) <= 1
    flat = np.full((1, 1, 32, 32), 77, np.uint8)
    assert (corrupt(flat, "lower_resolution", 3, 0) == 77).all()


def test_rotation_is_by_the_stated_angle_to_either_side() -> None:
    size = 101
    line = np.zeros((40, 1, size, size), np.uint8)
    line[:, 0, size // 2 - 1 : size // 2 + 2] = 255
    line[np.arange(40), 0, 0, 0] = np.arange(40)  # pictures that differ choose differently
    made = corrupt(line, "rotation", 3, 0)[:, 0].astype(float)
    made[:, :20] = made[:, -20:] = 0
    rows, columns = np.mgrid[:size, :size] - size // 2
    angles = [
        np.degrees(np.arctan2((one * rows * columns).sum(), (one * columns**2).sum()))
        for one in made
    ]
    assert np.abs(angles) == pytest.approx(np.full(40, 20.0), abs=1.0)
    assert 5 < (np.array(angles) > 0).sum() < 35


def test_the_mark_stands_in_one_corner_and_is_white() -> None:
    black = np.zeros((60, 1, 100, 80), np.uint8)
    black[np.arange(60), 0, 50, 40] = np.arange(60) + 1
    made = corrupt(black, "corner_mark", 3, 0)
    changed = made != black
    assert set(made[changed].tolist()) == {255}
    middle = changed[:, 0, 20:80, 20:60]
    assert not middle.any()
    corners = {(bool(one[0, :50].any()), bool(one[0, :, :40].any())) for one in changed}
    assert len(corners) == 4
    rows = np.flatnonzero(changed[0, 0].any(axis=1))
    assert len(rows) == round(80 * 0.15)


def test_every_corruption_says_where_it_happens_and_in_which_unit() -> None:
    assert len(NAMES) == 8
    for name, corruption in CORRUPTIONS.items():
        assert corruption.name == name
        assert len(corruption.values) == 3
        assert corruption.where.endswith(".")
        assert corruption.unit


@settings(max_examples=40, deadline=None)
@given(
    arrays.arrays(
        np.uint8, st.tuples(*(st.integers(0, 3), st.integers(1, 3)), *[st.integers(1, 9)] * 2)
    ),
    st.sampled_from(NAMES),
    st.sampled_from(SEVERITIES),
)
def test_the_smallest_pictures_and_none_at_all(
    pixels: np.ndarray, name: str, severity: int
) -> None:
    assert corrupt(pixels, name, severity, 1).shape == pixels.shape


@pytest.mark.parametrize(
    ("pixels", "name", "severity", "seed", "message"),
    [
        (pictures(1), "jpg", 1, 0, 'Did you mean "jpeg"'),
        (pictures(1), "jpeg", 4, 0, "1, 2 or 3"),
        (pictures(1), "jpeg", 1, -1, "seed"),
        (pictures(1)[0], "jpeg", 1, 0, "uint8"),
        (pictures(1) / 255, "jpeg", 1, 0, "uint8"),
    ],
)
def test_wrong_use_is_told(
    pixels: np.ndarray, name: str, severity: int, seed: int, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        corrupt(pixels, name, severity, seed)
