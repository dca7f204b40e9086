"""Windows: presets and numbers, what they are laid over, and what they are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from imagecodecs import png_encode
from PIL import Image as Picture

from pellucid.errors import UsageError
from pellucid.images.reading import read_image
from pellucid.images.windows import PRESETS, Window, apply_window, parse_window

RAMP = (np.arange(35, dtype=np.uint16) * 1800).reshape(5, 7)


def expected(stored: np.ndarray, centre: float, width: float) -> np.ndarray:
    """PS3.3, C.11.2.1.2.1, with an output from 0 to 1."""
    values = stored.astype(np.float64)
    return np.clip((values - (centre - 0.5)) / (width - 1) + 0.5, 0, 1)


def test_presets_and_numbers() -> None:
    assert parse_window(None) is None
    assert parse_window(" ") is None
    assert parse_window("lung") == Window(-600, 1500, "lung")
    assert parse_window("Soft Tissue") == Window(40, 400, "soft_tissue")
    assert parse_window("-600, 1500") == Window(-600, 1500)
    assert all(width > 1 for _, width in PRESETS.values())
    assert str(parse_window("brain")) == "brain 40 80"
    assert str(parse_window("40,400")) == "linear 40 400"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lungs", 'Did you mean "lung"'),
        ("40", "or CENTER,WIDTH"),
        ("40,400,7", "two numbers"),
        ("a,b", "two numbers"),
        ("nan,400", "finite"),
        ("40,inf", "finite"),
        ("40,0.5", "width is 1 or more, got 0.5"),
        ("40,-400", "width is 1 or more"),
    ],
)
def test_what_is_no_window(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_window(text)


def test_a_wrong_window_is_the_user_s_and_not_the_file_s(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        read_image(tmp_path / "absent.png", window="lnug")


def test_the_formulas_of_the_standard() -> None:
    values = np.linspace(-1000, 1000, 41, dtype=np.float32)
    linear = apply_window(values, 40, 400)
    np.testing.assert_allclose(linear, expected(values, 40, 400), atol=1e-6)
    exact = np.clip((values - 40) / 400 + 0.5, 0, 1)
    np.testing.assert_allclose(apply_window(values, 40, 400, "LINEAR_EXACT"), exact, atol=1e-6)
    sigmoid = 1 / (1 + np.exp(-4 * (values.astype(np.float64) - 40) / 400))
    np.testing.assert_allclose(apply_window(values, 40, 400, "SIGMOID"), sigmoid, atol=1e-6)
    assert apply_window(values, 1e30, 1e-3, "SIGMOID").max() == 0
    np.testing.assert_array_equal(apply_window(values, 0.5, 1), values > 0)
    assert linear.dtype == np.float32


def write(path: Path, stored: np.ndarray) -> Path:
    if path.suffix == ".png":
        path.write_bytes(png_encode(stored))
    elif path.suffix == ".tif":
        tifffile.imwrite(path, stored, photometric="rgb" if stored.ndim == 3 else None)
    else:
        np.save(path, stored)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.npy"])
def test_sixteen_bits_are_kept_until_the_window(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, RAMP)
    whole = read_image(path)
    np.testing.assert_allclose(whole.pixels[0], RAMP / 65535, atol=1e-7)
    assert "window" not in whole.facts
    image = read_image(path, window="30000,256")  # 256 of 65,536 levels: lost in 8 bits
    np.testing.assert_allclose(image.pixels[0], expected(RAMP, 30000, 256), atol=1e-5)
    assert image.facts["window"] == "linear 30000 256"


def test_white_is_zero_windows_before_it_inverts(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", RAMP, photometric="miniswhite")
    pixels = read_image(tmp_path / "a.tif", window="30000,20000").pixels[0]
    np.testing.assert_allclose(pixels, 1 - expected(RAMP, 30000, 20000), atol=1e-5)


def test_opacity_is_not_windowed(tmp_path: Path) -> None:
    stored = np.stack([RAMP, np.full_like(RAMP, 65535)], axis=-1)
    path = write(tmp_path / "a.png", stored)
    pixels = read_image(path, window="30000,20000").pixels
    assert pixels.shape == (1, 5, 7)
    np.testing.assert_allclose(pixels[0], expected(RAMP, 30000, 20000), atol=1e-5)


def test_signed_numbers_are_hounsfield_units(tmp_path: Path) -> None:
    hounsfield = np.arange(-1000, 1100, 60, dtype=np.int16).reshape(5, 7)
    for name in ("a.tif", "a.npy"):
        image = read_image(write(tmp_path / name, hounsfield), window="lung")
        np.testing.assert_allclose(image.pixels[0], expected(hounsfield, -600, 1500), atol=1e-5)
        assert image.facts["window"] == "lung -600 1500"
    floats = write(tmp_path / "b.npy", hounsfield.astype(np.float32))
    np.testing.assert_allclose(
        read_image(floats, window="bone").pixels[0], expected(hounsfield, 400, 1800), atol=1e-5
    )


def test_where_a_window_means_nothing_the_picture_stays_and_the_facts_say_so(
    tmp_path: Path,
) -> None:
    grey8 = (RAMP // 257).astype(np.uint8)
    colour16 = np.stack([RAMP] * 3, axis=-1)
    for stored, name, window, words in (
        (grey8, "a.png", "100,50", "not applied: 8 bits"),
        (colour16, "b.png", "100,50", "not applied: colour"),
        (colour16, "c.tif", "lung", "not applied: colour"),
        (RAMP, "d.png", "lung", "not applied: no Hounsfield units"),
        (RAMP / np.float32(65535), "e.npy", "lung", "not applied: no Hounsfield units"),
    ):
        path = write(tmp_path / name, stored)
        image = read_image(path, window=window)
        np.testing.assert_array_equal(image.pixels, read_image(path).pixels)
        assert image.facts["window"] == words
    Picture.fromarray(grey8).save(tmp_path / "f.jpg")
    assert read_image(tmp_path / "f.jpg", window="lung").facts["window"] == "not applied: 8 bits"
