"""Training holds a few batches, however large the memory-mapped set is."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pellucid.data import mapped_rows
from pellucid.data.mapped_rows import map_rows, memory_bytes
from pellucid.network.classifier import Block, NetworkSpec, build_classifier
from pellucid.task import Target, Task
from pellucid.training import loop
from pellucid.training.plan import Plan

STATM = Path("/proc/self/statm")
N, SIDE = 9600, 256  # 600 MiB of pixels, a hole in the file
TASK = Task(targets=(Target(name="label", classes=("no", "yes")),))


def private_bytes() -> int:
    """What this process holds that is no page of a file."""
    _, resident, shared = map(int, STATM.read_text().split()[:3])
    return (resident - shared) * os.sysconf("SC_PAGE_SIZE")


def highest(work: Callable[[], object]) -> int:
    """The most private memory held while it runs, above what was held before."""
    before, found, ended = private_bytes(), [0], threading.Event()

    def look() -> None:
        while not ended.wait(0.002):
            found.append(private_bytes() - before)

    watch = threading.Thread(target=look)
    watch.start()
    try:
        work()
    finally:
        ended.set()
        watch.join()
    return max(found)


def train(path: Path, rows: int, run: Path) -> None:
    """An epoch on half of some rows, drawn from everywhere, and judged on the other half."""
    blocks = (Block(channels=2, kernel=1, stride=16),)
    spec = NetworkSpec(name="plain", channels=1, image_size=SIDE, blocks=blocks)
    order = np.random.default_rng(0).permutation(N)[:rows]
    data = loop.TrainingData(
        task=TASK,
        pixels=map_rows(path),
        codes=(np.arange(N) % 2)[:, None],
        train=order[: rows // 2],
        validation=order[rows // 2 :],
    )
    plan = Plan(epochs=1, batch_size=16, image_size=SIDE, augmentation="none")
    classifier = build_classifier(spec, TASK, seed=0)
    loop.train(classifier, plan, data, run, score=lambda codes, logits: 0.5)


@pytest.mark.skipif(not STATM.is_file(), reason="only Linux says what a process holds")
def test_an_epoch_holds_less_than_the_set_it_reads(tmp_path: Path) -> None:
    pixels = np.lib.format.open_memmap(
        tmp_path / "pixels.npy", mode="w+", dtype=np.uint8, shape=(N, 1, SIDE, SIDE)
    )
    train(tmp_path / "pixels.npy", 64, tmp_path / "first")  # what torch takes once
    held = highest(lambda: train(tmp_path / "pixels.npy", 640, tmp_path / "second"))
    assert held < pixels.nbytes / 3
    copied = highest(lambda: np.array(pixels[: N // 2]).sum())
    assert copied > pixels.nbytes / 3, "the watch would not have seen a copy"


KEYS = {
    "one": 3,
    "the last": -1,
    "drawn": np.array([5, 0, 5, -2]),
    "listed": [1, 6],
    "told": np.arange(7) % 3 == 0,
    "none": np.array([], dtype=int),
    "a stretch": slice(2, 5),
    "backwards": slice(None, None, -2),
    "pixels": (slice(None), 0, 3),
}


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_rows_beyond_the_memory_are_the_same_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: object
) -> None:
    values = np.random.default_rng(0).integers(0, 256, (7, 1, 40, 40), dtype=np.uint8)
    np.save(tmp_path / "pixels.npy", values)
    usual = map_rows(tmp_path / "pixels.npy")
    monkeypatch.setattr(mapped_rows, "memory_bytes", lambda: 2 * values.nbytes - 1)
    beyond = map_rows(tmp_path / "pixels.npy")
    assert type(usual) is np.memmap
    assert type(beyond) is not np.memmap
    np.testing.assert_array_equal(beyond[key], values[key])  # type: ignore[index]
    np.testing.assert_array_equal(usual[key], values[key])  # type: ignore[index]
    assert not beyond.flags.writeable


def test_a_row_that_is_not_there_is_an_error_beyond_the_memory_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(tmp_path / "pixels.npy", np.zeros((7, 1, 8, 8), np.uint8))
    monkeypatch.setattr(mapped_rows, "memory_bytes", lambda: 0)
    with pytest.raises(IndexError):
        map_rows(tmp_path / "pixels.npy")[np.array([2, 7])]


def test_much_is_not_announced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "pixels.npy", np.zeros((7, 1, 8, 8), np.uint8))
    monkeypatch.setattr(mapped_rows, "memory_bytes", lambda: 0)
    monkeypatch.setattr(mapped_rows, "_ANNOUNCED_BYTES", 3 * 64)
    monkeypatch.setattr(mapped_rows.mmap, "MADV_WILLNEED", -1)  # which the system refuses
    rows = map_rows(tmp_path / "pixels.npy")
    assert rows[:4].shape == (4, 1, 8, 8)
    with pytest.raises(OSError, match="Invalid argument"):
        rows[:3]


def test_a_ulimit_is_less_memory() -> None:
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_DATA)
    try:
        resource.setrlimit(resource.RLIMIT_DATA, (64 * 2**30, before[1]))
        assert 0 < memory_bytes() <= 64 * 2**30
        resource.setrlimit(resource.RLIMIT_DATA, (2**30 * 63, before[1]))
        assert memory_bytes() <= 63 * 2**30
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)
