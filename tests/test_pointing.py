"""The pointing game and the overlap, on maps and masks small enough to count by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pellucid.errors import UsageError
from pellucid.explanation.faithfulness.pointing import (
    default_tolerance,
    grow,
    mask_shares,
    overlap_energy,
    overlap_iou,
    place_mask,
    point_at_centre,
    point_at_random,
    pointing_game,
)
from pellucid.images.preprocessing import Preprocessing

SIZE = 12


def one_mask(rows: slice, columns: slice) -> np.ndarray:
    mask = np.zeros((1, SIZE, SIZE), dtype=bool)
    mask[0, rows, columns] = True
    return mask


MASK = one_mask(slice(2, 5), slice(6, 9))


def peak(row: int, column: int) -> np.ndarray:
    heat = np.random.default_rng(0).uniform(0, 0.5, (1, SIZE, SIZE))
    heat[0, row, column] = 1
    return heat


@pytest.mark.parametrize(
    ("place", "tolerance", "hit"),
    [
        ((3, 7), 0, 1),
        ((2, 8), 0, 1),
        ((3, 9), 0, 0),
        ((3, 9), 1, 1),
        ((5, 9), 1, 0),  # one down and one to the right of the corner: 1.41 pixels
        ((5, 9), 2, 1),
        ((3, 11), 2, 0),
    ],
)
def test_a_hit_is_a_maximum_in_the_mask_or_near(
    place: tuple[int, int], tolerance: int, hit: float
) -> None:
    assert pointing_game(peak(*place), MASK, tolerance)[0] == hit


def test_of_several_maxima_their_share_counts() -> None:
    heat = np.zeros((1, SIZE, SIZE))
    heat[0, 3, 7] = heat[0, 3, 8] = heat[0, 9, 9] = heat[0, 0, 0] = 1
    assert pointing_game(heat, MASK)[0] == 0.5


def test_a_map_that_says_nothing_scores_as_chance() -> None:
    same = np.zeros((1, SIZE, SIZE))
    share = 9 / SIZE**2
    assert pointing_game(same, MASK)[0] == pytest.approx(share)
    assert mask_shares(MASK)[0] == pytest.approx(share)
    assert point_at_random(MASK)[0] == pytest.approx(share)
    assert overlap_energy(same, MASK)[0] == pytest.approx(share)
    assert overlap_energy(same - 1, MASK)[0] == pytest.approx(share)
    expected = 9 * share / (18 - 9 * share)
    assert overlap_iou(same, MASK)[0] == pytest.approx(expected)


def test_random_pointing_has_the_same_tolerance() -> None:
    grown = grow(MASK, 1)
    assert grown.sum() == 9 + 4 * 3
    assert point_at_random(MASK, 1)[0] == pytest.approx(21 / SIZE**2)
    assert point_at_random(MASK, SIZE * 2)[0] == 1


def test_random_pointing_agrees_with_pointing_at_random() -> None:
    random = np.random.default_rng(1)
    maps = random.normal(size=(4000, SIZE, SIZE))
    hits = pointing_game(maps, np.repeat(MASK, 4000, axis=0), 1)
    assert hits.mean() == pytest.approx(21 / SIZE**2, abs=0.02)


def test_the_centre_of_an_even_side_is_four_pixels() -> None:
    assert point_at_centre(one_mask(slice(5, 7), slice(5, 7)))[0] == 1
    assert point_at_centre(one_mask(slice(0, 6), slice(0, 6)))[0] == 0.25
    assert point_at_centre(MASK)[0] == 0
    odd = np.zeros((1, 11, 11), dtype=bool)
    odd[0, 5, 5] = True
    assert point_at_centre(odd)[0] == 1


def test_overlap_of_the_highest_pixels() -> None:
    heat = np.random.default_rng(2).uniform(0, 1, (1, SIZE, SIZE))
    assert overlap_iou(heat + 2 * MASK, MASK)[0] == 1
    assert overlap_iou(heat - 2 * MASK, MASK)[0] == 0
    half = MASK.copy()
    half[0, 2:5, 6:9] = False
    half[0, 3:6, 6:9] = True  # six of nine pixels in common
    assert overlap_iou(heat + 2 * half, MASK)[0] == pytest.approx(6 / 12)


def test_overlap_counts_the_equal_part_of_pixels_that_share_the_last_value() -> None:
    heat = np.zeros((1, SIZE, SIZE))
    heat[0, 2:4, 6:9] = 1  # six of the mask's nine; three of the other 138 have to be taken
    shared = 6 + 3 * 3 / 138
    assert overlap_iou(heat, MASK)[0] == pytest.approx(shared / (18 - shared))


def test_energy_counts_only_what_speaks_for_the_goal() -> None:
    heat = np.zeros((1, SIZE, SIZE))
    heat[0, 3, 7], heat[0, 10, 1], heat[0, 0, 0] = 3, 1, -50
    assert overlap_energy(heat, MASK)[0] == pytest.approx(0.75)


def test_without_a_lesion_nothing_is_defined() -> None:
    maps = np.concatenate([peak(3, 7), peak(3, 7)])
    masks = np.concatenate([np.zeros_like(MASK), MASK])
    for values in (
        pointing_game(maps, masks, 2),
        point_at_random(masks, 2),
        point_at_centre(masks, 2),
        mask_shares(masks),
        overlap_iou(maps, masks),
        overlap_energy(maps, masks),
    ):
        assert np.isnan(values).tolist() == [True, False]


def test_a_mask_is_placed_as_its_image_is() -> None:
    """Twice as wide as high: it is padded above and below."""
    file = np.zeros((1, 20, 40), dtype=np.float32)
    file[0, 8:12, 20:30] = 0.3  # anything above 0 is lesion
    mask = place_mask(file, Preprocessing(image_size=20, channels=3))
    expected = np.zeros((20, 20), dtype=bool)
    expected[9:11, 10:15] = True
    np.testing.assert_array_equal(mask, expected)


def test_a_lesion_smaller_than_a_pixel_is_not_lost() -> None:
    file = np.zeros((1, 64, 64), dtype=np.float32)
    file[0, 33, 33] = 1
    mask = place_mask(file, Preprocessing(image_size=16, channels=1))
    assert mask[8, 8]
    assert 1 <= mask.sum() <= 4
    assert not place_mask(0 * file, Preprocessing(image_size=16, channels=1)).any()


def test_the_tolerance_is_a_share_of_the_side() -> None:
    assert [default_tolerance(size) for size in (16, 64, 224, 512)] == [0, 2, 7, 15]


def test_what_is_refused() -> None:
    with pytest.raises(UsageError, match="same shape"):
        pointing_game(np.zeros((2, SIZE, SIZE)), MASK)
    with pytest.raises(UsageError, match="bool"):
        overlap_iou(peak(1, 1), MASK.astype(float))
    with pytest.raises(UsageError, match="finite"):
        overlap_energy(np.full(MASK.shape, np.inf), MASK)
    with pytest.raises(UsageError, match="tolerance"):
        grow(MASK, -1)
