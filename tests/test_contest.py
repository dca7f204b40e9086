"""The runner of benchmarks: turns, ratios, workers and a plot; and that peers get our networks."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from pellucid.network.classifier import NetworkSpec, build_classifier
from pellucid.task import Target, Task

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(autouse=True)
def _on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.syspath_prepend(str(BENCHMARKS / "peers"))


def contest(better: str = "high") -> Any:
    from contest import Contest

    return Contest("Speed", unit="images/s", better=better, ours="ours")


def test_contestants_take_turns_and_ratios_are_within_a_round() -> None:
    order: list[str] = []
    values = {"ours": iter([10.0, 40.0, 20.0]), "theirs": iter([5.0, 10.0, 20.0])}
    made = contest()
    for name in values:
        made.enter(name, lambda case, name=name: (order.append(name), next(values[name]))[1])
    made.hold([{"case": "a"}], rounds=3)
    assert order == ["ours", "theirs", "theirs", "ours", "ours", "theirs"]
    ours, theirs = made.rows()
    assert (ours["median"], ours["low"], ours["high"], ours["ours_against"]) == (20, 10, 40, None)
    # 2, 4 and 1 times as fast; the ratio of the medians would be 2 as well by chance alone
    assert (theirs["ours_against"], theirs["ratio_low"], theirs["ratio_high"]) == (2.0, 1.0, 4.0)


def test_where_low_is_better_the_ratio_is_turned_round() -> None:
    made = contest("low")
    made.enter("ours", lambda case: 2.0)
    made.enter("theirs", lambda case: 3.0)
    made.hold([{"case": "a"}], rounds=1)
    assert made.rows()[1]["ours_against"] == 1.5


def test_who_does_not_take_part_in_a_case_has_no_row(tmp_path: Path) -> None:
    made = contest()
    made.enter("ours", lambda case: case["n"])
    made.enter("theirs", lambda case: None if case["n"] == 1 else 4.0)
    made.hold([{"case": "a", "n": 1}, {"case": "b", "n": 2}], rounds=2)
    assert [(row["case"], row["contestant"]) for row in made.rows()] == [
        ("a", "ours"),
        ("b", "ours"),
        ("b", "theirs"),
    ]
    made.publish("python x.py", options(tmp_path / "x.json"), seed=7)
    document = json.loads((tmp_path / "x.json").read_text())
    assert document["seed"] == 7
    assert document["values"]["b | theirs"] == [4.0, 4.0]
    assert document["rows"] == made.rows()
    assert document["machine"]["cores"] > 0
    assert "Speed (images/s, higher is better)" in (tmp_path / "x.svg").read_text()
    made.publish("python x.py", options(tmp_path / "y.json", tmp_path / "plots"))
    assert (tmp_path / "plots" / "y.svg").is_file()
    assert not (tmp_path / "y.svg").exists()


def options(figures: Path, plots: Path | None = None) -> argparse.Namespace:
    return argparse.Namespace(json=figures, plots=plots)


WORKER = """
import sys
sys.path.insert(0, {benchmarks!r})
from contest import answer_cases
def double(case):
    print("a library's chatter")
    return 2 * case["n"]
answer_cases(double)
"""


def test_a_worker_answers_case_by_case_whatever_libraries_print(tmp_path: Path) -> None:
    from contest import Worker

    script = tmp_path / "worker.py"
    script.write_text(WORKER.format(benchmarks=str(BENCHMARKS)))
    worker = Worker(sys.executable, script)
    assert [worker({"n": 2}), worker({"n": 5})] == [4, 10]
    worker.close()
    with pytest.raises(RuntimeError, match="ended with 2"):
        Worker(sys.executable, tmp_path / "none.py", "x")({"n": 1})


def test_a_pace_is_images_over_time_without_the_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    import pace

    monkeypatch.setattr(pace, "WARM_UP", 3)
    monkeypatch.setattr(pace, "FEWEST", 2)
    moments = iter([0.0, 9.0, 10.0, 10.5, 11.0, 12.0])
    monkeypatch.setattr(pace.time, "perf_counter", lambda: next(moments))

    def train(counted: Any) -> None:
        while True:
            counted.step()

    assert pace.train_until_enough(train, {"seconds": 2.0}) == 32 * 3 / 2.0
    with pytest.raises(RuntimeError, match="before its time was over"):
        pace.train_until_enough(lambda counted: None, {"seconds": 2.0})


def test_a_pace_measures_some_steps_however_long_and_ends_after_the_steps_asked_for() -> None:
    import pace

    paces: list[Any] = []

    def train(counted: Any) -> None:
        paces.append(counted)
        while True:
            counted.step()

    pace.train_until_enough(train, {"seconds": 0.0})
    pace.train_until_enough(train, {"seconds": 0.0, "steps": 31})
    done = [len(counted.moments) for counted in paces]
    assert done == [pace.WARM_UP + pace.FEWEST, 31]


@pytest.mark.parametrize(
    ("name", "size"), [("plain", 28), ("resnet18", 28), ("resnet18", 64), ("vgg11", 64)]
)
def test_peers_train_our_networks(name: str, size: int) -> None:
    import networks

    task = Task(targets=(Target(name="label", classes=("no", "yes")),))
    ours = build_classifier(NetworkSpec(name=name, channels=1, image_size=size), task)
    theirs = networks.build(name, size)
    weights = [p.shape for p in ours.backbone.parameters()]
    assert weights == [p.shape for p in list(theirs.parameters())[:-2]]
