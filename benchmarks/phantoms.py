"""How many phantoms a second one core draws, for each case and two sizes.

Seconds are of processor time, so that other work on the machine does not count; the best of the
repeats is given. Files are not written.

python benchmarks/phantoms.py --json benchmarks/results/phantoms.json
"""

from __future__ import annotations

import os
import time

from machine import parse_arguments, publish
from pellucid.data.phantoms import CASES, draw_phantoms

N_PATIENTS = 40


def rate(case: str, image_size: int, seed: int) -> float:
    started = time.process_time()
    n_images = sum(
        1 for _ in draw_phantoms(case, n_patients=N_PATIENTS, image_size=image_size, seed=seed)
    )
    return n_images / (time.process_time() - started)


def main() -> None:
    options = parse_arguments(__doc__ or "")
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    rows = []
    for case in CASES:
        for image_size in (64, 128):
            rates = [rate(case, image_size, seed) for seed in range(options.repeats)]
            rows.append(
                {"case": case, "image_size": image_size, "best_images_per_s": round(max(rates))}
            )
    publish(rows, "python benchmarks/phantoms.py", options.json)


if __name__ == "__main__":
    main()
