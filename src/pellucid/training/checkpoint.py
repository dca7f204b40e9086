"""Where a training stands, kept so that a kill at any moment loses no bit and seldom a minute.

One safetensors file: weights, those of the best epoch and the optimiser's tensors, with everything
else as JSON in its header. It is written beside the old one, flushed to the disk and renamed over
it, so that there is a whole one at every moment. No pickle. Random draws need no place in it, since
each follows from (seed, epoch, step). This module does not know how a step is made.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, astuple, dataclass, field, fields
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from pellucid.errors import BundleError, TrainingError, UsageError
from pellucid.storage import cannot_write, write_text
from pellucid.training.optimiser import Optimiser

FORMAT = "pellucid-checkpoint"
VERSION = 2  # 2: the best weights stand in it


@dataclass(frozen=True)
class EpochRow:
    """One epoch in the history, counted from 1. Times in seconds, `elapsed` over all sessions.

    `validation_metric` is NaN where it is undefined.
    """

    epoch: int
    epochs_planned: int
    learning_rate: float
    train_loss: float
    validation_loss: float
    validation_metric: float
    images_per_second: float
    seconds: float
    elapsed: float
    time_left: float
    is_best: bool


@dataclass
class Position:
    """Where training stands.

    `step` is the next one of `epoch`; `steps` counts all. `loss_sum`, `images` and `seconds` are of
    the epoch so far, without validation; `validation_seconds` of the last validation.
    """

    epoch: int = 0
    step: int = 0
    steps: int = 0
    rate: float = 0.0
    loss_sum: float = 0.0
    images: int = 0
    seconds: float = 0.0
    validation_seconds: float = 0.0
    elapsed: float = 0.0
    rows: list[EpochRow] = field(default_factory=list)
    stopped_because: str = ""

    def count(self, loss_sum: float, images: int, seconds: float) -> None:
        """A step is done."""
        self.step += 1
        self.steps += 1
        self.loss_sum += loss_sum
        self.images += images
        self.seconds += seconds

    def begin_epoch(self, epoch: int) -> None:
        """Start the sums of an epoch anew."""
        self.epoch, self.step, self.images = epoch, 0, 0
        self.loss_sum = self.seconds = 0.0


@dataclass
class State:
    """Everything that a step changes; `key` tells which plan, task and images it belongs to.

    `best` holds the weights of the best epoch so far, by name; at first there are none.
    """

    classifier: nn.Module
    optimiser: Optimiser
    key: str
    at: Position = field(default_factory=Position)
    best: dict[str, Tensor] = field(default_factory=dict)

    def keep_best(self) -> None:
        """The weights as they are now are the best so far."""
        self.best = {k: v.detach().clone() for k, v in self.classifier.state_dict().items()}


def last_path(run: Path) -> Path:
    """The checkpoint that resumes."""
    return run / "checkpoints" / "last.safetensors"


def best_path(run: Path) -> Path:
    """The weights of the best epoch, written when training has ended."""
    return run / "checkpoints" / "best.safetensors"


def save_state(state: State, run: Path) -> None:
    """Replace `checkpoints/last.safetensors`; raises `TrainingError`, and the old one stays."""
    tensors = {f"classifier.{k}": v for k, v in state.classifier.state_dict().items()}
    tensors |= {f"optimiser.{k}": v for k, v in state.optimiser.memory.items()}
    tensors |= {f"best.{k}": v for k, v in state.best.items()}
    _save(last_path(run), tensors, {"key": state.key, "at": asdict(state.at)})


def load_state(state: State, run: Path) -> bool:
    """Put a training where its checkpoint stands; False when there is none.

    Raises `BundleError` when the file is damaged, `TrainingError` when it belongs to another plan,
    task or set of images.
    """
    path = last_path(run)
    if not path.is_file():
        return False
    tensors, facts = _load(path)
    if facts.get("key") != state.key:
        rule = f"The checkpoint {path} belongs to another plan, task or set of images"
        raise TrainingError(rule, remedy="Start a new run.")
    try:
        state.classifier.load_state_dict(_part(tensors, "classifier."))
        _load_memory(state.optimiser.memory, _part(tensors, "optimiser."))
        state.best = _part(tensors, "best.")
        state.at = _position(facts["at"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise _damaged(path, error) from error
    return True


def save_best(weights: dict[str, Tensor], run: Path, epoch: int) -> None:
    """Write `checkpoints/best.safetensors`; raises `TrainingError`, and an old one stays."""
    _save(best_path(run), weights, {"epoch": epoch})


def load_best(classifier: nn.Module, run: Path) -> int:
    """Give a classifier the weights of the run's best epoch; returns the epoch (from 1).

    Raises `BundleError` when the file is missing or damaged.
    """
    path = best_path(run)
    if not path.is_file():
        raise BundleError(f"There is no checkpoint {path}", remedy="Train first.")
    tensors, facts = _load(path)
    try:
        classifier.load_state_dict(tensors)
        return int(facts["epoch"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise _damaged(path, error) from error


def save_history(rows: list[EpochRow], run: Path) -> None:
    """Write `history.csv` anew, a row an epoch; raises `TrainingError`."""
    names = [column.name for column in fields(EpochRow)]
    lines = [",".join(names)]
    for row in rows:
        lines.append(",".join(_cell(value) for value in astuple(row)))
    try:
        write_text(run / "history.csv", "\n".join(lines) + "\n")
    except UsageError as error:
        raise TrainingError(error.rule, error.found, error.remedy) from error


def forget(run: Path) -> None:
    """Remove the checkpoints of an earlier training."""
    for path in (last_path(run), best_path(run)):
        path.unlink(missing_ok=True)


def _cell(value: float) -> str:
    if isinstance(value, float):
        return "" if value != value else f"{value:.6g}"
    return str(int(value))


def _load_memory(memory: dict[str, Tensor], tensors: dict[str, Tensor]) -> None:
    if memory.keys() != tensors.keys():
        raise ValueError("the optimiser's memory is of another network or optimiser")
    for name, value in tensors.items():
        memory[name].copy_(value)


def _position(document: dict[str, Any]) -> Position:
    rows = [EpochRow(**_with_nan(row)) for row in document["rows"]]
    return Position(**{**document, "rows": rows})


def _with_nan(row: dict[str, Any]) -> dict[str, Any]:
    return {key: float("nan") if value is None else value for key, value in row.items()}


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and value != value else value


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _save(path: Path, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
    facts = {"format": FORMAT, "version": VERSION, **_without_nan(facts)}
    # One entry only: safetensors writes several in random order, and equal states should make
    # equal files.
    metadata = {"pellucid": json.dumps(facts, allow_nan=False)}
    temporary = path.with_name(f".{path.name}.tmp")
    plain = {key: value.detach().contiguous() for key, value in tensors.items()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(plain, temporary, metadata)
        _flush(temporary)
        temporary.replace(path)
        _flush(path.parent)  # the rename itself
    except (OSError, SafetensorError) as error:
        with suppress(OSError):
            temporary.unlink()
        raise _cannot_save(path, error) from error


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _cannot_save(path: Path, error: OSError | SafetensorError) -> TrainingError:
    # safetensors wraps the system's error in its own, as text.
    full = "No space left" in str(error) or "os error 28" in str(error)
    cause = error if isinstance(error, OSError) else OSError(28 if full else 5, str(error))
    plain = cannot_write(path, cause)
    return TrainingError(plain.rule, plain.found, plain.remedy)


def _load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with safe_open(path, framework="pt") as file:
            facts = dict(json.loads((file.metadata() or {}).get("pellucid", "{}")))
            if facts.get("format") != FORMAT:
                raise BundleError(f"{path} is not a checkpoint of Pellucid")
            if facts["version"] != VERSION:
                which = "a newer" if facts["version"] > VERSION else "an older"
                raise BundleError(f"{path} was written by {which} Pellucid")
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  no dict
            return tensors, facts
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> BundleError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
    remedy = "Remove the run folder and start again."
    return BundleError(f"The checkpoint {path} is damaged", reason, remedy)
