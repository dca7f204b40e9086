"""Contestants that take turns at the same cases: medians, ratios, a table, JSON and a plot.

    contest = Contest("Start", unit="s", better="low", ours="pellucid --help")
    contest.enter("python -c pass", lambda case: seconds_of(...))
    contest.hold([{"case": "help"}], rounds=5)
    contest.publish("python benchmarks/start.py", options)

In every round each contestant measures each case once, in an order that turns from round to round,
so that a noisy minute falls on all. A ratio is taken within a round, ours against theirs, and is
above 1 where ours is better; the median over the rounds is shown with the lowest and the highest.
A contestant of another environment is a `Worker`: a process that stays, so that its imports are
paid once. Knows nothing of what is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from machine import describe_machine

Case = dict[str, Any]
Measure = Callable[[Case], float | None]  # None: this contestant does not take part in the case


class Contest:
    """One kind of measurement; `cases` are dictionaries whose "case" is their label."""

    def __init__(self, title: str, *, unit: str, better: Literal["high", "low"], ours: str) -> None:
        self.title, self.unit, self.better, self.ours = title, unit, better, ours
        self._measures: dict[str, Measure] = {}
        self.values: dict[tuple[str, str], list[float]] = {}
        self._cases: list[Case] = []
        self.started = time.strftime("%Y-%m-%d")

    def enter(self, name: str, measure: Measure) -> None:
        """Add a contestant; `measure(case)` gives the value in the contest's unit."""
        self._measures[name] = measure

    def hold(self, cases: Sequence[Case], rounds: int) -> None:
        """Let all contestants measure all cases, `rounds` times."""
        self._cases.extend(cases)
        for number in range(rounds):
            for case in cases:
                names = list(self._measures)
                for name in names[number % len(names) :] + names[: number % len(names)]:
                    value = self._measures[name](case)
                    if value is not None:
                        self.values.setdefault((case["case"], name), []).append(value)
                    shown = "-" if value is None else f"{value:.4g} {self.unit}"
                    print(f"round {number + 1}  {case['case']}  {name}  {shown}", file=sys.stderr)

    def rows(self) -> list[dict[str, Any]]:
        """A row a case and contestant: median, lowest, highest, and how ours compares."""
        return [
            {
                "case": case["case"],
                "contestant": name,
                "median": _short(statistics.median(self.values[case["case"], name])),
                "low": _short(min(self.values[case["case"], name])),
                "high": _short(max(self.values[case["case"], name])),
                **self._ratio(case["case"], name),
            }
            for case in self._cases
            for name in self._measures
            if (case["case"], name) in self.values
        ]

    def _ratio(self, case: str, name: str) -> dict[str, float | None]:
        """How many times as good ours is: the median over rounds, the lowest and the highest."""
        ours, theirs = (self.values.get((case, who), []) for who in (self.ours, name))
        pairs = list(zip(ours, theirs, strict=False))
        ratios = [a / b if self.better == "high" else b / a for a, b in pairs]
        if not ratios or name == self.ours:
            return {"ours_against": None, "ratio_low": None, "ratio_high": None}
        middle = statistics.median(ratios)
        return dict(
            zip(
                ("ours_against", "ratio_low", "ratio_high"),
                (round(value, 3) for value in (middle, min(ratios), max(ratios))),
                strict=True,
            )
        )

    def publish(self, command: str, options: argparse.Namespace, **facts: Any) -> None:
        """Print the table; write the JSON, `facts` included, and a plot.

        A second contest of one script gives its own `options.json`.
        """
        rows = self.rows()
        print_table(rows, self.title, self.unit)
        if options.json is None:
            return
        document = {
            "title": self.title,
            "command": command,
            "date": self.started,
            "machine": describe_machine(),
            "unit": self.unit,
            "better": self.better,
            "ours": self.ours,
            **facts,
            "rows": rows,
            "values": {
                f"{case} | {name}": list(map(_short, found))
                for (case, name), found in self.values.items()
            },
        }
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(document, indent=1) + "\n")
        draw(document, plot_path(options))


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def print_table(rows: list[dict[str, Any]], title: str, unit: str) -> None:
    """The rows in aligned columns, a dash where there is nothing."""
    print(f"{title}, {unit}")
    names = list(rows[0])
    cells = [names, *(["-" if row[n] is None else str(row[n]) for n in names] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(names))]
    for line in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)))


