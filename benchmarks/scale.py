"""A million rows: reading the index, splitting by patient and the audit of the table.

Each size runs in a process of its own, whose peak memory is told. The rows name one file
each (empty, and never opened); patients have ten rows on average, as slices do.

    python benchmarks/scale.py --json FILE
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from machine import publish

SIZES = (10_000, 100_000, 1_000_000)


def write_manifest(path: Path, n: int) -> None:
    """A manifest of n rows with facts as a hospital gives them; the files stand beside it."""
    random = np.random.default_rng(0)
    patients = random.integers(0, n // 10, n)
    ill = random.random(n // 10) < 0.2
    sexes, sites = np.array(["F", "M"]), np.array(["north", "south", "east", "west"])
    with path.open("w") as file:
        file.write("image,patient_id,finding,sex,age,site,view,studyinstanceuid\n")
        for row, patient in enumerate(patients.tolist()):
            image = path.parent / f"{row // 1000:04d}" / f"{row:07d}.png"
            if row % 1000 == 0:
                image.parent.mkdir()
            image.touch()
            file.write(
                f"{row // 1000:04d}/{row:07d}.png,P{patient:07d},"
                f"{'ill' if ill[patient] else 'well'},{sexes[patient % 2]},{20 + patient % 70},"
                f"{sites[patient % 4]},{'PA' if row % 3 else 'AP'},1.2.840.{patient}.{row % 3}\n"
            )


def measure(n: int, folder: Path) -> dict[str, Any]:
    """Time and peak memory of each stage, in this process."""
    manifest = folder / "rows.csv"
    write_manifest(manifest, n)
    from pellucid.auditing.audit import audit_dataset
    from pellucid.data.index import read_dataset
    from pellucid.data.split import assign_splits, split_digest

    def peak() -> float:
        return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)

    row: dict[str, Any] = {"rows": n, "start_GiB": peak()}
    clock = time.perf_counter()

    def lap(name: str) -> None:
        nonlocal clock
        row[f"{name}_s"] = round(time.perf_counter() - clock, 2)
        row[f"{name}_GiB"] = peak()
        clock = time.perf_counter()

    dataset = read_dataset(manifest)
    lap("index")
    dataset, _ = assign_splits(dataset, seed=0, stratify_by=("site",))
    lap("split")
    split_digest(dataset.table)
    lap("digest")
    audit = audit_dataset(dataset)
    lap("audit")
    row["findings"] = len(audit.findings)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(measure(options.one, Path(folder))))
        return
    rows = []
    for n in options.sizes:
        words = [sys.executable, __file__, "--one", str(n)]
        done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
    publish(rows, "scale.py", options.json)


if __name__ == "__main__":
    main()
