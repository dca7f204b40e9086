"""Batches made before their turn: the same ones, in order, whatever thread makes them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from pellucid.task import Target, Task
from pellucid.training import batches
from pellucid.training.augmentation import build_augmentation
from pellucid.training.batches import BatchMaker, TrainingData, made_ahead
from pellucid.training.hyperparameters import Plan

TASK = Task(targets=(Target(name="label", classes=("no", "yes")),))


def maker(size: int = 8, **settings: Any) -> BatchMaker:
    random = np.random.default_rng(0)
    n = 21
    data = TrainingData(
        TASK,
        random.integers(0, 256, (n, 1, size, size), dtype=np.uint8),
        np.arange(n)[:, None],
        np.arange(20),
        np.array([20]),
    )
    plan = Plan(image_size=size, batch_size=4, augmentation="chest_xray", **settings)
    augment = build_augmentation(plan.augmentation, plan.augmentation_strength)
    return BatchMaker(data, plan, augment, torch.device("cpu"))


def all_of(found: Any) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return list(found)


def same(one: Any, other: Any) -> bool:
    return all(
        torch.equal(a, b)
        for pair in zip(one, other, strict=True)
        for a, b in zip(*pair, strict=True)
    )


@pytest.mark.parametrize("together", [1, 2, 3, 50])
def test_an_epoch_is_the_same_from_any_step_and_by_any_thread(
    monkeypatch: pytest.MonkeyPatch, together: int
) -> None:
    monkeypatch.setattr(batches, "PIXELS_TOGETHER", together * 4 * 8 * 8)
    made = maker()
    whole = all_of(made.epoch(3, 0, ahead=0))
    assert [images.shape for images, _ in whole] == [(4, 1, 8, 8)] * 5
    assert sorted(int(code) for _, codes in whole for code in codes) == list(range(20))
    assert same(whole, all_of(made.epoch(3, 0, ahead=2)))
    for first in range(5):
        assert same(whole[first:], all_of(made.epoch(3, first, ahead=first % 3)))
    assert not same(whole, all_of(made.epoch(4, 0, ahead=0)))


def test_without_augmentation_a_batch_is_its_rows_normalised() -> None:
    made = maker(augmentation_strength=0.0)
    for images, codes in made.epoch(0, 0, ahead=0):
        pixels = torch.from_numpy(made.data.pixels[codes[:, 0].numpy()]).float() / 255
        torch.testing.assert_close(images, (pixels - 0.5) / 0.25)


def test_jobs_are_made_in_order_a_few_ahead_on_one_thread_of_one_core() -> None:
    made: list[tuple[int, str, int]] = []

    def make(number: int) -> int:
        made.append((number, threading.current_thread().name, torch.get_num_threads()))
        return number

    threads = torch.get_num_threads()
    found = made_ahead(make, [(number,) for number in range(6)], ahead=2)
    assert next(found) == 0
    assert list(found) == [1, 2, 3, 4, 5]
    assert [number for number, _, _ in made] == list(range(6))
    assert {(name.startswith("batches"), n) for _, name, n in made} == {(True, 1)}
    assert torch.get_num_threads() == threads


def test_an_error_comes_at_its_turn() -> None:
    def make(number: int) -> float:
        return 1 / (3 - number)

    found = made_ahead(make, [(number,) for number in range(6)], ahead=2)
    assert [next(found) for _ in range(3)] == [1 / 3, 1 / 2, 1.0]
    with pytest.raises(ZeroDivisionError):
        next(found)


def test_leaving_early_drops_what_is_not_begun() -> None:
    made: list[int] = []
    gate = threading.Event()

    def make(number: int) -> int:
        if number == 1:
            gate.wait(10)
        made.append(number)
        return number

    found = made_ahead(make, [(number,) for number in range(9)], ahead=3)
    assert next(found) == 0
    found.close()  # type: ignore[attr-defined]
    gate.set()
    for thread in threading.enumerate():
        if thread.name.startswith("batches"):
            thread.join(10)
    assert set(made) <= {0, 1}


@pytest.mark.parametrize("ahead", [0, 2])
def test_no_jobs_make_nothing(ahead: int) -> None:
    never: Callable[..., Any] = pytest.fail
    assert list(made_ahead(never, [], ahead)) == []
