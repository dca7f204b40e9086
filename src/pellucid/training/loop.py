"""train(): mini-batch gradient descent, the whole loop on one screen.

Every random draw follows from (seed, epoch, step), so there is no random state to keep, and a run
that was killed goes on in the middle of an epoch with the very numbers of an uninterrupted one: on
one machine with one number of threads its weights are equal bit for bit. A budget breaks this
promise, since the rate then follows the clock; the epochs really planned stand in history.csv.

The loop takes any module from images (n, C, H, W) to logits (n, task.n_logits). It does not know
where images come from, which network it trains, or how predictions are judged after it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from pellucid.errors import Diverged
from pellucid.network.matrix_convolution import as_matrix_products
from pellucid.training.augmentation import build_augmentation
from pellucid.training.batches import (
    FOR_NETWORK,
    BatchMaker,
    Integers,
    TrainingData,
    check_data,
    data_key,
    gather,
    normalise,
    seed_for,
)
from pellucid.training.checkpoint import (
    EpochRow,
    Position,
    State,
    forget,
    load_state,
    save_best,
    save_history,
    save_state,
)
from pellucid.training.device import (
    choose_device,
    own_randomness,
    place,
    precision,
    seed_randomness,
)
from pellucid.training.distillation import build_distance
from pellucid.training.hyperparameters import Plan
from pellucid.training.loss import Loss, build_loss, count_classes
from pellucid.training.optimiser import Optimiser, clip_factor
from pellucid.training.rules import steps_per_epoch
from pellucid.training.schedule import epochs_planned, is_out_of_time, learning_rate
from pellucid.training.stopping import Interruption, best_epoch, is_exhausted

__all__ = ["EpochRow", "Listener", "TrainingData", "TrainingResult", "train"]

SAVE_EVERY_S = 60.0
SAVING_SHARE = 0.02  # of the time, at most, is spent on saving
Score = Callable[[Integers, npt.NDArray[np.float32]], float]


@dataclass(frozen=True)
class Listener:
    """Who wants to hear: `epoch(row)` after each, `step(done, steps, images_per_second)`."""

    epoch: Callable[[EpochRow], None] = lambda row: None
    step: Callable[[int, int, float], None] = lambda done, steps, rate: None
    clock: Callable[[], float] = time.monotonic


@dataclass(frozen=True)
class TrainingResult:
    """How a training went; `best_epoch` counts from 1, times are in seconds over all sessions."""

    rows: tuple[EpochRow, ...]
    best_epoch: int
    stopped_because: str
    seconds: float


def train(
    classifier: nn.Module,
    plan: Plan,
    data: TrainingData,
    run: Path,
    *,
    score: Score,
    resume: bool = False,
    transform: Callable[[Any], Any] | None = None,
    teacher: nn.Module | None = None,
    listener: Listener | None = None,
) -> TrainingResult:
    """Train, and leave the best epoch's weights in `classifier`, on the CPU in evaluation mode.

    `score(codes, logits)` judges the validation images, better when high. `transform` replaces the
    plan's augmentation. A `teacher` is a trained network whose logits are learned beside the
    labels. Writes `run/history.csv` and `run/checkpoints/`; with `resume` it goes on
    from there. Raises `TrainingError` for a loss that is not finite and for a full disk; after
    ctrl-C it saves, then raises `KeyboardInterrupt`.
    """
    check_data(data, plan)
    listener, device = listener or Listener(), choose_device(plan)
    augment = build_augmentation(plan.augmentation, plan.augmentation_strength, transform)
    make_batches = BatchMaker(data, plan, augment, device)
    loss_of = build_loss(plan, data.task, count_classes(data.task, data.codes[data.train]))
    distance_of = build_distance(teacher, plan, device)
    state = _start(classifier, plan, data, run, resume, device)
    at, clock = state.at, _Clock(listener.clock, state.at.elapsed)
    with Interruption() as interruption, own_randomness(device), as_matrix_products(classifier):
        while not at.stopped_because:
            classifier.train()
            steps, began = steps_per_epoch(len(data.train), plan.batch_size), clock()
            for images, codes in make_batches.epoch(at.epoch, at.step, _ahead(device, transform)):
                if at.step and is_out_of_time(plan, clock(), *_expected(at, data)):
                    break
                # The rate of the middle of the step: neither the first nor the last one is 0.
                at.rate = learning_rate(plan, at.epoch + (at.step + 0.5) / steps, began)

                seed_randomness(seed_for(plan.seed, at.epoch, at.step, FOR_NETWORK), device)
                with precision(plan, device):
                    logits = classifier(images)
                loss = loss_of(logits.float(), codes) + distance_of(logits.float(), images)
                _check_finite("loss", loss.item(), at, plan)
                classifier.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                norm = state.optimiser.gradient_norm() if plan.gradient_clip else 0.0
                _check_finite("gradient", norm, at, plan)
                state.optimiser.step(at.rate, at.steps, clip_factor(norm, plan))

                at.count(loss.item() * len(codes), len(codes), clock() - began)
                listener.step(at.step, steps, at.images / max(at.seconds, 1e-9))
                at.elapsed = clock()
                if interruption.asked or clock.is_time_to_save(SAVE_EVERY_S):
                    clock.save(state, run)
                if interruption.asked:
                    raise KeyboardInterrupt
                began = clock()
            row = _validate(state, plan, data, loss_of, score, clock)
            _turn_epoch(state, row, plan, was_cut=at.step < steps)
            if at.stopped_because or interruption.asked or clock.is_time_to_save(0.0):
                clock.save(state, run)
            save_history(at.rows, run)
            listener.epoch(row)
            if interruption.asked:
                raise KeyboardInterrupt
    save_best(state.best, run, best_epoch(at.rows) + 1)
    classifier.load_state_dict(state.best)
    classifier.to("cpu").eval()
    return TrainingResult(tuple(at.rows), best_epoch(at.rows) + 1, at.stopped_because, at.elapsed)


class _Clock:
    """Seconds of training over all sessions, and when to save next."""

    def __init__(self, clock: Callable[[], float], elapsed: float) -> None:
        self._clock, self._start = clock, clock() - elapsed
        self._saved, self._saving_took = elapsed, 0.0

    def __call__(self) -> float:
        return self._clock() - self._start

    def is_time_to_save(self, every: float) -> bool:
        """Whether the last save is `every` seconds ago, and saving takes a small share of time."""
        return self() - self._saved >= max(every, self._saving_took / SAVING_SHARE)

    def save(self, state: State, run: Path) -> None:
        began = self()
        save_state(state, run)
        self._saved = self()
        self._saving_took = self._saved - began


def _ahead(device: torch.device, transform: Callable[[Any], Any] | None) -> int:
    """How many batches a thread makes before their turn.

    None on a processor, where the network leaves no core idle and a thread beside it only makes it
    wait; and none for a user's transform, which draws from torch's one random state.
    """
    return 2 if device.type == "cuda" and transform is None else 0


def _start(
    classifier: nn.Module,
    plan: Plan,
    data: TrainingData,
    run: Path,
    resume: bool,
    device: torch.device,
) -> State:
    place(classifier, plan, device)
    state = State(classifier, Optimiser(classifier, plan), data_key(plan, data))
    if not (resume and load_state(state, run)):
        forget(run)
        return state
    if state.at.rows:
        save_history(state.at.rows, run)
    return state


def _expected(at: Position, data: TrainingData) -> tuple[float, float]:
    """Seconds that the next step and the validation will take; a forward pass is about half."""
    validation = at.validation_seconds or 0.5 * len(data.validation) * at.seconds / at.images
    return at.seconds / at.step, validation


def _check_finite(what: str, value: float, at: Position, plan: Plan) -> None:
    if math.isfinite(value):
        return
    remedy = f"Try --set learning_rate={plan.learning_rate / 10:g}"
    if not plan.gradient_clip:
        remedy += " or --set gradient_clip=1"
    if plan.precision != "float32":
        remedy += " or --set precision=float32"
    found = f"{value} at step {at.step + 1} of epoch {at.epoch + 1}"
    raise Diverged(f"The {what} must stay finite", found, remedy)


@torch.inference_mode()
def _validate(
    state: State,
    plan: Plan,
    data: TrainingData,
    loss_of: Loss,
    score: Score,
    clock: _Clock,
) -> EpochRow:
    """Judge the network on the validation images, as they are, without augmentation."""
    began, at, device = clock(), state.at, next(state.classifier.parameters()).device
    state.classifier.eval()
    blocks = []
    for start in range(0, len(data.validation), 2 * plan.batch_size):
        images, _ = gather(data, data.validation[start : start + 2 * plan.batch_size], device)
        with precision(plan, device):
            blocks.append(state.classifier(normalise(images, plan)).float())
    logits, codes = torch.cat(blocks), data.codes[data.validation]
    loss = float(loss_of(logits, torch.from_numpy(codes).to(device)))
    metric = score(codes, logits.cpu().numpy())
    at.elapsed = clock()
    at.validation_seconds = at.elapsed - began
    planned = epochs_planned(plan, at.epoch + 1, at.seconds, at.validation_seconds, at.elapsed)
    seconds = at.seconds + at.validation_seconds
    row = EpochRow(
        epoch=at.epoch + 1,
        epochs_planned=planned,
        learning_rate=at.rate,
        train_loss=at.loss_sum / at.images,
        validation_loss=loss,
        validation_metric=float(metric),
        images_per_second=at.images / max(at.seconds, 1e-9),
        seconds=seconds,
        elapsed=at.elapsed,
        time_left=seconds * (planned - at.epoch - 1),
        is_best=False,
    )
    return replace(row, is_best=best_epoch([*at.rows, row]) == len(at.rows))


def _turn_epoch(state: State, row: EpochRow, plan: Plan, was_cut: bool) -> None:
    at = state.at
    at.rows.append(row)
    if row.is_best:
        state.keep_best()
    at.begin_epoch(at.epoch + 1)
    if at.epoch == plan.epochs:
        at.stopped_because = f"all {plan.epochs} epochs are done"
    elif was_cut or row.epochs_planned <= at.epoch:
        at.stopped_because = f"the budget of {round(plan.budget_seconds or 0.0, 2):g} s is used up"
    elif is_exhausted(at.rows, plan.patience):
        at.stopped_because = f"no better validation {plan.metric} for {plan.patience} epochs"
