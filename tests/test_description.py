"""Description: features against scikit-image and by hand, and what must not change them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.feature import graycomatrix, graycoprops, match_template
from skimage.filters import sobel, threshold_otsu

from pellucid.classical.description import Description, describe, describe_grey, family_of
from pellucid.classical.filters import Patches, correlate, filters, fit_patches
from pellucid.classical.intensity import intensity
from pellucid.classical.pictures import LARGEST, grey_pictures
from pellucid.classical.shape import shape
from pellucid.classical.texture import texture
from pellucid.errors import DataError


def noise(n: int = 3, size: int = 32, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, size, size), dtype=np.uint8)


def one(values: np.ndarray) -> dict[str, float]:
    """The features of a single picture, of a function's answer."""
    return {name: float(column[0]) for name, column in values.items()}


def test_moments_and_entropy_by_hand() -> None:
    picture = np.zeros((1, 16, 16), np.uint8)
    picture[0, :8] = 100  # half 0, half 100
    found = one(intensity(picture))
    assert found["intensity.level.mean"] == 50
    assert found["intensity.level.deviation"] == 50
    assert found["intensity.level.skewness"] == pytest.approx(0)
    assert found["intensity.level.kurtosis"] == pytest.approx(-2)
    assert found["intensity.level.entropy"] == pytest.approx(1)  # one bit
    assert found["intensity.histogram.bin00"] == 0.5
    assert found["intensity.histogram.bin06"] == 0.5  # 96 to 111
    assert found["intensity.zone.mean.r0c0"] == 100
    assert found["intensity.zone.mean.r3c3"] == 0


def test_moments_as_scipy_has_them() -> None:
    from scipy.stats import kurtosis, skew

    pictures = (noise() ** 2.0 / 256).astype(np.uint8)
    found, flat = intensity(pictures), pictures.reshape(3, -1).astype(float)
    assert np.allclose(found["intensity.level.skewness"], skew(flat, axis=1))
    assert np.allclose(found["intensity.level.kurtosis"], kurtosis(flat, axis=1))
    shares = [found[f"intensity.histogram.bin{number:02d}"] for number in range(16)]
    assert np.allclose(np.sum(shares, axis=0), 1)


def test_cooccurrence_by_hand() -> None:
    """Stripes along rows, two levels one step of 8 apart: contrast 0 along, 1 across."""
    picture = np.zeros((1, 16, 16), np.uint8)
    picture[0, ::2] = 8
    found = one(texture(picture))
    assert found["texture.glcm.contrast.d1"] == pytest.approx(3 / 4)  # 0°: 0; 45°, 90°, 135°: 1
    assert found["texture.glcm.dissimilarity.d1"] == pytest.approx(3 / 4)
    assert found["texture.glcm.homogeneity.d1"] == pytest.approx((1 + 3 / 2) / 4)


def test_cooccurrence_as_scikit_image_has_it() -> None:
    pictures = noise()
    found = texture(pictures)
    angles = [0, np.pi / 4, np.pi / 2, 3 * np.pi / 4]
    for number, picture in enumerate(pictures):
        matrix = graycomatrix(
            picture // 8, [1, 2, 4], angles, levels=32, symmetric=True, normed=True
        )
        for name in ("contrast", "homogeneity", "energy", "correlation", "dissimilarity"):
            wanted = graycoprops(matrix, name).mean(axis=1)
            values = [found[f"texture.glcm.{name}.d{d}"][number] for d in (1, 2, 4)]
            assert np.allclose(values, wanted)


def test_texture_does_not_know_turns_or_brightness() -> None:
    pictures = noise() // 4
    usual = texture(pictures)
    turned = texture(np.rot90(pictures, axes=(1, 2)).copy())
    brighter = texture(pictures + np.uint8(80))
    for name, values in usual.items():
        if "glcm" in name:
            assert np.allclose(turned[name], values), name
            assert np.allclose(brighter[name], values), name  # by whole steps of 8
        else:
            # interpolated neighbours that tie are told apart by their last digits
            assert np.allclose(brighter[name], values, atol=5e-3), name


