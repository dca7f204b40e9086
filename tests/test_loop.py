"""The loop: it learns, keeps its promises about randomness and time, and survives being killed."""

from __future__ import annotations

import copy
import csv
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from pellucid.errors import DataError, PlanError, TrainingError
from pellucid.network.classifier import NetworkSpec, build_classifier
from pellucid.network.spec import Block
from pellucid.task import Target, Task
from pellucid.training import checkpoint, loop
from pellucid.training.batches import draw_batches, seed_for
from pellucid.training.checkpoint import best_path, last_path, load_best
from pellucid.training.device import is_bfloat16_fast
from pellucid.training.hyperparameters import Plan
from pellucid.training.loop import EpochRow, Listener, TrainingData, TrainingResult, train
from pellucid.training.optimiser import Optimiser, rate_shares
from pellucid.training.schedule import epochs_planned, is_out_of_time, learning_rate

TASK = Task(targets=(Target(name="label", classes=("normal", "disease")),))
SIZE = 8


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Tiny networks are slower on several threads, above all when tests run side by side."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def easy_data(n: int = 90, seed: int = 0) -> TrainingData:
    """Noise, with a bright spot in the middle of the positive images."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 2, (n, 1))
    pixels = rng.integers(0, 120, (n, 1, SIZE, SIZE)).astype(np.uint8)
    pixels[codes[:, 0] == 1, :, 2:6, 2:6] += 100
    rows = rng.permutation(n)
    return TrainingData(TASK, pixels, codes, rows[: 2 * n // 3], rows[2 * n // 3 :])


def small_network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(16, 1),
    )


def accuracy(codes: Any, logits: Any) -> float:
    return float(((logits[:, 0] > 0) == codes[:, 0]).mean())


def plan_for(**settings: Any) -> Plan:
    small = {"image_size": SIZE, "batch_size": 8, "epochs": 3, "learning_rate": 0.01}
    return Plan(**{**small, **settings})


def run_it(folder: Path, network: nn.Module | None = None, **settings: Any) -> TrainingResult:
    options = {key: settings.pop(key) for key in ("resume", "listener") if key in settings}
    data = settings.pop("data", None) or easy_data()
    network = network or small_network()
    return train(network, plan_for(**settings), data, folder, score=accuracy, **options)


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    tensors, _ = checkpoint._load(last_path(folder))
    return tensors


def assert_same_weights(one: Path, other: Path) -> None:
    mine, theirs = weights_of(one), weights_of(other)
    assert mine.keys() == theirs.keys()
    assert [key for key, value in mine.items() if not torch.equal(value, theirs[key])] == []


# --- learning -------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{}, {"optimiser": "sgd", "learning_rate": 0.1}])
def test_the_loss_goes_down_on_an_easy_problem(tmp_path: Path, settings: dict[str, Any]) -> None:
    rows: list[EpochRow] = []
    result = run_it(tmp_path, epochs=12, listener=Listener(epoch=rows.append), **settings)
    assert list(result.rows) == rows
    assert rows[-1].train_loss < 0.5 * rows[0].train_loss
    assert rows[-1].validation_metric > 0.95
    assert result.stopped_because == "all 12 epochs are done"


def test_the_best_weights_are_left_in_the_classifier(tmp_path: Path) -> None:
    network, data = small_network(), easy_data()
    result = run_it(tmp_path, network, epochs=4)
    assert not network.training
    best = small_network(5)
    assert load_best(best, tmp_path) == result.best_epoch
    for key, value in best.state_dict().items():
        assert torch.equal(network.state_dict()[key], value)
    pixels = torch.from_numpy(data.pixels[data.validation]).float() / 255
    logits = network((pixels - 0.5) / 0.25).detach().numpy()
    expected = result.rows[result.best_epoch - 1].validation_metric
    assert accuracy(data.codes[data.validation], logits) == expected


def test_history_holds_each_epoch_once(tmp_path: Path) -> None:
    result = run_it(tmp_path, epochs=3)
    with (tmp_path / "history.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert float(rows[1]["train_loss"]) == pytest.approx(result.rows[1].train_loss, rel=1e-5)
    assert result.rows[0].is_best


@pytest.mark.parametrize(
    "settings",
    [
        {"loss": "focal", "class_weights": "balanced", "label_smoothing": 0.1},
        {"gradient_clip": 0.0, "schedule": "constant", "warmup_epochs": 0},
        {"optimiser": "sgd", "momentum": 0.0, "nesterov": False, "channels_last": False},
        {"precision": "bfloat16"},
        {"batch_size": 1, "epochs": 1},
        {"batch_size": 500},
    ],
)
def test_every_dial_trains(tmp_path: Path, settings: dict[str, Any]) -> None:
    result = run_it(tmp_path, **{"epochs": 2, **settings})
    assert all(math.isfinite(row.train_loss) for row in result.rows)


def test_several_targets_with_missing_labels(tmp_path: Path) -> None:
    task = Task(targets=(*TASK.targets, Target(name="kind", classes=("a", "b", "c"))))
    data = easy_data()
    kinds = np.random.default_rng(0).integers(-1, 3, (len(data.codes), 1))
    wide = TrainingData(
        task, data.pixels, np.hstack([data.codes, kinds]), data.train, data.validation
    )
    network = nn.Sequential(nn.Flatten(), nn.Linear(SIZE * SIZE, 4))
    result = run_it(tmp_path, network, data=wide)
    assert all(math.isfinite(row.validation_loss) for row in result.rows)


def test_a_users_transform_replaces_the_policy(tmp_path: Path) -> None:
    calls: list[int] = []

    def transform(image: Any) -> Any:
        calls.append(1)
        return image.flip(-1)

    data = easy_data()
    train(
        small_network(),
        plan_for(epochs=2),
        data,
        tmp_path,
        score=accuracy,
        transform=transform,
    )
    assert len(calls) == 2 * len(data.train)  # never on validation images


def test_pixels_may_be_memory_mapped(tmp_path: Path) -> None:
    data = easy_data()
    np.save(tmp_path / "pixels.npy", data.pixels)
    mapped = np.load(tmp_path / "pixels.npy", mmap_mode="r")
    lazy = TrainingData(TASK, mapped, data.codes, data.train, data.validation)
    run_it(tmp_path / "a", data=lazy, epochs=1)
    run_it(tmp_path / "b", epochs=1)
    assert_same_weights(tmp_path / "a", tmp_path / "b")


# --- randomness -----------------------------------------------------------------------------------


def test_each_epoch_takes_every_image_once_in_another_order() -> None:
    rows = np.arange(100, 165)
    first, second = (draw_batches(rows, plan_for(), epoch) for epoch in (0, 1))
    for batches in (first, second):
        assert sorted(np.concatenate(batches)) == list(rows)
        assert {len(batch) for batch in batches} <= {7, 8}
    assert np.concatenate(first).tolist() != np.concatenate(second).tolist()
    again = draw_batches(rows, plan_for(), 0)
    assert np.concatenate(again).tolist() == np.concatenate(first).tolist()


def test_seeds_differ_in_every_part() -> None:
    seeds = {
        seed_for(a, b, c, d) for a in range(4) for b in range(4) for c in range(4) for d in (0, 1)
    }
    assert len(seeds) == 128


def test_the_seed_decides_and_the_global_state_does_not(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        torch.manual_seed(10 + ord(name))
        state = torch.get_rng_state()
        network = small_network()
        torch.set_rng_state(state)
        run_it(tmp_path / name, network, seed=seed, epochs=1)
        assert torch.equal(torch.get_rng_state(), state)
    assert_same_weights(tmp_path / "a", tmp_path / "b")
    with pytest.raises(AssertionError):
        assert_same_weights(tmp_path / "a", tmp_path / "c")


# --- the rate, the optimiser, the average ---------------------------------------------------------


def test_the_rate_rises_and_falls() -> None:
    plan = Plan(epochs=10, warmup_epochs=2, learning_rate=1.0)
    assert learning_rate(plan, 1.0) == pytest.approx(0.5 * 0.5 * (1 + math.cos(0.1 * math.pi)))
    assert learning_rate(plan, 5.0) == pytest.approx(0.5)
    assert learning_rate(plan, 10.0) == pytest.approx(0.0)
    constant = Plan(epochs=10, warmup_epochs=0, schedule="constant", learning_rate=0.3)
    assert learning_rate(constant, 9.9) == 0.3


def test_under_a_budget_the_rate_follows_whichever_is_further() -> None:
    plan = Plan(epochs=10, warmup_epochs=1, learning_rate=1.0, budget_seconds=100)
    assert learning_rate(plan, 0.3, 50.0) == pytest.approx(0.5)
    assert learning_rate(plan, 5.0, 10.0) == pytest.approx(0.5)
    assert learning_rate(plan, 0.3, 100.0) == pytest.approx(0.0)


def test_epochs_are_planned_from_the_speed() -> None:
    plan = Plan(epochs=10, budget_seconds=100)
    assert epochs_planned(plan, 1, 9.0, 1.0, 10.0) == 10
    assert epochs_planned(plan, 1, 18.0, 2.0, 20.0) == 5
    assert epochs_planned(plan, 1, 28.0, 2.0, 30.0) == 4  # the last one is a third of an epoch
    assert epochs_planned(plan, 1, 45.0, 2.0, 52.0) == 2 - 1 + 1
    assert epochs_planned(plan, 1, 95.0, 2.0, 97.0) == 1
    assert epochs_planned(Plan(epochs=10), 1, 1e9, 1.0, 1e9) == 10
    assert not is_out_of_time(Plan(), 1e9, 1.0, 1.0)


def torch_optimiser(network: nn.Module, plan: Plan) -> torch.optim.Optimizer:
    groups = [
        {"params": [p for p in network.parameters() if p.ndim > 1]},
        {"params": [p for p in network.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    decay = {"weight_decay": plan.weight_decay, "lr": 1.0}
    if plan.optimiser == "adamw":
        return torch.optim.AdamW(groups, betas=(plan.momentum, 0.999), **decay)
    return torch.optim.SGD(groups, momentum=plan.momentum, nesterov=plan.nesterov, **decay)


@pytest.mark.parametrize(
    "settings",
    [
        {"optimiser": "adamw"},
        {"optimiser": "sgd"},
        {"optimiser": "sgd", "nesterov": False},
        {"optimiser": "sgd", "nesterov": False, "momentum": 0.0, "weight_decay": 0.0},
    ],
)
def test_the_optimisers_are_torchs(settings: dict[str, Any]) -> None:
    plan = plan_for(**settings)
    ours, theirs = small_network().eval(), small_network().eval()
    optimiser, reference = Optimiser(ours, plan), torch_optimiser(theirs, plan)
    for number in range(20):
        rate = 0.01 * (1 + number % 3)
        for group in reference.param_groups:
            group["lr"] = rate
        images = torch.randn(4, 1, SIZE, SIZE)
        for network in (ours, theirs):
            network.zero_grad()
            network(images).square().sum().backward()
        optimiser.step(rate, number)
        reference.step()
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-6)


def test_the_first_layer_may_learn_more_slowly_than_the_head() -> None:
    names = [f"backbone.{k}.weight" for k in range(12)]
    shares = rate_shares([*names, "heads.label.weight"], 0.1)
    rising = [shares[name] for name in names]
    assert (rising[0], shares["heads.label.weight"]) == (0.1, 1.0)
    assert rising == sorted(rising)
    assert len(set(rising)) == 5
    assert set(rate_shares(names, 1.0).values()) == {1.0}


def test_each_layer_moves_by_its_share_of_the_rate() -> None:
    two = (Block(channels=4), Block(channels=8))
    spec = NetworkSpec(name="plain", channels=1, image_size=16, blocks=two)
    plan = plan_for(optimiser="sgd", momentum=0.0, nesterov=False, weight_decay=0.0)
    moved = {}
    for first in (1.0, 0.01):
        network = build_classifier(spec, TASK, seed=3).eval()
        before = {name: weight.clone() for name, weight in network.named_parameters()}
        changed = plan.model_copy(update={"first_layer_rate": first})
        network(torch.ones(2, 1, 16, 16)).sum().backward()
        Optimiser(network, changed).step(0.1, 0)
        moved[first] = {n: w.detach() - before[n] for n, w in network.named_parameters()}
    for name, share in rate_shares(list(moved[1.0]), 0.01).items():
        torch.testing.assert_close(
            moved[0.01][name], share * moved[1.0][name], rtol=1e-3, atol=1e-7
        )


def test_frozen_and_unused_weights_stay() -> None:
    network = small_network()
    network[0].weight.requires_grad_(False)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    optimiser = Optimiser(network, plan_for())
    assert "mean.0.weight" not in optimiser.memory
    network[-1](torch.ones(1, 16)).sum().backward()  # the head alone
    optimiser.step(0.1, 0)
    changed = [k for k, v in network.state_dict().items() if not torch.equal(v, before[k])]
    assert changed == ["6.weight", "6.bias"]


# --- stopping -------------------------------------------------------------------------------------


def test_it_stops_when_patience_is_exhausted(tmp_path: Path) -> None:
    metrics = iter([0.5, 0.9, 0.8, 0.85, 0.7, 0.95])
    result = train(
        small_network(),
        plan_for(epochs=6, patience=3),
        easy_data(),
        tmp_path,
        score=lambda codes, logits: next(metrics),
    )
    assert len(result.rows) == 5
    assert result.stopped_because == "no better validation auroc for 3 epochs"
    assert result.best_epoch == 2
    assert load_best(small_network(), tmp_path) == 2


def test_an_undefined_metric_leaves_the_choice_to_the_loss(tmp_path: Path) -> None:
    result = train(
        small_network(), plan_for(), easy_data(), tmp_path, score=lambda codes, logits: math.nan
    )
    losses = [row.validation_loss for row in result.rows]
    assert result.best_epoch == 1 + losses.index(min(losses))


class FakeClock:
    """A clock that moves on by what each step and each validation is said to cost."""

    def __init__(self, step_s: float, validation_s: float) -> None:
        self.now, self.step_s, self.validation_s = 0.0, step_s, validation_s

    def __call__(self) -> float:
        return self.now

    def network(self) -> nn.Module:
        clock = self

        class Slow(nn.Sequential):
            def forward(self, x: Any) -> Any:
                clock.now += clock.step_s if self.training else clock.validation_s
                return super().forward(x)

            def __deepcopy__(self, memo: Any) -> Any:
                return Slow(*(copy.deepcopy(part, memo) for part in self))

        return Slow(*small_network())


@pytest.mark.parametrize(
    ("budget", "epochs", "steps"), [(100.0, 10, 80), (35.0, 4, 27), (5.0, 1, 3), (0.01, 1, 1)]
)
def test_the_budget_is_kept(tmp_path: Path, budget: float, epochs: int, steps: int) -> None:
    clock = FakeClock(1.0, 1.0)  # 8 steps and 2 batches of validation: 10 s an epoch
    result = run_it(
        tmp_path,
        clock.network(),
        epochs=50,
        budget_seconds=budget,
        listener=Listener(clock=clock),
    )
    assert len(result.rows) == epochs
    assert checkpoint._load(last_path(tmp_path))[1]["at"]["steps"] == steps
    assert result.seconds <= max(budget, 3.0)
    assert result.stopped_because == f"the budget of {budget:g} s is used up"
    assert result.rows[-1].epochs_planned == epochs
    assert result.rows[-1].time_left == 0.0


def test_the_budget_counts_over_resumes(tmp_path: Path) -> None:
    clock = FakeClock(1.0, 1.0)
    stop = Stopper(after=12)
    settings = {"epochs": 50, "budget_seconds": 40.0}
    with pytest.raises(Killed):
        run_it(tmp_path, clock.network(), listener=Listener(step=stop, clock=clock), **settings)
    clock = FakeClock(1.0, 1.0)
    result = run_it(
        tmp_path, clock.network(), listener=Listener(clock=clock), resume=True, **settings
    )
    assert len(result.rows) == 4
    assert 37.0 <= result.seconds <= 40.0
    assert clock.now == pytest.approx(30.0)  # the first epoch, 10 s, had been saved


def test_a_budget_that_is_not_reached_changes_nothing(tmp_path: Path) -> None:
    run_it(tmp_path / "a", epochs=2)
    run_it(tmp_path / "b", epochs=2, budget_seconds=1e6)
    for key, value in weights_of(tmp_path / "a").items():
        assert torch.equal(value, weights_of(tmp_path / "b")[key])


# --- kills ----------------------------------------------------------------------------------------


class Killed(Exception):
    pass


class Stopper:
    """Raises after so many steps, as a kill would: nothing after it is run."""

    def __init__(self, after: int) -> None:
        self.after = after

    def __call__(self, done: int, steps: int, rate: float) -> None:
        self.after -= 1
        if self.after == 0:
            raise Killed


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
@pytest.mark.parametrize("save_every_s", [0.0, 1e9])
def test_killed_and_resumed_equals_uninterrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimiser: str, save_every_s: float
) -> None:
    monkeypatch.setattr(loop, "SAVE_EVERY_S", save_every_s)
    monkeypatch.setattr(loop, "SAVING_SHARE", math.inf)
    settings = {"optimiser": optimiser, "epochs": 3}
    whole = run_it(tmp_path / "whole", **settings)
    draw, killed = random.Random(optimiser), tmp_path / "killed"
    for _ in range(4):
        stop = Listener(step=Stopper(after=draw.randint(1, 12)))
        try:
            run_it(killed, small_network(), resume=True, listener=stop, **settings)
        except Killed:
            continue
    result = run_it(killed, small_network(), resume=True, **settings)
    assert_same_weights(tmp_path / "whole", killed)
    assert best_path(killed).read_bytes() == best_path(tmp_path / "whole").read_bytes()
    exact = ("epoch", "learning_rate", "train_loss", "validation_loss", "validation_metric")
    for mine, other in zip(whole.rows, result.rows, strict=True):
        assert [getattr(mine, key) for key in exact] == [getattr(other, key) for key in exact]


def test_a_kill_before_the_best_weights_are_written_is_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_it(tmp_path / "whole")

    def killed(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(loop, "save_best", killed)
        with pytest.raises(Killed):
            run_it(tmp_path / "killed")
    assert not best_path(tmp_path / "killed").exists()
    run_it(tmp_path / "killed", resume=True)
    assert_same_weights(tmp_path / "whole", tmp_path / "killed")
    best = (best_path(tmp_path / name).read_bytes() for name in ("whole", "killed"))
    assert len(set(best)) == 1


def test_slow_saving_is_done_seldom_and_always_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, saved = FakeClock(1.0, 1.0), []  # an epoch takes 10 s

    def slow(state: Any, run: Path) -> None:
        clock.now += 0.7  # to be 2 % of the time, 35 s apart
        saved.append(len(state.at.rows))
        checkpoint.save_state(state, run)

    monkeypatch.setattr(loop, "save_state", slow)
    run_it(tmp_path, clock.network(), epochs=10, listener=Listener(clock=clock))
    assert saved == [1, 5, 9, 10]
    assert best_path(tmp_path).exists()


def test_resuming_a_finished_run_does_nothing_more(tmp_path: Path) -> None:
    first = run_it(tmp_path)
    bytes_before = last_path(tmp_path).read_bytes()
    network = small_network(3)
    again = run_it(tmp_path, network, resume=True)
    assert again == first
    assert last_path(tmp_path).read_bytes() == bytes_before


def test_without_resume_it_starts_anew(tmp_path: Path) -> None:
    run_it(tmp_path, seed=1, epochs=1)
    run_it(tmp_path, seed=2, epochs=1)
    run_it(tmp_path / "other", seed=2, epochs=1)
    assert_same_weights(tmp_path, tmp_path / "other")


def test_ctrl_c_finishes_the_step_saves_and_says_so(tmp_path: Path) -> None:
    def interrupt(done: int, steps: int, rate: float) -> None:
        if done == 5:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run_it(tmp_path / "a", listener=Listener(step=interrupt))
    assert checkpoint._load(last_path(tmp_path / "a"))[1]["at"]["step"] == 5
    run_it(tmp_path / "a", small_network(), resume=True)
    run_it(tmp_path / "b")
    assert_same_weights(tmp_path / "a", tmp_path / "b")


def test_ctrl_c_in_the_last_validation_is_heard_and_nothing_is_lost(tmp_path: Path) -> None:
    def interrupt(codes: Any, logits: Any) -> float:
        signal.raise_signal(signal.SIGINT)
        return 0.5

    with pytest.raises(KeyboardInterrupt):
        train(small_network(), plan_for(epochs=1), easy_data(), tmp_path, score=interrupt)
    assert run_it(tmp_path, epochs=1, resume=True).stopped_because == "all 1 epochs are done"


SCRIPT = """
import sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
sys.path.insert(0, {tests!r})
from test_loop import loop, run_it, small_network, Listener
loop.SAVE_EVERY_S, loop.SAVING_SHARE = 0.0, float("inf")
def step(done, steps, rate):
    print(".", end="", flush=True)
    time.sleep(0.02)
