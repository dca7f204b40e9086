"""Candidates and registration: crops are laid back exactly, strangers set the threshold."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy.ndimage import gaussian_filter

from decoded import decode, make_dataset
from pellucid.auditing.copies import Copies, copy_findings, find_copies
from pellucid.auditing.registration import normalise, register, similarity, warped
from pellucid.auditing.resemblance import SIMILAR, TOLD_UP_TO, find_candidates, find_similar
from pellucid.images.describing import area_means
from test_copies import cropped, tissue


def test_a_known_crop_is_found_to_the_pixel() -> None:
    views = area_means(normalise(gaussian_filter(tissue(6, 128), (0, 1, 1)), 6.0), 2)
    warp = np.array([[0.06, -0.03, -0.05, 0.04]] * 6, dtype=np.float32)
    moved, _ = warped(views, warp)  # what a crop shows; `register` must undo a second one
    found = register(moved, views)
    np.testing.assert_allclose(found, warp, atol=0.01)
    assert similarity(moved, views, found).min() > 0.9
    still = np.zeros_like(warp)
    assert similarity(moved, views, still).max() < 0.6


def test_flat_pictures_are_not_judged() -> None:
    flat = np.zeros((2, 64, 64), dtype=np.float32)
    assert similarity(flat, flat, np.zeros((2, 4), dtype=np.float32)).tolist() == [-1, -1]


def test_candidates_are_the_nearest_and_each_pair_once() -> None:
    random = np.random.default_rng(0)
    vectors = random.normal(size=(300, 32)).astype(np.float32)
    vectors[200] = vectors[10] + 0.01
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    pairs = find_candidates(np.stack([vectors, vectors]))
    assert [10, 200] in pairs.tolist()
    assert (pairs[:, 0] < pairs[:, 1]).all()
    assert len(np.unique(pairs, axis=0)) == len(pairs) <= 300 * 5


def drawn(n: int = 60) -> npt.NDArray[np.uint8]:
    """Drawings that share every line and differ by a little dot."""
    views = np.repeat(tissue(1, 128), n, axis=0)
    for row in range(n):
        views[row, 3 + row : 6 + row, 5:8] = 255
    return views


def test_strangers_as_alike_as_copies_are_not_called_copies() -> None:
    rows = np.arange(60)
    similar = find_similar(drawn(), rows)
    assert len(similar.pairs) == 0
    assert similar.threshold > TOLD_UP_TO
    assert not similar.told
    copies = find_copies(decode(drawn()))
    assert not copies.told
    finding = next(copy_findings(make_dataset(60), copies))
    assert (finding.level, finding.code) == ("NOTE", "near_duplicates_unjudged")


def test_the_threshold_stays_where_strangers_are_unlike() -> None:
    views = tissue(60, 128)
    views[9] = cropped(views[1])
    similar = find_similar(views, np.arange(60))
    assert similar.threshold == SIMILAR
    assert similar.pairs.tolist() == [[1, 9]]


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_to_compare(n: int) -> None:
    assert len(find_similar(tissue(2, 128), np.arange(n)).pairs) == 0


def test_told_copies_have_no_note() -> None:
    none = Copies(np.zeros((0, 2), np.int64), np.zeros(0, bool), np.zeros(0, np.float32))
    assert list(copy_findings(make_dataset(), none)) == []
