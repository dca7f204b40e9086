"""The fast convolution against the lecture's formulas, and a patch that finds itself."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

from pellucid.errors import UsageError
from pellucid.network import formulas
from pellucid.playground.convolution import respond
from pellucid.playground.kernels import Kernel, find_kernel

IMAGE = np.random.default_rng(1).random((13, 16))
TEXTS = ("sobel_x", "sobel_y", "mean", "gaussian", "laplacian", "sharpen", "identity", "1 2 0 -1")
MODES: tuple[formulas.PaddingMode, ...] = ("zero", "mirror", "wrap")


@pytest.mark.parametrize("text", [*TEXTS, "patch:3,4,5", "patch:0,0,4"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("padding", "stride"), [(0, 1), (1, 1), (2, 2), (3, 3)])
def test_it_equals_the_formulas(
    text: str, mode: formulas.PaddingMode, padding: int, stride: int
) -> None:
    kernel = find_kernel(text, IMAGE)
    found = respond(IMAGE, kernel, padding=padding, mode=mode, stride=stride)
    X, K = IMAGE[None], kernel.values[None, None]
    convolved = formulas.convolution(X, K, stride=stride, padding=padding, mode=mode)[0]
    correlated = formulas.cross_correlation(X, K, stride=stride, padding=padding, mode=mode)[0]
    np.testing.assert_allclose(found.maps["convolution"], convolved, atol=1e-13)
    np.testing.assert_allclose(found.maps["cross_correlation"], correlated, atol=1e-13)


@pytest.mark.parametrize("stride", [1, 3])
def test_large_kernels_go_another_way_and_give_the_same(stride: int) -> None:
    random = np.random.default_rng(2)
    image, kernel = random.random((30, 34)), Kernel("large", random.normal(size=(17, 19)))
    found = respond(image, kernel, padding=2, stride=stride)
    expected = formulas.convolution(image[None], kernel.values[None, None], padding=2)[0]
    np.testing.assert_allclose(found.maps["convolution"], expected[::stride, ::stride], atol=1e-11)


def test_the_normalised_match_is_a_correlation_coefficient() -> None:
    kernel = find_kernel("patch:3,4,5", IMAGE)
    found = respond(IMAGE, kernel).maps["normalised"]
    for row, column in ((0, 0), (3, 4), (7, 11)):
        window = IMAGE[row : row + 5, column : column + 5]
        expected = np.corrcoef(window.ravel(), kernel.values.ravel())[0, 1]
        assert found[row, column] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("padding", "mode"), [(0, "zero"), (2, "mirror"), ("same", "wrap")])
def test_a_patch_finds_itself(padding: int | Literal["same"], mode: str) -> None:
    found = respond(IMAGE, find_kernel("patch:6,3,5", IMAGE), padding=padding, mode=mode)
    assert found.peak("normalised").window == (6, 3)
    assert found.peak("normalised").value == pytest.approx(1.0)
    assert found.finds_itself("normalised")


def test_a_bright_place_draws_a_patch_that_keeps_its_mean() -> None:
    image = IMAGE * 0.2
    image[8:13, 10:15] = 1.0
    found = respond(image, find_kernel("patch:1,1,5", image, keep_mean=True))
    assert found.peak("cross_correlation").window == (8, 10)
    assert not found.finds_itself("cross_correlation")
    assert found.finds_itself("normalised")
    assert "whatever is bright" in found.describe()


def test_flat_windows_match_nothing() -> None:
    image = np.zeros((20, 20))
    image[2:6, 3:7] = np.random.default_rng(0).random((4, 4))
    found = respond(image, find_kernel("patch:2,3,4", image)).maps["normalised"]
    assert np.count_nonzero(found[8:, 8:]) == 0
    assert found.max() == pytest.approx(1.0)


def test_a_stride_may_step_over_the_patch_and_says_so() -> None:
    found = respond(IMAGE, find_kernel("patch:4,4,5", IMAGE), stride=3)
    assert not found.finds_itself("normalised")
    assert "steps over the patch's own place" in found.describe()


def test_sobel_is_positive_where_it_grows_brighter() -> None:
    ramp = np.tile(np.arange(8.0), (8, 1))
    found = respond(ramp, find_kernel("sobel_x", ramp))
    assert set(found.maps["convolution"].ravel()) == {8.0}
    assert set(found.maps["cross_correlation"].ravel()) == {-8.0}
    assert "changes its sign" in found.flip
    assert "stays the same" in respond(ramp, find_kernel("mean", ramp)).flip


def test_same_keeps_the_size_also_of_a_row() -> None:
    for text in ("sobel_x", "1 0 -1", "mean:7"):
        found = respond(IMAGE, find_kernel(text, IMAGE), padding="same")
        assert found.maps["convolution"].shape == IMAGE.shape


def test_the_document_and_the_text_give_sizes_and_peaks() -> None:
    found = respond(IMAGE, find_kernel("patch:6,3,5", IMAGE), padding=1, stride=1)
    normalised = found.to_json()["responses"]["normalised"]
    assert normalised["size"] == [11, 14]
    assert normalised["window_begins_at"] == [6, 3]
    assert normalised["finds_itself"] is True
    assert "floor((13 + 2·1 − 5) / 1) + 1 = 11 rows" in found.describe()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"stride": 0}, "The stride is at least 1, got 0"),
        ({"padding": -1}, "0 pixels or more"),
        ({"mode": "miror", "padding": 1}, 'Did you mean "mirror"'),
        ({"mode": "mirror", "padding": 13}, "is at most 12"),
        ({"mode": "wrap", "padding": 14}, "is at most 13"),
        ({"padding": 10_000}, "is at most 512"),
    ],
)
def test_wrong_settings_are_said_plainly(settings: dict[str, int | str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        respond(IMAGE, find_kernel("mean", IMAGE), **settings)  # type: ignore[arg-type]


def test_images_that_cannot_be_convolved_are_refused() -> None:
    with pytest.raises(UsageError, match="fits into the padded image"):
        respond(IMAGE[:2, :2], find_kernel("mean", IMAGE))
    with pytest.raises(UsageError, match="finite"):
        respond(np.full((5, 5), np.nan), find_kernel("mean", IMAGE))
    with pytest.raises(UsageError, match="odd sides"):
        respond(IMAGE, find_kernel("mean:4", IMAGE), padding="same")
