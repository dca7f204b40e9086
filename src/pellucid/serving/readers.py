"""A few threads that read pictures, and what they hold, counted until they let go of it.

A picture that is decoded cannot be stopped, so who no longer waits for it goes, and it stays: its
bytes count as held until its thread is done, and the server is full while that is so. What has not
begun by then is dropped unread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, NamedTuple, TypeVar

_T = TypeVar("_T")


class _Asked(NamedTuple):
    work: Callable[[], Any]
    size: int
    found: Future[Any]


class Readers:
    """Threads; `images` and `bytes` wait in their queue or are read."""

    def __init__(self, n: int, stuck_after: float) -> None:
        """A reader that takes more than `stuck_after` seconds over one picture is stuck."""
        self._queue: SimpleQueue[_Asked | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._stuck_after = stuck_after
        self._begun: dict[int, float] = {}
        self.images, self.bytes = 0, 0
        self._n = n
        for number in range(n):
            # daemons: a picture that takes hours must not keep a process from ending
            threading.Thread(
                target=self._read, args=(number,), name=f"decode-{number}", daemon=True
            ).start()

    def submit(self, size: int, work: Callable[[], _T]) -> Future[_T]:
        """Do work that holds `size` bytes, in time."""
        asked = _Asked(work, size, Future())
        self._count(1, size)
        self._queue.put(asked)
        return asked.found

    @property
    def are_stuck(self) -> bool:
        """Whether all of them have been over one picture for too long."""
        with self._lock:
            begun = list(self._begun.values())
        return len(begun) == self._n and time.monotonic() - max(begun) > self._stuck_after

    def close(self) -> None:
        """Let them end when they are done; nobody waits for that."""
        for _ in range(self._n):
            self._queue.put(None)

    def _count(self, images: int, size: int) -> None:
        with self._lock:
            self.images += images
            self.bytes += size

    def _read(self, number: int) -> None:
        while (asked := self._queue.get()) is not None:
            size = asked.size
            if asked.found.set_running_or_notify_cancel():
                with self._lock:
                    self._begun[number] = time.monotonic()
                try:
                    asked.found.set_result(asked.work())
                except BaseException as error:  # noqa: BLE001 - whoever waits is told
                    asked.found.set_exception(error)
                with self._lock:
                    del self._begun[number]
            del asked  # with the bytes that it holds
            self._count(-1, -size)
