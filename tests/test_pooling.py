"""Pooling against the lecture's formulas."""

from __future__ import annotations

import numpy as np
import pytest

from pellucid.errors import UsageError
from pellucid.network import formulas
from pellucid.playground.pooling import pool

IMAGE = np.random.default_rng(0).random((11, 14))


@pytest.mark.parametrize(("size", "stride"), [(2, None), (3, 2), (2, 3), (5, 1), (11, 1), (1, 1)])
def test_it_equals_the_formulas(size: int, stride: int | None) -> None:
    most, mean = pool(IMAGE, "max", size, stride), pool(IMAGE, "average", size, stride)
    np.testing.assert_array_equal(most.pooled, formulas.max_pooling(IMAGE[None], size, stride)[0])
    expected = formulas.average_pooling(IMAGE[None], size, stride)[0]
    np.testing.assert_allclose(mean.pooled, expected, atol=1e-15)
    assert most.whole == formulas.global_max_pooling(IMAGE[None])[0]
    assert mean.whole == pytest.approx(formulas.global_average_pooling(IMAGE[None])[0])


def test_text_and_document_give_the_sizes() -> None:
    pooled = pool(IMAGE, "max", 3)
    assert pooled.to_json()["pooled_size"] == [3, 4]
    assert pooled.share_kept == pytest.approx(12 / 154)
    assert "floor((11 − 3) / 3) + 1 = 3 rows" in pooled.describe()
    assert "7.8 % of the numbers" in pooled.describe()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (("mean",), "max or average"),
        (("max", 0), "at least one pixel"),
        (("max", 12), "fits into the image"),
        (("max", 2, 0), "The stride is at least 1"),
    ],
)
def test_wrong_settings_are_said_plainly(settings: tuple[object, ...], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        pool(IMAGE, *settings)  # type: ignore[arg-type]


def test_what_is_not_finite_is_refused() -> None:
    with pytest.raises(UsageError, match="finite"):
        pool(np.full((4, 4), np.inf))
