"""How long the command line takes to answer, beside the bare limit of starting Python.

python benchmarks/start.py --json benchmarks/results/start.json
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from machine import parse_arguments, publish

CONTESTANTS = {
    "python -c pass": ["-c", "pass"],
    "pellucid --help": ["-m", "pellucid", "--help"],
    "import pellucid": ["-c", "import pellucid"],
    "import pandas": ["-c", "import pandas"],
    "import torch": ["-c", "import torch"],
}


def seconds(arguments: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> None:
    options = parse_arguments(__doc__ or "")
    times: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    for repeat in range(options.repeats + 1):
        for name, arguments in CONTESTANTS.items():
            value = seconds(arguments)
            if repeat:  # the first round warms the disk cache
                times[name].append(value)
    bare = statistics.median(times["python -c pass"])
    rows = [
        {
            "what": name,
            "median_s": round(statistics.median(values), 3),
            "min_s": round(min(values), 3),
            "ratio_to_python": round(statistics.median(values) / bare, 1),
        }
        for name, values in times.items()
    ]
    publish(rows, "python benchmarks/start.py", options.json)


if __name__ == "__main__":
    main()
