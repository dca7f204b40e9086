"""Pictures unlike all others: single strangers are found, homogeneous data hold next to none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from decoded import decode, make_dataset
from pellucid.auditing.findings import Finding
from pellucid.auditing.outliers import find_outliers


def blobs(n: int = 200) -> npt.NDArray[np.float32]:
    """Alike pictures: a bright disc in the middle, each a little different."""
    random = np.random.default_rng(0)
    noise = gaussian_filter(random.normal(0, 1, (n, 64, 64)), (0, 2, 2))
    y, x = np.mgrid[:64, :64] - 32
    radius = 18 + random.normal(0, 1, (n, 1, 1))
    disc = 1 / (1 + np.exp((np.hypot(x, y)[np.newaxis] - radius) / 2))
    return np.clip(0.2 + 0.5 * disc + 0.3 * noise, 0, 1).astype(np.float32)


def run(pictures: npt.NDArray[np.float32]) -> Finding | None:
    dataset = make_dataset(len(pictures))
    return next(find_outliers(dataset, decode(pictures)), None)


def test_a_stranger_is_found_and_shown_beside_typical_ones() -> None:
    pictures = blobs()
    pictures[77] = 0.1
    pictures[77, :, ::8] = 0.9
    finding = run(pictures)
    assert finding is not None
    assert finding.image_ids[0] == "77.png"
    assert finding.n_rows <= 3
    assert finding.groups[0][0] == "77.png"
    assert len(finding.groups[0]) in (3, 4)


def test_alike_pictures_hold_next_to_no_stranger() -> None:
    finding = run(blobs(400))
    assert finding is None or finding.n_rows <= 2


def test_few_pictures_are_not_judged() -> None:
    pictures = blobs(80)
    pictures[3] = 0
    assert run(pictures) is None


@pytest.mark.parametrize("n", [1, 3])
def test_hands_among_chests(shared_data: Path, n: int) -> None:
    """Both of one source and size, so that only what they show tells them apart."""
    folder = shared_data / "mednist"
    names = (
        sorted((folder / "CXR").iterdir())[:300] + sorted((folder / "Hand").iterdir())[10 : 10 + n]
    )
    pictures = np.stack([np.asarray(Image.open(name).convert("L")) for name in names])
    finding = run((pictures / np.float32(255)).astype(np.float32))
    assert finding is not None
    hands = {f"{300 + number}.png" for number in range(n)}
    assert len(hands & set(finding.image_ids)) >= 1
    assert finding.n_rows <= n + 4
