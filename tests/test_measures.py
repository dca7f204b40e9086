"""Measures of one picture: brightness, border, corners, letters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from pellucid.images.measures import MARKERS, MEASURES, measure
from pellucid.images.reading import read_image


def flat(value: float = 0.3, size: int = 256) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    random = np.random.default_rng(0)
    return (value + 0.01 * random.random((1, size, size))).astype(np.float32)


def test_every_measure_is_a_finite_number() -> None:
    for shape in ((1, 1, 1), (3, 5, 2), (1, 40, 900), (3, 64, 64), (1, 2000, 1500)):
        found = measure(np.random.default_rng(1).random(shape, dtype=np.float32))
        assert tuple(found) == MEASURES
        assert np.isfinite(list(found.values())).all()


def test_brightness_and_colour() -> None:
    found = measure(np.full((3, 50, 60), 0.25, dtype=np.float32))
    assert found["mean_grey"] == pytest.approx(0.25, abs=1e-4)
    assert found["std_grey"] == pytest.approx(0, abs=1e-4)
    assert found["colourfulness"] == 0
    assert measure(np.zeros((1, 9, 9), dtype=np.float32))["dark_share"] == 1
    coloured = np.zeros((3, 50, 60), dtype=np.float32)
    coloured[0] = 1
    assert measure(coloured)["colourfulness"] == 1


def test_border_and_frame() -> None:
    picture = flat()
    picture[:, :64] = 0
    found = measure(picture)
    assert found["border_top"] == 0
    assert found["border_bottom"] == pytest.approx(0.305, abs=0.01)
    assert found["frame_share"] == pytest.approx(0.25, abs=0.01)
    assert measure(np.zeros((1, 30, 30), dtype=np.float32))["frame_share"] == 1


def test_corners() -> None:
    picture = flat()
    picture[:, -20:, :20] = 1
    found = measure(picture)
    assert found["corner_bottom_left"] > 0.55
    assert found["corner_bright_bottom_left"] > 0.3
    assert found["corner_bright_top_right"] == 0


@pytest.mark.parametrize("size", [128, 512, 1400])
def test_letters_are_counted_where_they_stand(size: int) -> None:
    canvas = Image.fromarray((flat(0.15, size)[0] * 255).astype(np.uint8))
    ImageDraw.Draw(canvas).text((0.06 * size, 0.05 * size), "R 12", fill=250, font_size=size // 14)
    found = measure(np.asarray(canvas, dtype=np.float32)[np.newaxis] / 255)
    assert found["letters_top_left"] in ((2, 3) if size == 128 else (3,))
    assert sum(found[name] for name in MARKERS) == found["letters_top_left"]


def test_a_line_and_a_patch_are_no_letters() -> None:
    picture = flat(0.2)
    picture[:, 20:23, 10:200] = 1
    picture[:, 180:250, 180:250] = 1
    assert sum(measure(picture)[name] for name in MARKERS) == 0


def test_most_real_chest_pictures_with_letters_have_them(shared_data: Path) -> None:
    names = sorted((shared_data / "chest_xray" / "NORMAL").iterdir())[:60]
    letters = [sum(measure(read_image(path).pixels)[name] for name in MARKERS) for path in names]
    assert 0.2 < np.mean(np.array(letters) > 0) < 0.8  # nearly all bear an R; half are recognised