def test_binary_patterns_are_shares() -> None:
    found = texture(noise())
    for radius in (1, 2):
        shares = [v for name, v in found.items() if name.startswith(f"texture.lbp.r{radius}.")]
        assert len(shares) == {1: 10, 2: 18}[radius]
        assert np.allclose(np.sum(shares, axis=0), 1)


def test_regions_by_hand() -> None:
    picture = np.zeros((1, 32, 32), np.uint8)
    picture[0, 2:12, 2:12] = 200  # 100 pixels, a full square
    picture[0, 20:24, 4:20] = 200  # 64 pixels, long
    picture[0, 30, 30] = 200  # too small to count
    found = one(shape(picture))
    assert found["shape.bright.threshold"] == threshold_otsu(picture[0])
    assert found["shape.bright.regions"] == 2
    assert found["shape.bright.share"] == 165 / 1024
    assert found["shape.region.area.n1"] == 100 / 1024
    assert found["shape.region.eccentricity.n1"] == pytest.approx(0, abs=1e-6)
    assert found["shape.region.eccentricity.n2"] == pytest.approx(np.sqrt(1 - (4**2 - 1) / 255))
    assert found["shape.region.solidity.n1"] == found["shape.region.extent.n1"] == 1
    assert found["shape.region.area.n3"] == 0


def test_hus_moments_do_not_know_place_turn_or_mirror_up_to_a_sign() -> None:
    picture = np.zeros((32, 32), np.uint8)
    picture[4:14, 4:8] = picture[4:8, 4:18] = 255  # an L
    moved = np.roll(picture, (9, 7), axis=(0, 1))
    found = shape(np.stack([picture, moved, np.rot90(picture), picture[:, ::-1]]))
    for number in range(1, 7):
        values = found[f"shape.hu.{number}"]
        assert np.allclose(values, values[0], atol=1e-4), number
    assert found["shape.hu.7"][3] == pytest.approx(-found["shape.hu.7"][0], abs=1e-4)


def test_orientations_of_edges() -> None:
    rows = np.zeros((1, 32, 32), np.uint8)
    rows[0, ::4] = rows[0, 1::4] = 255
    columns = rows.transpose(0, 2, 1).copy()
    along = describe_grey(rows)
    across = describe_grey(columns)
    for cell in ("r1c1", "r2c2"):
        turned = [
            [float(found[f"edges.hog.{cell}.o{o}"][0]) for o in range(8)]
            for found in (along, across)
        ]
        assert np.argmax(turned, axis=1).tolist() == [4, 0]


def test_sobel_and_mean_filters() -> None:
    pictures = noise()
    found = filters(pictures)
    wanted = sobel(pictures[1].astype(float))
    assert found["filters.sobel.mean"][1] == pytest.approx(wanted.mean(), rel=1e-5)
    assert found["filters.sobel.max"][1] == pytest.approx(wanted.max(), rel=1e-5)
    dot = np.zeros((1, 32, 32), np.uint8)
    dot[0, 16, 16] = 90
    away = one(filters(dot))["filters.mean.difference.s03"]
    assert away == pytest.approx((80 + 8 * 10) / 1024)  # 90 - 10 in the middle, 10 around it


def test_correlation_as_scikit_image_has_it() -> None:
    pixels = noise(4, 40)[:, np.newaxis]
    patches = fit_patches(pixels, np.arange(4), seed=0, n_patches=5)
    found = correlate(pixels[:, 0], patches)
    assert np.abs(found).max() <= 1 + 1e-5
    for number, patch in enumerate(patches.filters):
        wanted = match_template(pixels[2, 0].astype(float), patch.astype(float))
        assert np.allclose(found[2, :, :, number], wanted, atol=1e-4)