run_it(Path(sys.argv[1]), small_network(), resume=True, listener=Listener(step=step), epochs=4)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_sigkill_at_random_moments_changes_no_bit(tmp_path: Path) -> None:
    script = SCRIPT.format(tests=str(Path(__file__).parent))
    command = [sys.executable, "-c", script]
    draw = random.Random(4)
    for _ in range(3):
        with subprocess.Popen([*command, tmp_path / "killed"], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.read(1) == b"."  # the first step of this session is done
            time.sleep(draw.uniform(0.0, 0.2))
            process.send_signal(signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL
    run_it(tmp_path / "killed", small_network(), resume=True, epochs=4)
    run_it(tmp_path / "whole", small_network(), epochs=4)
    assert_same_weights(tmp_path / "whole", tmp_path / "killed")
    best = {best_path(tmp_path / name).read_bytes() for name in ("whole", "killed")}
    assert len(best) == 1
    assert len((tmp_path / "killed" / "history.csv").read_text().splitlines()) == 5


# --- mistakes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, r"The loss must stay finite, got nan at step 1 of epoch 1\. Try --set learning_rate="),
        ({"gradient_clip": 0.0}, r"or --set gradient_clip=1"),
    ],
)
def test_a_loss_that_is_not_finite_stops(
    tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    network = small_network()
    with torch.no_grad():
        network[-1].weight.fill_(math.nan)
    with pytest.raises(TrainingError, match=message):
        run_it(tmp_path, network, **settings)


def test_a_gradient_that_is_not_finite_stops(tmp_path: Path) -> None:
    class Bad(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
            return gradient * math.inf

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(SIZE * SIZE, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return Bad.apply(self.linear(x.flatten(1)))  # type: ignore[no-any-return,no-untyped-call]

    with pytest.raises(TrainingError, match="The gradient must stay finite"):
        run_it(tmp_path, Network())


def test_a_full_disk_stops_plainly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(TrainingError, match="The disk is full"):
        run_it(tmp_path)


def without(data: TrainingData, **rows: Any) -> TrainingData:
    return TrainingData(**{**data.__dict__, **rows})


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"train": np.arange(1)}, "Training needs at least two images, got 1"),
        ({"validation": np.arange(0)}, "needs validation images"),
    ],
)
def test_too_few_images(tmp_path: Path, rows: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        run_it(tmp_path, data=without(easy_data(), **rows))


def test_images_of_another_size(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"instead of \(1, 16, 16\)"):
        run_it(tmp_path, image_size=16)


def test_other_images_are_not_resumed(tmp_path: Path) -> None:
    run_it(tmp_path, epochs=1)
    with pytest.raises(TrainingError, match="another plan, task or set of images"):
        run_it(tmp_path, epochs=1, resume=True, data=easy_data(seed=1))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="device=cuda needs a GPU"):
        run_it(tmp_path, device="cuda")


def test_bfloat16_is_not_taken_where_it_is_emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere: Callable[[], bool] = lambda: False  # noqa: E731
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, nowhere, raising=False)
    assert not is_bfloat16_fast(torch.device("cpu"))
