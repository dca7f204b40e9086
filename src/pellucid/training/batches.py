"""Decoded images on their way to the network: which ones a step takes, and every seed.

Nothing here keeps a random state: each draw follows from (seed, epoch, step, what it is for). So a
batch can be made before its turn, by a thread of its own, while the network computes another.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pellucid.errors import DataError, PlanError
from pellucid.task import Task
from pellucid.training.augmentation import Augmentation
from pellucid.training.hyperparameters import Plan
from pellucid.training.rules import steps_per_epoch

FOR_ORDER, FOR_AUGMENTATION, FOR_NETWORK, FOR_MEMBER = 0, 1, 2, 3
Integers = npt.NDArray[np.int64]
Batch = tuple[Tensor, Tensor]
PIXELS_TOGETHER = 2**17
_Made = TypeVar("_Made")


@dataclass(frozen=True)
class TrainingData:
    """Decoded images and their labels.

    `pixels` uint8 (N, C, H, W), perhaps memory-mapped; `codes` int64 (N, n_targets), -1 missing;
    `train` and `validation` are rows of both.
    """

    task: Task
    pixels: npt.NDArray[np.uint8]
    codes: Integers
    train: Integers
    validation: Integers


def check_data(data: TrainingData, plan: Plan) -> None:
    """Raise `DataError` when there is nothing to train or validate on, `PlanError` for a misfit."""
    if len(data.train) < 2:
        raise DataError("Training needs at least two images", str(len(data.train)))
    if not len(data.validation):
        raise DataError("Training needs validation images to choose the epoch", "none")
    wanted = (plan.channels, plan.image_size, plan.image_size)
    if data.pixels.shape[1:] != wanted:
        found = f"{data.pixels.shape[1:]} instead of {wanted}"
        raise PlanError("The decoded images must have the plan's channels and size", found)


def data_key(plan: Plan, data: TrainingData) -> str:
    """A digest of the plan, the task, the partition and the labels; not of the pixels."""
    digest = hashlib.sha256()
    for part in (plan.model_dump_json(), data.task.model_dump_json(), str(data.pixels.shape)):
        digest.update(part.encode())
    for rows in (data.train, data.validation):
        digest.update(np.ascontiguousarray(rows).tobytes())
        digest.update(np.ascontiguousarray(data.codes[rows]).tobytes())
    return digest.hexdigest()


def draw_batches(rows: Integers, plan: Plan, epoch: int) -> list[Integers]:
    """All rows in the epoch's own order, without replacement, in batches of nearly equal size."""
    entropy = np.random.SeedSequence([plan.seed, epoch, 0, FOR_ORDER])
    order = np.random.default_rng(entropy).permutation(rows)
    return np.array_split(order, steps_per_epoch(len(rows), plan.batch_size))


def seed_for(seed: int, epoch: int, step: int, purpose: int) -> int:
    """A seed of 63 bits that hangs on all four numbers."""
    words = np.random.SeedSequence([seed, epoch, step, purpose]).generate_state(1, np.uint64)
    return int(words[0] >> np.uint64(1))


def generator_for(seed: int, epoch: int, step: int) -> torch.Generator:
    """The source of a step's augmentation; on the CPU, so that it means the same everywhere."""
    return torch.Generator().manual_seed(seed_for(seed, epoch, step, FOR_AUGMENTATION))


def gather(data: TrainingData, rows: Integers, device: torch.device) -> tuple[Tensor, Tensor]:
    """Images float32 in [0, 1] (n, C, H, W) and codes (n, n_targets)."""
    pixels = torch.from_numpy(np.ascontiguousarray(data.pixels[rows]))
    codes = torch.from_numpy(data.codes[rows])
    if device.type == "cuda":  # pinned memory is copied while the GPU computes
        pixels, codes = pixels.pin_memory(), codes.pin_memory()
    pixels = pixels.to(device, non_blocking=True)
    return pixels.float().div_(255.0), codes.to(device, non_blocking=True)


def normalise(images: Tensor, plan: Plan) -> Tensor:
    """(x - mean) / std, one value or one a channel: `preprocessing.normalise` from [0, 1] on."""
    mean = torch.tensor(plan.mean, device=images.device).view(-1, 1, 1)
    std = torch.tensor(plan.std, device=images.device).view(-1, 1, 1)
    layout = torch.channels_last if plan.channels_last else torch.contiguous_format
    return ((images - mean) / std).contiguous(memory_format=layout)


@dataclass(frozen=True)
class BatchMaker:
    """Makes the batches of an epoch: takes their rows, augments them and normalises them.

    Small images are made several batches at a time, since they take less time to change than
    torch takes to be told so.
    """

    data: TrainingData
    plan: Plan
    augment: Augmentation
    device: torch.device

    def epoch(self, epoch: int, first: int, ahead: int) -> Iterator[Batch]:
        """The batches of an epoch from step `first` on; see `made_ahead`.

        Each is images (n, C, H, W), as the network takes them, and codes (n, n_targets).
        """
        batches = draw_batches(self.data.train, self.plan, epoch)
        pixels = self.plan.batch_size * self.plan.channels * self.plan.image_size**2
        together = max(1, PIXELS_TOGETHER // pixels)
        start = first - first % together
        jobs = [
            (batches[step : step + together], epoch, step)
            for step in range(start, len(batches), together)
        ]
        made = made_ahead(self._make, jobs, ahead)
        return islice(chain.from_iterable(made), first - start, None)

    def _make(self, batches: list[Integers], epoch: int, step: int) -> list[Batch]:
        images, codes = gather(self.data, np.concatenate(batches), self.device)
        images = self.augment(images, generator_for(self.plan.seed, epoch, step))
        sizes = [len(rows) for rows in batches]
        images = normalise(images, self.plan)
        return list(zip(torch.split(images, sizes), torch.split(codes, sizes), strict=True))


def made_ahead(
    make: Callable[..., _Made], jobs: Sequence[tuple[Any, ...]], ahead: int
) -> Iterator[_Made]:
    """What `make(*job)` gives for each job in order, made `ahead` jobs before its turn.

    One thread makes them, on one core: several threads, each with all cores, would wait for one
    another. With 0 there is no thread. What `make` raises is raised at its turn; leaving early
    drops what is not begun.
    """
    if not ahead:
        yield from (make(*job) for job in jobs)
        return
    worker = _one_core_worker()
    try:
        waiting = deque(worker.submit(make, *job) for job in jobs[:ahead])
        for number in range(len(jobs)):
            made = waiting.popleft().result()
            if number + ahead < len(jobs):
                waiting.append(worker.submit(make, *jobs[number + ahead]))
            yield made
    finally:
        worker.shutdown(wait=False, cancel_futures=True)


def _one_core_worker() -> ThreadPoolExecutor:
    threads = torch.get_num_threads()
    worker = ThreadPoolExecutor(1, "batches", initializer=torch.set_num_threads, initargs=(1,))
    worker.submit(torch.get_num_threads).result()
    # The number is each thread's own, but torch also hands the last one set to threads to come.
    torch.set_num_threads(threads)
    return worker
