"""Images that wait are computed together: nobody waits for company, and company costs little.

One thread computes. Whatever came while it did is its next batch, so that a single client has the
latency of one image and many have the throughput of a batch.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


class _Waiting(NamedTuple):
    pixels: Pixels
    logits: Future[Floats]


class Batcher:
    """A queue of preprocessed images before one function from (n, C, S, S) to logits (n, L)."""

    def __init__(
        self,
        compute: Callable[[Pixels], Floats],
        batch_size: int,
        told: Callable[[int], None] = lambda n: None,
    ) -> None:
        """`told` is called with the size of every batch."""
        self._compute, self._batch_size, self._told = compute, batch_size, told
        self._queue: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="compute", daemon=True)
        self._thread.start()

    def submit(self, pixels: Pixels) -> Future[Floats]:
        """The logits (L,) of one image (C, S, S), in time."""
        waiting = _Waiting(pixels, Future())
        self._queue.put(waiting)
        return waiting.logits

    def close(self) -> None:
        """Compute what waits, and end."""
        self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (first := self._queue.get()) is not None:
            batch, ends = [first], False
            with suppress(Empty):
                while len(batch) < self._batch_size:
                    following = self._queue.get_nowait()
                    if following is None:
                        ends = True
                        break
                    batch.append(following)
            self._answer([one for one in batch if one.logits.set_running_or_notify_cancel()])
            if ends:
                return

    def _answer(self, batch: list[_Waiting]) -> None:
        if not batch:
            return
        try:
            self._told(len(batch))
            logits = self._compute(np.stack([one.pixels for one in batch]))
            rows = list(zip(batch, logits, strict=True))
        except BaseException as error:  # noqa: BLE001 - whoever waits is told, and the thread lives
            for one in batch:
                one.logits.set_exception(error)
            return
        for one, row in rows:
            one.logits.set_result(row)
