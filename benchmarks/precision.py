"""Whether the fast arithmetic learns as well: test AUROC after equal epochs, with its interval.

    python benchmarks/precision.py --json benchmarks/results/precision.json

Trains a ResNet-18 on OCT phantoms of 64 px with equal seeds, batches, epochs and test patients:
once with float32 and torch's convolutions, once with bfloat16 (where the processor has it) and
matrix products for small maps. Seconds are those of training with validation.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

from contest import parse_options
from machine import publish
from pellucid import pipeline
from pellucid.data.index import read_dataset
from pellucid.network import matrix_convolution
from pellucid.progress import Progress

WAYS = {
    "float32, torch's convolutions": ("float32", 0),
    "bfloat16, matrix products": ("auto", matrix_convolution.LARGEST),
}
UNASKED = {"baseline": False, "robustness": False, "explain": False}


def train(dataset: Any, out: Path, way: str, seed: int, epochs: int) -> dict[str, Any]:
    precision, matrix_convolution.LARGEST = WAYS[way]
    settings = {"network": "resnet18", "epochs": epochs, "precision": precision}
    run = pipeline.train(
        dataset, out, settings=settings, seed=seed, progress=Progress(quiet=True), **UNASKED
    )
    block = next(b for b in run.evaluation["blocks"] if b["split"] == "test")
    auroc = block["metrics"]["auroc"]
    history = (out / "history.csv").read_text().splitlines()
    elapsed = history[0].split(",").index("elapsed")
    return {
        "way": way,
        "seed": seed,
        "auroc": round(auroc["value"], 4),
        "low": round(auroc["low"], 4),
        "high": round(auroc["high"], 4),
        "training_s": round(float(history[-1].split(",")[elapsed]), 1),
    }


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--epochs", type=int, default=12)


def main() -> None:
    options = parse_options(__doc__ or "", rounds=3, add=add_options)
    rows = []
    dataset = read_dataset("phantom:oct")
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(options.rounds):
            for number, way in enumerate(WAYS):
                out = Path(folder) / f"{seed}-{number}"
                rows.append(train(dataset, out, way, seed, options.epochs))
                print(rows[-1], flush=True)
    for way in WAYS:
        values = [row["auroc"] for row in rows if row["way"] == way]
        seconds = [row["training_s"] for row in rows if row["way"] == way]
        print(f"{way}: median AUROC {statistics.median(values)}, {statistics.median(seconds)} s")
    publish(rows, f"python benchmarks/precision.py --epochs {options.epochs}", options.json)


if __name__ == "__main__":
    main()
