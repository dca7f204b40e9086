"""Pictures of poor quality: empty, narrow, tiny, of odd size or shape, of mixed kinds."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from decoded import decode, make_dataset, noise
from pellucid.auditing.findings import Finding
from pellucid.auditing.quality import find_poor_quality, grey_measures


def run(pictures: npt.NDArray[np.uint8], **facts: object) -> dict[str, Finding]:
    facts = {"width": 200, "height": 200, **facts}
    cache = decode(pictures, **facts)
    dataset = make_dataset(len(pictures))
    return {finding.code: finding for finding in find_poor_quality(dataset, cache)}


def test_good_pictures_have_no_finding() -> None:
    assert run(noise()) == {}


def test_nearly_empty_pictures_but_for_their_noise() -> None:
    pictures = noise(size=128)
    pictures[3] = 90
    pictures[3, :4, :4] = 255
    pictures[5] = np.random.default_rng(1).integers(88, 92, (128, 128))
    pictures[5, :6, :6] = 250
    finding = run(pictures)["nearly_empty"]
    assert finding.image_ids == ("3.png", "5.png")
    assert finding.level == "WARN"


def test_half_empty_is_not_empty() -> None:
    pictures = noise(size=128)
    pictures[3, 20:] = 0
    assert "nearly_empty" not in run(pictures)


def test_narrow_greys_and_how_to_open_them() -> None:
    pictures = noise(size=128)
    pictures[7] //= 16
    finding = run(pictures)["narrow_greys"]
    assert finding.image_ids == ("7.png",)
    assert "--window" not in finding.remedy
    assert "--window" in run(pictures, bit_depth=16)["narrow_greys"].remedy


def test_tiny_pictures() -> None:
    sizes = np.full(80, 200)
    sizes[2] = 20
    assert run(noise(), height=sizes)["tiny"].level == "WARN"
    assert run(noise(), height=20, width=20)["tiny"].level == "NOTE"


@pytest.mark.parametrize(
    ("width", "height", "code"),
    [(2000, 2000, "extreme_size"), (50, 50, "extreme_size"), (800, 100, "extreme_aspect")],
)
def test_odd_sizes_and_shapes(width: int, height: int, code: str) -> None:
    random = np.random.default_rng(0)
    widths, heights = random.integers(190, 215, 80), random.integers(190, 215, 80)
    widths[4], heights[4] = width, height
    finding = run(noise(), width=widths, height=heights)[code]
    assert finding.image_ids == ("4.png",)
    assert f"{width} × {height}" in finding.message


def test_mixed_kinds_by_how_grave_they_are() -> None:
    kinds = ["CT"] * 78 + ["OT", "OT"]
    found = run(noise(), modality=kinds, format=["PNG", "JPEG"] * 40)
    assert found["mixed_modality"].level == "WARN"
    assert found["mixed_modality"].image_ids == ("78.png", "79.png")
    assert found["mixed_format"].level == "NOTE"


def test_grey_measures_of_known_pictures() -> None:
    views = np.zeros((2, 128, 128), np.uint8)
    views[0, :64] = 200
    views[1] = np.arange(128)
    low, high, plain = grey_measures(views)
    assert (low[0], high[0], plain[0]) == (0, 200, 0.5)
    assert (low[1], high[1]) == (0, 127)
    assert plain[1] < 0.06
