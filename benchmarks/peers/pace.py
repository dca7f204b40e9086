"""How fast a peer trains: images a second from the end of the warm-up to the end of the time."""

from __future__ import annotations

import time
from collections.abc import Callable

WARM_UP = 3  # steps
BATCH = 32


class Enough(Exception):
    """The time is over; raised out of a peer's own loop."""


class Pace:
    """Count the steps of a training; `step()` after each raises `Enough` when the time is over."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.moments = seconds, []

    def step(self) -> None:
        """A step on a whole batch is done."""
        self.moments.append(time.perf_counter())
        if self._measured() >= self.seconds and len(self.moments) > WARM_UP + 1:
            raise Enough("the time is over")  # fastai wants a word in it

    def _measured(self) -> float:
        return self.moments[-1] - self.moments[min(WARM_UP, len(self.moments)) - 1]

    @property
    def images_per_second(self) -> float:
        """Over all steps after the warm-up, waiting for images included."""
        return BATCH * (len(self.moments) - WARM_UP) / self._measured()


def train_until_enough(train: Callable[[Pace], None], seconds: float) -> float:
    """Run a training until the time is over; images a second."""
    pace = Pace(seconds)
    try:
        train(pace)
    except Enough:
        return pace.images_per_second
    raise RuntimeError("the training ended before its time was over")
