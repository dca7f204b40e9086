"""Kernels by name, by numbers, and cut from an image; and plain words for what is none."""

from __future__ import annotations

import numpy as np
import pytest

from pellucid.errors import UsageError
from pellucid.playground.kernels import KERNELS, find_kernel

IMAGE = np.random.default_rng(0).random((12, 15))


def test_the_named_kernels_do_what_their_names_say() -> None:
    sums = {name: float(find_kernel(name, IMAGE).values.sum()) for name in KERNELS}
    assert sums == {"sobel_x": 0, "sobel_y": 0, "laplacian": 0, "sharpen": 1, "identity": 1}
    assert find_kernel("mean", IMAGE).values.shape == (3, 3)
    assert find_kernel("mean:4", IMAGE).values.tolist() == [[1 / 16] * 4] * 4
    bell = find_kernel("gaussian:7", IMAGE)
    assert bell.keeps_brightness
    assert np.unravel_index(bell.values.argmax(), (7, 7)) == (3, 3)
    np.testing.assert_array_equal(bell.values, bell.values.T)


def test_numbers_become_rows() -> None:
    kernel = find_kernel("1 0 -1; 2,0,-2; 1 0 -1", IMAGE)
    np.testing.assert_array_equal(kernel.values, KERNELS["sobel_x"])
    assert find_kernel("-1 .5 1e-2", IMAGE).values.tolist() == [[-1.0, 0.5, 0.01]]


def test_a_patch_comes_from_its_place_and_loses_its_mean() -> None:
    kernel = find_kernel("patch:2,5,4", IMAGE)
    assert kernel.place == (2, 5)
    assert abs(kernel.values.mean()) < 1e-15
    kept = find_kernel("patch:2,5,4", IMAGE, keep_mean=True)
    np.testing.assert_array_equal(kept.values, IMAGE[2:6, 5:9])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sobel", 'Did you mean "sobel_'),
        ("1 2; 3", "rows of 1 and 2 numbers"),
        ("1 2; 3 x", "A kernel is rows of numbers"),
        ("1 nan; 2 3", "finite"),
        ("1 inf", "finite"),
        (";", "as many numbers"),
        ("mean:0", "1 to 512 rows"),
        ("mean:x", "mean:SIZE"),
        ("patch:1,2", "patch:ROW,COLUMN,SIZE"),
        ("patch:10,0,4", "The image has rows 0 to 11 and columns 0 to 14"),
        ("patch:-1,0,4", "inside the image"),
        ("patch:0,0,0", "1 to 512 rows"),
        ("patch:0,0,1", "contrast"),
        ("", "No such kernel"),
    ],
)
def test_what_is_no_kernel_is_said_plainly(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words.replace("[", r"\[")):
        find_kernel(text, IMAGE)
