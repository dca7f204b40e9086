"""How fast a peer trains: images a second from the end of the warm-up to the end of the time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

WARM_UP = 6  # steps: workers have then used up what they made while the network was built
FEWEST = 8  # steps that are measured, however long they take
BATCH = 32


class Enough(Exception):
    """The time is over; raised out of a peer's own loop."""


class Pace:
    """Count the steps of a training; `step()` after each raises `Enough` when it has done enough.

    That is after `case["steps"]` where a case gives them, and else when the time is over.
    """

    def __init__(self, case: dict[str, Any]) -> None:
        self.seconds, self.steps = case["seconds"], case.get("steps")
        self.moments: list[float] = []

    def step(self) -> None:
        """A step on a whole batch is done."""
        self.moments.append(time.perf_counter())
        done = len(self.moments)
        if self.steps is not None:
            enough = done == self.steps
        else:
            enough = done >= WARM_UP + FEWEST and self._measured() >= self.seconds
        if enough:
            raise Enough("the time is over")  # fastai wants a word in it

    def _measured(self) -> float:
        return self.moments[-1] - self.moments[WARM_UP - 1]

    @property
    def images_per_second(self) -> float:
        """Over all steps after the warm-up, waiting for images included."""
        return BATCH * (len(self.moments) - WARM_UP) / self._measured()


def train_until_enough(train: Callable[[Pace], None], case: dict[str, Any]) -> float:
    """Run a training until it has done enough; images a second."""
    pace = Pace(case)
    try:
        train(pace)
    except Enough:
        return pace.images_per_second
    raise RuntimeError("the training ended before its time was over")