def test_a_patch_finds_itself_whatever_the_contrast() -> None:
    picture = noise(1, 40)
    window = picture[0, 10:15, 20:25].astype(np.float32)
    window -= window.mean()
    patches = Patches((window / np.linalg.norm(window))[np.newaxis])
    fainter = (picture // 2 + 60).astype(np.uint8)
    for pictures in (picture, fainter):
        found = correlate(pictures, patches)[0, :, :, 0]
        assert np.unravel_index(found.argmax(), found.shape) == (10, 20)
        assert found.max() > 0.99


def test_patches_come_from_the_given_rows_alone_and_from_the_seed() -> None:
    pixels = noise(20, 32)[:, np.newaxis]
    train = np.arange(12)
    patches = fit_patches(pixels, train, seed=3)
    other = pixels.copy()
    other[12:] = 255 - other[12:]
    again = fit_patches(other, train, seed=3)
    assert np.array_equal(patches.filters, again.filters)
    assert not np.array_equal(patches.filters, fit_patches(pixels, train, seed=4).filters)
    assert np.allclose(patches.filters.mean(axis=(1, 2)), 0, atol=1e-6)
    assert np.allclose((patches.filters**2).sum(axis=(1, 2)), 1, atol=1e-5)


def test_constant_pictures_have_no_patches_and_finite_features() -> None:
    pixels = np.full((3, 1, 32, 32), 7, np.uint8)
    patches = fit_patches(pixels, np.arange(3), seed=0)
    assert len(patches.filters) == 0
    found = describe(pixels, patches=patches)
    assert np.isfinite(found.values).all()
    values = dict(zip(found.names, found.values[0].tolist(), strict=True))
    assert values["intensity.level.entropy"] == values["shape.bright.regions"] == 0
    assert values["texture.glcm.correlation.d1"] == 1


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (16, 16), (28, 28), (300, 200)])
def test_any_size_is_described_by_the_same_names(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 1, *size), dtype=np.uint8)
    patches = fit_patches(noise()[:, np.newaxis], np.arange(3), seed=0)
    found = describe(pixels, patches=patches)
    assert found.names == describe(noise()[:, np.newaxis], patches=patches).names
    assert found.values.dtype == np.float32
    assert np.isfinite(found.values).all()
    assert max(grey_pictures(pixels).shape) <= LARGEST


def test_a_picture_is_described_alone() -> None:
    pixels = noise(70)[:, np.newaxis]
    whole = describe(pixels)
    some = describe(pixels, [69, 3])
    assert np.allclose(some.values, whole.values[[69, 3]], rtol=1e-5, atol=1e-5)
    assert len(set(whole.names)) == whole.values.shape[1]


def test_colour_is_described_as_its_grey() -> None:
    grey = noise()[:, np.newaxis]
    assert np.array_equal(describe(grey.repeat(3, axis=1)).values, describe(grey).values)
    red = np.zeros((1, 3, 16, 16), np.uint8)
    red[:, 0] = 200
    assert describe(red).values[0, 0] == 60  # 0.299 of 200


def test_progress_and_empty() -> None:
    told: list[tuple[int, int]] = []
    describe(noise(40)[:, np.newaxis], progress=lambda done, total: told.append((done, total)))
    assert told == [(32, 40), (40, 40)]
    assert describe(noise()[:, np.newaxis], []).values.shape == (0, 0)


def test_families_hold_every_column_once() -> None:
    found = describe(noise()[:, np.newaxis])
    columns = np.concatenate(list(found.families().values()))
    assert sorted(columns) == list(range(len(found.names)))
    assert all(
        family_of(found.names[column]) == name
        for name, inside in found.families().items()
        for column in inside
    )
    assert isinstance(found, Description)


@pytest.mark.parametrize("pixels", [np.zeros((2, 16, 16), np.uint8), np.zeros((2, 1, 16, 16))])
def test_wrong_pixels_are_refused(pixels: np.ndarray) -> None:
    with pytest.raises(DataError, match="Pictures to describe are uint8"):
        describe(pixels)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 40), st.integers(1, 40), st.integers(0, 3))
def test_features_are_always_finite(seed: int, height: int, width: int, kind: int) -> None:
    random = np.random.default_rng(seed)
    pixels = random.integers(0, [256, 2, 256, 12][kind], (1, 1, height, width)).astype(np.uint8)
    if kind == 2:
        pixels[..., : width // 2] = 0
    assert np.isfinite(describe(pixels).values).all()