def draw(document: dict[str, Any], path: Path) -> None:
    """Bars of the medians, a panel a case; ours in colour, the lowest and highest as whiskers."""
    from matplotlib.figure import Figure

    from pellucid.reporting.drawing.figure_files import figure_file

    cases = list(dict.fromkeys(row["case"] for row in document["rows"]))
    most = max(sum(row["case"] == case for row in document["rows"]) for case in cases)
    columns = min(len(cases), 3)
    lines = -(-len(cases) // columns)
    figure = Figure(figsize=(4.6 * columns, lines * (0.9 + 0.27 * most)), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False)
    for axis in axes.flat[len(cases) :]:
        axis.set_visible(False)
    for axis, case in zip(axes.flat, cases, strict=False):
        rows = [row for row in document["rows"] if row["case"] == case][::-1]
        medians = [row["median"] for row in rows]
        spans = [
            [row["median"] - row["low"] for row in rows],
            [row["high"] - row["median"] for row in rows],
        ]
        colours = ["#1b6ca8" if r["contestant"] == document["ours"] else "#b8bec6" for r in rows]
        axis.barh(range(len(rows)), medians, color=colours, height=0.72)
        axis.errorbar(medians, range(len(rows)), xerr=spans, fmt="none", ecolor="#444", lw=0.8)
        for place, row in enumerate(rows):
            axis.annotate(
                f"{row['median']:,.4g}",
                (row["high"], place),
                (4, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
            )
        axis.set_yticks(range(len(rows)), [row["contestant"] for row in rows], fontsize=8)
        axis.set_title(case, fontsize=9, loc="left")
        axis.set_xlim(0, 1.18 * max(row["high"] for row in rows))
        axis.tick_params(axis="x", labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    note = "higher is better" if document["better"] == "high" else "lower is better"
    figure.suptitle(f"{document['title']} ({document['unit']}, {note})", fontsize=11)
    path.write_bytes(figure_file(figure, ".svg"))


class Worker:
    """A contestant's process: it gets a case as a line of JSON and answers with one.

    `script` ends with `answer_cases(function)`; it finds this module whatever its environment has.
    What the process prints besides goes to standard error.
    """

    def __init__(self, python: Path | str, script: Path, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [str(python), str(script), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent)},
        )

        self._read()  # it has imported what it needs, and no longer takes time from others

    def __call__(self, case: Case) -> Any:
        """The answer to a case; raises `RuntimeError` when the process has ended."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(case) + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self.close()
            raise RuntimeError(f"{self._process.args} ended with {self._process.returncode}")
        return json.loads(line)

    def close(self) -> None:
        """End the process."""
        with self._process:  # closes its pipes and waits
            pass


def answer_cases(function: Callable[[Case], Any]) -> None:
    """The other end of a `Worker`: answer every line of standard input until it ends.

    Call it when all imports are done: its first line says that it is ready.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not be taken for an answer
    print("null", file=answers, flush=True)
    for line in sys.stdin:
        answers.write(json.dumps(function(json.loads(line))) + "\n")
        answers.flush()


def parse_options(
    description: str, rounds: int = 5, add: Callable[[argparse.ArgumentParser], None] | None = None
) -> argparse.Namespace:
    """`--json FILE`, `--plots FOLDER` and `--rounds N`, which every contest has, and `add`'s."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, help="write figures to this file, and a plot")
    parser.add_argument("--plots", type=Path, help="folder of the plot; beside the figures, else")
    parser.add_argument("--rounds", type=int, default=rounds, help="turns of each contestant")
    if add:
        add(parser)
    return parser.parse_args()


def plot_path(options: argparse.Namespace) -> Path:
    """Where the plot of `options.json` goes."""
    path: Path = options.json.with_suffix(".svg")
    if options.plots is None:
        return path
    options.plots.mkdir(parents=True, exist_ok=True)
    return Path(options.plots / path.name)
