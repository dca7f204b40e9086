"""How often intervals of Brier score and log-loss hold the truth, with many sets of each setting.

    python benchmarks/coverage_losses.py --json benchmarks/results/coverage_losses.json

`coverage.py` can afford few sets of these, since it computes every metric of each. A loss is a mean
over images, so that leaving a patient out is one subtraction: the same intervals as the product's,
by the same function, thousands of times.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path
from typing import Any

import numpy as np

from coverage import Cell, called, sample, truths
from machine import publish
from pellucid.evaluation.uncertainty.intervals import jackknife_interval
from pellucid.evaluation.uncertainty.proportions import kish_size
from pellucid.evaluation.uncertainty.statistic import ALL, Statistic

SETS = 1000
METRICS = ("brier", "log_loss")


def losses(judged: Any) -> dict[str, Any]:
    """The loss of each image (n,), by metric."""
    positive = judged.probabilities[:, 1]
    of_truth = np.where(judged.codes == 1, positive, 1 - positive)
    return {"brier": (positive - judged.codes) ** 2, "log_loss": -np.log(of_truth)}


def check_same_value(judged: Any) -> None:
    """Raise where these losses are not the product's metrics."""
    found = Statistic(judged, called(judged))(np.ones((1, judged.patients.n)))
    for name, loss in losses(judged).items():
        np.testing.assert_allclose(loss.mean(), found[ALL, name][0])


def count_held(cell: Cell, n_sets: int) -> dict[str, int]:
    """How many of the intervals hold the truth, by metric."""
    generator = np.random.default_rng([5, cell.n, cell.images, cell.mixed, int(100 * cell.auroc)])
    truth, held = truths(cell.prevalence, cell.auroc), dict.fromkeys(METRICS, 0)
    for number in range(n_sets):
        judged = sample(cell, generator)
        if number == 0:
            check_same_value(judged)
        sizes = np.bincount(judged.patients.of_image)
        for name, loss in losses(judged).items():
            sums = np.bincount(judged.patients.of_image, loss)
            left_out = (sums.sum() - sums) / (sizes.sum() - sizes)
            value, degrees = sums.sum() / sizes.sum(), kish_size(sizes) - 1
            low, high = jackknife_interval(value, left_out, "log", degrees)
            held[name] += int(low <= truth[ALL, name] <= high)
    return held


def main() -> None:
    """Simulate, print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--sets", type=int, default=SETS, help="sets of each setting")
    arguments = parser.parse_args()
    rows = []
    for n, prevalence, images in itertools.product((200, 1000, 5000), (0.1, 0.5), (1, 3, 10)):
        designs = ((images, False), (images, True)) if images > 1 else ((1, False),)
        settings = [
            Cell(n, prevalence, of_patient, mixed, auroc)
            for (of_patient, mixed), auroc in itertools.product(designs, (0.75, 0.9))
        ]
        held = [count_held(cell, arguments.sets) for cell in settings]
        n_sets = arguments.sets * len(settings)
        shares = {name: round(100 * sum(h[name] for h in held) / n_sets, 1) for name in METRICS}
        row = {"n": n, "prevalence": prevalence, "images": images, "sets": n_sets}
        rows.append({**row, **shares, "error": round(100 * (0.95 * 0.05 / n_sets) ** 0.5, 1)})
    publish(rows, "python benchmarks/coverage_losses.py", arguments.json)


if __name__ == "__main__":
    main()
