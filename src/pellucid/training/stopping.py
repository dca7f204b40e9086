"""When training ends: early stopping with patience, and a ctrl-C that loses nothing.

Early stopping is computed from the history alone, so that a resumed run stops where an
uninterrupted one does. Source: lecture, "early stopping". No torch here.
"""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Sequence
from types import FrameType, TracebackType
from typing import Any, Protocol


class Judged(Protocol):
    """An epoch as validation judged it."""

    @property
    def validation_metric(self) -> float:
        """Better when high; NaN where it is undefined."""

    @property
    def validation_loss(self) -> float:
        """Better when low."""


def best_epoch(rows: Sequence[Judged]) -> int:
    """Position of the epoch with the highest metric; ties go to the lower validation loss.

    An undefined metric (one class absent) counts as the lowest, so that then the loss decides.
    Of equal epochs the first is taken. Raises `ValueError` when there is no epoch.
    """
    return max(range(len(rows)), key=lambda epoch: _merit(rows[epoch]))


def is_exhausted(rows: Sequence[Judged], patience: int) -> bool:
    """Whether the last `patience` epochs were all no better than the best one before them."""
    return bool(rows) and len(rows) - 1 - best_epoch(rows) >= patience


def _merit(row: Judged) -> tuple[float, float]:
    metric, loss = row.validation_metric, row.validation_loss
    return (
        -math.inf if math.isnan(metric) else metric,
        -math.inf if math.isnan(loss) else -loss,
    )


class Interruption:
    """Notes ctrl-C (and SIGTERM, which clusters send before they kill) instead of breaking a step.

    A context: inside, the first signal sets `asked`, the second raises `KeyboardInterrupt` at once.
    Outside the main thread, where Python allows no handlers, it only stays False.
    """

    _SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.asked = False
        self._former: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            self._former = {number: signal.signal(number, self._note) for number in self._SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
