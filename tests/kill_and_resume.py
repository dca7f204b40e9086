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

from pellucid import pipeline
from pellucid.data.index import read_dataset
from pellucid.progress import Progress
from pellucid.training import loop
from pictures import PATTERN, QUICK


def train(images: Path, out: Path) -> None:
    """One session of the run, saving at every step so that kills fall between and inside saves."""
    loop.SAVE_EVERY_S = 0.0
    dataset = read_dataset(images, patient_pattern=PATTERN)
    quiet = Progress(quiet=True)
    pipeline.train(dataset, out, settings={**QUICK, "epochs": 25}, resume=True, progress=quiet)


def session(images: Path, out: Path, seconds: float | None) -> bool:
    """Start a child, kill it after `seconds`; whether it was killed before it had finished."""
    child = os.fork()
    if child == 0:
        try:
            train(images, out)
        except BaseException:  # noqa: BLE001  a child must never return into the parent's code
            import traceback

            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        sys.exit(f"a session failed with exit code {os.WEXITSTATUS(status)}")
    return os.WIFSIGNALED(status)


def main() -> None:
    images, out, kills, seed = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    started = time.monotonic()
    session(images, out / "whole", None)
    whole = time.monotonic() - started
    moments = random.Random(seed)
    killed = sum(
        session(images, out / "killed", moments.uniform(0.05, 0.9) * whole) for _ in range(kills)
    )
    session(images, out / "killed", None)
    print(killed)


if __name__ == "__main__":
    main()
