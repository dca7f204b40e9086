"""Judging beside scikit-learn: 2,000 patient-level resamples of all metrics, and a whole document.

    python benchmarks/judging.py --json benchmarks/results/judging.json

The loop calls scikit-learn's functions on the rows of each resample. It is timed on few resamples
and scaled to 2,000. Ours computes 34 figures on the same resamples, the loop's thirteen among them
(the other class's, likelihood ratios, calibration errors, sensitivity at a specificity).
Both intervals are then compared at 1,000 images with all 2,000 resamples, each from its own draws.
The second table is the whole of `pellucid evaluate` without a file, whose intervals are closed
forms and jackknifes where these hold, in a process of its own with its peak memory.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from argparse import SUPPRESS, ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn import metrics as sk

from contest import Case, Contest, parse_options
from pellucid.evaluation.block import predicted_classes
from pellucid.evaluation.document import evaluate_predictions, judged_targets
from pellucid.evaluation.judged import Judged
from pellucid.evaluation.predictions import check_predictions
from pellucid.evaluation.uncertainty.intervals import draw_weights, resample
from pellucid.evaluation.uncertainty.statistic import ALL, Statistic

RESAMPLES = 2000
SIZES = {1_000: 40, 10_000: 20, 100_000: 5}  # images, and resamples that the loop is timed on
OURS, LOOP, DOCUMENT = "pellucid", "scikit-learn loop", "evaluate"

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

THEIRS: dict[str, Callable[[Ints, Ints, Floats], float]] = {
    "auroc": lambda y, called, p: sk.roc_auc_score(y, p),
    "auprc": lambda y, called, p: sk.average_precision_score(y, p),
    "sensitivity": lambda y, called, p: sk.recall_score(y, called),
    "specificity": lambda y, called, p: sk.recall_score(y, called, pos_label=0),
    "ppv": lambda y, called, p: sk.precision_score(y, called),
    "npv": lambda y, called, p: sk.precision_score(y, called, pos_label=0),
    "f1": lambda y, called, p: sk.f1_score(y, called),
    "accuracy": lambda y, called, p: sk.accuracy_score(y, called),
    "balanced_accuracy": lambda y, called, p: sk.balanced_accuracy_score(y, called),
    "matthews": lambda y, called, p: sk.matthews_corrcoef(y, called),
    "kappa": lambda y, called, p: sk.cohen_kappa_score(y, called),
    "brier": lambda y, called, p: sk.brier_score_loss(y, p),
    "log_loss": lambda y, called, p: sk.log_loss(y, p),
}
OF_ALL = ("accuracy", "balanced_accuracy", "matthews", "kappa", "brier", "log_loss")


def make_predictions(n: int) -> pd.DataFrame:
    """Two classes; patients have two images on average, which are alike."""
    random = np.random.default_rng(n)
    patients = random.integers(0, n // 2, n)
    codes = (random.random(n // 2) < 0.3)[patients].astype(int)
    logit = 2 * codes - 1.4 + random.normal(size=n) + random.normal(size=n // 2)[patients]
    share = 1 / (1 + np.exp(-logit))
    return pd.DataFrame(
        {
            "image_id": [f"i{number}" for number in range(n)],
            "patient_id": [f"p{number}" for number in patients],
            "y_true": np.where(codes == 1, "yes", "no"),
            "probability_no": 1 - share,
            "probability_yes": share,
        }
    )


def judged_of(n: int) -> Judged:
    return judged_targets(check_predictions(make_predictions(n)))["label"][0]


def ours(judged: Judged, n_resamples: int, seed: int) -> dict[str, Floats]:
    """The thirteen metrics of every resample, by the engine that computes all of them."""
    statistic = Statistic(judged, 2 * judged.codes + predicted_classes(judged))
    drawn = resample(statistic, judged.patients, n_resamples, seed, stratified=False)
    positive = judged.target.classes[1]
    return {name: drawn[ALL if name in OF_ALL else positive, name] for name in THEIRS}


def theirs(judged: Judged, n_resamples: int, seed: int) -> dict[str, Floats]:
    """The same of the first so many resamples, one call of scikit-learn a metric and resample."""
    y, called, p = judged.codes, predicted_classes(judged), judged.probabilities[:, 1]
    values: dict[str, list[float]] = {name: [] for name in THEIRS}
    for weights in draw_weights(judged.patients, n_resamples, seed, stratified=False):
        for row in weights[:, judged.patients.of_image].astype(np.int64):
            rows = np.repeat(np.arange(judged.n), row)
            for name, metric in THEIRS.items():
                values[name].append(metric(y[rows], called[rows], p[rows]))
    return {name: np.array(column) for name, column in values.items()}


def seconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def simulation_errors(values: Floats) -> Floats:
    """How far the ends of the interval of these resamples (n,) vary by chance alone (2,)."""
    random = np.random.default_rng(0)
    again = values[random.integers(0, len(values), (500, len(values)))]
    return np.quantile(again, [0.025, 0.975], axis=1).std(axis=1)


def compare_intervals(judged: Judged, n_resamples: int) -> dict[str, Any]:
    """Both intervals of every metric, and the largest difference in units of its own error."""
    mine, loop = ours(judged, n_resamples, 1), theirs(judged, n_resamples, 2)
    same = theirs(judged, 20, 1)
    rows = {}
    for name in THEIRS:
        ends = [np.quantile(drawn[name], [0.025, 0.975]) for drawn in (mine, loop)]
        errors = np.hypot(simulation_errors(mine[name]), simulation_errors(loop[name]))
        rows[name] = {
            "ours": ends[0].round(5).tolist(),
            "loop": ends[1].round(5).tolist(),
            "errors_apart": (np.abs(ends[0] - ends[1]) / errors).round(2).tolist(),
            "same_resamples_differ_by": float(np.abs(mine[name][:20] - same[name]).max()),
        }
    return {
        "n_images": judged.n,
        "n_resamples": n_resamples,
        "most_errors_apart": max(max(row["errors_apart"]) for row in rows.values()),
        "ends_compared": 2 * len(rows),
        "most_on_same_resamples": max(row["same_resamples_differ_by"] for row in rows.values()),
        "metrics": rows,
    }


def judge_once(n: int) -> dict[str, float]:
    """Seconds and peak memory (GiB) of a whole document of n images, in this process."""
    table = make_predictions(n)
    spent = seconds(lambda: evaluate_predictions(table))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"seconds": spent, "peak_GiB": round(peak, 3)}


def whole_document(n: int, peaks: dict[str, float]) -> float:
    """Seconds of a whole document in a process of its own; its peak memory goes to `peaks`."""
    words = [sys.executable, __file__, "--one", str(n)]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    peaks[str(n)] = max(found["peak_GiB"], peaks.get(str(n), 0.0))
    return found["seconds"]


def add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--document", action="store_true", help="the second table alone")
    parser.add_argument("--one", type=int, help=SUPPRESS)


def main() -> None:
    options = parse_options(__doc__ or "", rounds=3, add=add_options)
    if options.one:
        print(json.dumps(judge_once(options.one)))
        return
    cases: list[Case] = [{"case": f"{n:,} images", "n": n} for n in SIZES]
    if not options.document:
        hold_resampling(cases, options)
    peaks: dict[str, float] = {}
    whole = Contest("A whole evaluation document", unit="s", better="low", ours=DOCUMENT)
    whole.enter(DOCUMENT, lambda case: whole_document(case["n"], peaks))
    whole.hold(cases, options.rounds)
    print("peak memory, GiB:", peaks)
    whole.publish("python benchmarks/judging.py --document", beside(options), peak_GiB=peaks)


def hold_resampling(cases: list[Case], options: Namespace) -> None:
    """The first table: our resamples beside the loop, and both intervals compared."""
    judged = {n: judged_of(n) for n in SIZES}

    def loop(case: Case) -> float:
        timed = SIZES[case["n"]]
        return seconds(lambda: theirs(judged[case["n"]], timed, 0)) * RESAMPLES / timed

    contest = Contest("2,000 patient-level resamples", unit="s", better="low", ours=OURS)
    contest.enter(OURS, lambda case: seconds(lambda: ours(judged[case["n"]], RESAMPLES, 0)))
    contest.enter(LOOP, loop)
    contest.hold(cases, options.rounds)
    intervals = compare_intervals(judged[1_000], RESAMPLES)
    print("intervals:", {key: value for key, value in intervals.items() if key != "metrics"})
    contest.publish(
        "python benchmarks/judging.py",
        options,
        loop_timed_on={f"{n:,} images": timed for n, timed in SIZES.items()},
        intervals=intervals,
    )


def beside(options: Namespace) -> Namespace:
    """The options of the second table, whose file stands beside the first."""
    path: Path | None = options.json
    document = path and path.with_name(f"{path.stem}_document.json")
    return Namespace(json=document, plots=options.plots)


if __name__ == "__main__":
    main()
