"""Train in children that are killed at random moments; run by `test_pipeline`, in its own process.

    python kill_and_resume.py IMAGES OUT KILLS SEED

The parent imports everything once and computes nothing, so that forking is cheap and safe. Prints
how many children were killed before they had finished.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

import pellucid.preparation
import pellucid.reporting.html  # noqa: F401  once, for all children
from pellucid import pipeline
from pellucid.data.index import read_dataset
from pellucid.progress import Progress
from pellucid.training import loop
from pictures import PATTERN, QUICK


def train(images: Path, out: Path) -> None:
    """One session of the run, saving at every step so that kills fall between and inside saves."""
    loop.SAVE_EVERY_S, loop.SAVING_SHARE = 0.0, float("inf")
    dataset = read_dataset(images, patient_pattern=PATTERN)
    quiet = Progress(quiet=True)
    settings = {**QUICK, "epochs": 16}
    pipeline.train(dataset, out, settings=settings, resume=True, explain=False, progress=quiet)


def session(images: Path, out: Path, epochs: int | None, delay: float = 0.0) -> bool:
    """Start a child, kill it `delay` seconds after `epochs` more epochs; whether it was killed.

    Epochs are waited for, not seconds: on a machine whose speed changes a clock would kill some
    children before they begin and others never.
    """
    wanted = epochs_done(out) + (epochs or 0)
    child = os.fork()
    if child == 0:
        try:
            train(images, out)
        except BaseException:  # noqa: BLE001  a child must never return into the parent's code
            import traceback

            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    ended = status = 0
    while epochs is not None and not ended and epochs_done(out) < wanted:
        time.sleep(0.005)
        ended, status = os.waitpid(child, os.WNOHANG)
    if not ended:
        if epochs is not None:
            time.sleep(delay)
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        sys.exit(f"a session failed with exit code {os.WEXITSTATUS(status)}")
    return os.WIFSIGNALED(status)


def epochs_done(out: Path) -> int:
    """The epochs that stand in the run's history."""
    history = out / "history.csv"
    return max(0, len(history.read_text().splitlines()) - 1) if history.exists() else 0


def main() -> None:
    images, out, kills, seed = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    session(images, out / "whole", None)
    moments = random.Random(seed)
    killed = sum(
        session(images, out / "killed", moments.randint(0, 2), moments.uniform(0.0, 0.1))
        for _ in range(kills)
    )
    session(images, out / "killed", None)
    print(killed)


if __name__ == "__main__":
    main()
