"""The losses against torch's own and against numbers worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  the customary name
from torch import Tensor

from pellucid.errors import PlanError
from pellucid.network import formulas
from pellucid.task import Target, Task
from pellucid.training.hyperparameters import Plan
from pellucid.training.loss import (
    PAIRINGS,
    balanced_weights,
    build_loss,
    choose_pairing,
    count_classes,
)

BINARY = Target(name="b", classes=("no", "yes"))
TWO = Target(name="t", classes=("no", "yes"), n_logits=2)
FOUR = Target(name="f", classes=("CNV", "DME", "DRUSEN", "NORMAL"))


def value(target: Target, logits: Tensor, codes: Tensor, **settings: Any) -> Tensor:
    counts = settings.pop("counts", {target.name: (1,) * len(target.classes)})
    loss = build_loss(Plan(**settings), Task(targets=(target,)), counts)
    return loss(logits, codes[:, None])


@pytest.fixture
def batch() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    z = 3 * torch.randn(50, 4, generator=generator)
    k = torch.randint(0, 4, (50,), generator=generator)
    return z, k, (k > 1).long()


def test_one_logit_is_torchs_bce_and_the_formula(batch: tuple[Tensor, Tensor, Tensor]) -> None:
    z, _, y = batch
    ours = value(BINARY, z[:, :1], y)
    torch.testing.assert_close(ours, F.binary_cross_entropy_with_logits(z[:, 0], y.float()))
    by_formula = formulas.binary_cross_entropy_with_logits(z[:, 0].numpy(), y.numpy())
    assert float(ours) == pytest.approx(np.mean(by_formula), rel=1e-5)


def test_k_logits_are_torchs_cross_entropy_and_the_formula(
    batch: tuple[Tensor, Tensor, Tensor],
) -> None:
    z, k, _ = batch
    ours = value(FOUR, z, k)
    torch.testing.assert_close(ours, F.cross_entropy(z, k))
    assert float(ours) == pytest.approx(np.mean(formulas.cross_entropy(z.numpy(), k.numpy())))
    torch.testing.assert_close(value(FOUR, z, k, output="log_probabilities"), ours)


def test_the_sigmoid_pairing_is_the_same_where_it_does_not_saturate(
    batch: tuple[Tensor, Tensor, Tensor],
) -> None:
    z, _, y = batch
    by_probability = value(BINARY, z[:, :1], y, output="probability")
    torch.testing.assert_close(by_probability, value(BINARY, z[:, :1], y), rtol=1e-4, atol=1e-5)


def test_the_sigmoid_pairing_loses_the_gradient_that_the_logit_keeps() -> None:
    for output, slope in (("logit", 1.0), ("probability", 0.0)):
        z = torch.tensor([[40.0]], requires_grad=True)
        value(BINARY, z, torch.tensor([0]), output=output).backward()  # type: ignore[no-untyped-call]
        assert z.grad is not None
        assert z.grad.item() == pytest.approx(slope)


def test_far_logits_stay_finite_with_gradient() -> None:
    z = torch.tensor([[300.0, -300.0, 0.0, 0.0]], requires_grad=True)
    loss = value(FOUR, z, torch.tensor([1]))
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == pytest.approx(600.0)
    assert z.grad is not None
    torch.testing.assert_close(z.grad, torch.tensor([[1.0, -1.0, 0.0, 0.0]]))
    assert not torch.isfinite(PAIRINGS["probabilities"].losses(z)).all()


def test_the_table_has_five_pairings_and_refuses_the_poor_one() -> None:
    assert len(PAIRINGS) == 5
    assert [p.output for p in PAIRINGS.values() if p.refused] == ["probabilities"]
    with pytest.raises(PlanError, match=r"rounded to 0 in 32 bit.*Use output=log_probabilities"):
        choose_pairing("probabilities", FOUR)


@pytest.mark.parametrize(
    ("output", "target", "message"),
    [
        ("logit", FOUR, "needs one logit, got 4 logits for target 'f'. Use output=logits"),
        ("logits", BINARY, "needs one logit a class, got 1 for target 'b'"),
        ("logit", TWO, "got 2 logits"),
    ],
)
def test_a_pairing_that_does_not_fit_is_refused(output: str, target: Target, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        choose_pairing(output, target)


def test_auto_takes_what_the_logits_allow() -> None:
    assert [choose_pairing("auto", t).output for t in (BINARY, TWO, FOUR)] == [
        "logit",
        "logits",
        "logits",
    ]


def test_two_logits_give_the_loss_of_their_difference() -> None:
    z, y = torch.tensor([[0.3, 1.5], [2.0, -1.0]]), torch.tensor([1, 1])
    one = value(BINARY, (z[:, 1] - z[:, 0])[:, None], y)
    torch.testing.assert_close(value(TWO, z, y), one)


def test_class_weights_by_hand_and_by_torch(batch: tuple[Tensor, Tensor, Tensor]) -> None:
    # Counts 1 and 3: weights 4/(2·1) = 2 and 4/(2·3) = 2/3.
    counts = {"b": (1, 3)}
    z, y = torch.zeros(2, 1), torch.tensor([0, 1])
    z[0, 0] = math.log(3.0)  # -log(1 - 3/4) = log 4; the other image has log 2
    by_hand = (2 * math.log(4) + 2 / 3 * math.log(2)) / (2 + 2 / 3)
    ours = value(BINARY, z, y, class_weights="balanced", counts=counts)
    assert ours.item() == pytest.approx(by_hand)
    z4, k, _ = batch
    n = (10, 20, 30, 40)
    torchs = F.cross_entropy(z4, k, weight=torch.tensor([2.5, 1.25, 100 / 120, 0.625]))
    ours = value(FOUR, z4, k, class_weights="balanced", counts={"f": n})
    torch.testing.assert_close(ours, torchs)


def test_balanced_weights_are_bounded() -> None:
    assert balanced_weights((1, 999)).tolist() == pytest.approx([10.0, 1000 / 1998])
    assert balanced_weights((0, 10)).tolist() == pytest.approx([1.0, 0.5])


def test_label_smoothing_is_torchs(batch: tuple[Tensor, Tensor, Tensor]) -> None:
    z, k, y = batch
    torchs = F.cross_entropy(z, k, label_smoothing=0.1)
    torch.testing.assert_close(value(FOUR, z, k, label_smoothing=0.1), torchs)
    soft = y.float() * 0.9 + 0.05
    torchs = F.binary_cross_entropy_with_logits(z[:, 0], soft)
    torch.testing.assert_close(value(BINARY, z[:, :1], y, label_smoothing=0.1), torchs)


def test_focal_loss_by_hand() -> None:
    # p = 3/4 for the true class: (1 - 3/4)² · -log(3/4).
    z, y = torch.tensor([[math.log(3.0)]]), torch.tensor([1])
    ours = value(BINARY, z, y, loss="focal", focal_gamma=2.0)
    assert ours.item() == pytest.approx(0.0625 * -math.log(0.75))
    plain = value(BINARY, z, y)
    torch.testing.assert_close(value(BINARY, z, y, loss="focal", focal_gamma=0.0), plain)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_the_focal_gradient_is_finite_for_a_sure_image(gamma: float) -> None:
    z = torch.tensor([[200.0], [-200.0]], requires_grad=True)
    y = torch.tensor([1, 1])
    value(BINARY, z, y, loss="focal", focal_gamma=gamma).backward()  # type: ignore[no-untyped-call]
    assert z.grad is not None
    assert torch.isfinite(z.grad).all()


def test_missing_labels_do_not_count() -> None:
    z = torch.tensor([[0.5], [9.0], [-1.0]])
    whole = value(BINARY, z, torch.tensor([1, -1, 0]))
    torch.testing.assert_close(whole, value(BINARY, z[[0, 2]], torch.tensor([1, 0])))


def test_a_target_missing_in_the_whole_batch_gives_zero_with_gradient() -> None:
    z = torch.randn(3, 4, requires_grad=True)
    loss = value(FOUR, z, torch.tensor([-1, -1, -1]))
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0.0
    assert z.grad is not None
    assert not z.grad.any()


def test_several_targets_are_averaged_over_their_own_columns(
    batch: tuple[Tensor, Tensor, Tensor],
) -> None:
    z, k, y = batch
    task = Task(targets=(BINARY, FOUR))
    loss = build_loss(Plan(), task, {})
    both = loss(torch.cat([z[:, :1], z], dim=1), torch.stack([y, k], dim=1))
    torch.testing.assert_close(both, (value(BINARY, z[:, :1], y) + value(FOUR, z, k)) / 2)


def test_classes_are_counted_without_the_missing() -> None:
    codes = np.array([[0, 3], [1, -1], [-1, 3], [1, 0]])
    counts = count_classes(Task(targets=(BINARY, FOUR)), codes)
    assert counts == {"b": (1, 2), "f": (1, 0, 0, 2)}
