"""The pairings in 32 bit against the exact loss, and cross-entropy against torch's gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from pellucid.errors import UsageError
from pellucid.playground.cross_entropy import cross_entropy_curve
from pellucid.playground.losses import TEXTBOOK, compare_losses
from pellucid.training.loss import PAIRINGS

STABLE = {"logit", "logits", "log_probabilities"}


def test_all_agree_on_ordinary_logits() -> None:
    found = compare_losses([-5.0, -1.0, 0.0, 0.5, 3.0, 6.0])
    assert {pair.output for pair in found.pairs} == {*PAIRINGS, TEXTBOOK}
    assert all(pair.is_right.all() for pair in found.pairs)
    assert found.exact[2] == pytest.approx(math.log(2))
    assert found.exact_gradients[2] == pytest.approx(0.5)
    assert "agree to rounding" in found.describe()


def test_three_stay_right_on_large_logits_and_the_others_fail() -> None:
    found = compare_losses([20.0, 100.0, 1000.0])
    right = {pair.output for pair in found.pairs if pair.is_right.all()}
    assert right == STABLE
    pairs = {pair.output: pair for pair in found.pairs}
    assert pairs["probability"].gradients.tolist() == [0.0, 0.0, 0.0]
    assert np.isinf(pairs["probabilities"].values[2])
    assert "gradient" in pairs["probabilities"].verdict(2)
    assert not np.isfinite(pairs[TEXTBOOK].values[1:]).any()  # e^100 is beyond 32 bit
    assert not np.isfinite(pairs[TEXTBOOK].gradients[1:]).any()


def test_the_document_has_null_where_a_number_is_not_finite() -> None:
    document = compare_losses([1000.0]).to_json()
    pairing = next(one for one in document["pairings"] if one["output"] == "probabilities")
    assert pairing["values"] == [None]
    assert "infinite" in pairing["verdicts"][0]


@pytest.mark.parametrize("logits", [[], [float("nan")], [float("inf")]])
def test_only_finite_logits(logits: list[float]) -> None:
    with pytest.raises(UsageError, match="finite"):
        compare_losses(logits)


@pytest.mark.parametrize("n_classes", [2, 3, 10])
def test_the_curve_is_torchs_cross_entropy(n_classes: int) -> None:
    found = cross_entropy_curve(n_classes)
    logits = torch.zeros((len(found.p), n_classes), dtype=torch.float64)
    logits[:, 0] = torch.from_numpy(found.margin)
    logits.requires_grad_()
    losses = F.cross_entropy(logits, torch.zeros(len(found.p), dtype=torch.long), reduction="none")
    gradient = torch.autograd.grad(losses.sum(), logits)[0].numpy()
    np.testing.assert_allclose(found.loss, losses.detach().numpy(), atol=1e-12)
    np.testing.assert_allclose(found.pull, gradient[:, 0], atol=1e-12)
    np.testing.assert_allclose(found.push, gradient[:, 1], atol=1e-12)


def test_one_logit_has_the_same_loss_and_gradient() -> None:
    found = cross_entropy_curve(2)
    z = torch.tensor(found.margin, requires_grad=True)
    losses = F.binary_cross_entropy_with_logits(z, torch.ones_like(z), reduction="none")
    gradient = torch.autograd.grad(losses.sum(), z)[0].numpy()
    np.testing.assert_allclose(found.loss, losses.detach().numpy(), atol=1e-12)
    np.testing.assert_allclose(found.pull, gradient, atol=1e-12)


def test_the_curve_says_what_a_confident_mistake_costs() -> None:
    found = cross_entropy_curve(4)
    assert found.chance == pytest.approx(math.log(4))
    assert "A confident mistake (p = 0.01) costs 4.61" in found.describe()
    for n_classes in (1, 1001):
        with pytest.raises(UsageError, match="2 to 1000 classes"):
            cross_entropy_curve(n_classes)
