"""How fast a peer trains: images a second between the end of the warm-up and the end of the time.

Also the other end of the contest's pipe, for processes that have no Pellucid.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

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


def answer_cases(function: Callable[[dict[str, Any]], float]) -> None:
    """Answer every case on standard input with a line on standard output."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not be taken for an answer
    print("null", file=answers, flush=True)  # all is imported
    for line in sys.stdin:
        answers.write(json.dumps(function(json.loads(line))) + "\n")
        answers.flush()


def train_until_enough(train: Callable[[Pace], None], seconds: float) -> float:
    """Run a training until the time is over; images a second."""
    pace = Pace(seconds)
    try:
        train(pace)
    except Enough:
        return pace.images_per_second
    raise RuntimeError("the training ended before its time was over")
