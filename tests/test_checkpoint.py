"""Checkpoints: whole at every moment, exact, and plain when something is wrong."""

from __future__ import annotations

import csv
import errno
import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from pellucid.errors import BundleError, TrainingError
from pellucid.training import checkpoint
from pellucid.training.checkpoint import (
    EpochRow,
    State,
    best_path,
    last_path,
    load_best,
    load_state,
    save_best,
    save_history,
    save_state,
)
from pellucid.training.hyperparameters import Plan
from pellucid.training.optimiser import Optimiser


def network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 2))


def state(seed: int = 0, optimiser: str = "adamw", steps: int = 3) -> State:
    classifier = network(seed).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    made = Optimiser(classifier, Plan(optimiser=optimiser))
    result = State(classifier, made, "key")
    for number in range(steps):
        classifier.zero_grad()
        classifier(torch.randn(3, 1, 4, 4)).square().sum().backward()
        made.step(0.1, number)
        result.at.count(1.5, 3, 0.25)
    return result


def row(epoch: int, metric: float = 0.5) -> EpochRow:
    return EpochRow(epoch, 5, 1e-3, 0.7, 0.6, metric, 100.0, 1.0, epoch * 1.0, 2.0, True)


def assert_equal(a: State, b: State) -> None:
    for key, value in a.classifier.state_dict().items():
        assert torch.equal(value, b.classifier.state_dict()[key])
    assert a.optimiser.memory.keys() == b.optimiser.memory.keys()
    for name, value in a.optimiser.memory.items():
        assert torch.equal(value, b.optimiser.memory[name])
        assert value.stride() == b.optimiser.memory[name].stride()


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_everything_comes_back(tmp_path: Path, optimiser: str) -> None:
    before, after = state(0, optimiser), state(9, optimiser, steps=0)
    before.keep_best()
    before.at.rows = [row(1), row(2, math.nan)]
    before.at.elapsed = 0.1 + 0.2
    save_state(before, tmp_path)
    assert load_state(after, tmp_path)
    assert_equal(before, after)
    assert before.best.keys() == after.best.keys() == before.classifier.state_dict().keys()
    assert all(torch.equal(value, after.best[key]) for key, value in before.best.items())
    assert after.at.rows[0] == before.at.rows[0]
    assert math.isnan(after.at.rows[1].validation_metric)
    assert (after.at.step, after.at.elapsed, after.at.loss_sum) == (3, 0.1 + 0.2, 4.5)


def test_a_state_before_the_first_step_comes_back(tmp_path: Path) -> None:
    save_state(state(steps=0), tmp_path)
    assert load_state(state(1, steps=0), tmp_path)


def test_without_a_checkpoint_there_is_nothing_to_load(tmp_path: Path) -> None:
    assert not load_state(state(), tmp_path)
    with pytest.raises(BundleError, match=r"There is no checkpoint"):
        load_best(network(0), tmp_path)


def test_best_holds_the_weights_and_the_epoch(tmp_path: Path) -> None:
    save_best(network(1).state_dict(), tmp_path, 7)
    loaded = network(2)
    assert load_best(loaded, tmp_path) == 7
    for key, value in network(1).state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value)


def test_another_plan_or_dataset_is_refused(tmp_path: Path) -> None:
    save_state(state(), tmp_path)
    other = state()
    other.key = "another"
    with pytest.raises(TrainingError, match="belongs to another plan, task or set of images"):
        load_state(other, tmp_path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda b: b[: len(b) // 2],
        lambda b: b"",
        lambda b: b"\x80\x04." + b[3:],
        lambda b: b"x" * 99,
    ],
    ids=["half", "empty", "pickle", "text"],
)
def test_a_damaged_file_is_one_plain_message(tmp_path: Path, damage: Any) -> None:
    save_state(state(), tmp_path)
    path = last_path(tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(BundleError, match=r"The checkpoint .* is damaged"):
        load_state(state(), tmp_path)


def test_another_safetensors_file_is_refused(tmp_path: Path) -> None:
    last_path(tmp_path).parent.mkdir()
    save_file({"a": torch.zeros(2)}, last_path(tmp_path))
    with pytest.raises(BundleError, match="not a checkpoint of Pellucid"):
        load_state(state(), tmp_path)


def test_a_newer_one_and_another_network_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_state(state(), tmp_path)
    stranger = State(nn.Linear(2, 2), state().optimiser, "key")
    for other in (stranger, state(optimiser="sgd")):
        with pytest.raises(BundleError, match="is damaged"):
            load_state(other, tmp_path)
    monkeypatch.setattr(checkpoint, "VERSION", 0)
    with pytest.raises(BundleError, match="newer Pellucid"):
        load_state(state(), tmp_path)


def test_the_file_holds_tensors_and_json_only(tmp_path: Path) -> None:
    save_state(state(), tmp_path)
    with safe_open(last_path(tmp_path), framework="pt") as file:
        facts = json.loads(file.metadata()["pellucid"])
    assert facts["at"]["step"] == 3


@pytest.mark.parametrize("where", ["write", "flush", "rename"])
def test_a_full_disk_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    old, new = state(0), state(1)
    save_state(old, tmp_path)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if where == "write":
        monkeypatch.setattr(checkpoint, "save_file", full)
    elif where == "flush":
        monkeypatch.setattr(os, "fsync", full)
    else:
        monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(TrainingError, match=r"The disk is full: .*last\.safetensors.*--resume"):
        save_state(new, tmp_path)
    monkeypatch.undo()
    assert [p.name for p in last_path(tmp_path).parent.iterdir()] == ["last.safetensors"]
    assert load_state(new, tmp_path)
    assert_equal(old, new)


def test_the_error_of_safetensors_itself_is_understood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left (os error 28)")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(TrainingError, match="The disk is full"):
        save_state(state(), tmp_path)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("in the way")
    with pytest.raises(TrainingError, match="cannot be written"):
        save_best(network(0).state_dict(), tmp_path, 1)


def test_history_is_a_row_an_epoch(tmp_path: Path) -> None:
    save_history([row(1), row(2, math.nan)], tmp_path)
    with (tmp_path / "history.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [r["epoch"] for r in rows] == ["1", "2"]
    assert rows[0]["validation_metric"] == "0.5"
    assert rows[1]["validation_metric"] == ""
    assert rows[0]["is_best"] == "1"


def test_a_full_disk_for_the_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TrainingError, match="The disk is full"):
        save_history([row(1)], tmp_path)


def test_forget_removes_both(tmp_path: Path) -> None:
    save_state(state(), tmp_path)
    save_best(network(0).state_dict(), tmp_path, 1)
    checkpoint.forget(tmp_path)
    assert not last_path(tmp_path).exists()
    assert not best_path(tmp_path).exists()
