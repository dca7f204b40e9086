"""How long a command takes from its start, beside starting Python and the work itself.

    python benchmarks/start.py --json benchmarks/results/start.json

Each is a process of its own; "the work itself" is the same function in a process that has done it
before. Python keeps compiled bytecode, as it does unless it is told not to, in a folder of this
benchmark; the first start of each command fills it and is not counted. In one case Python may keep
none of it.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from contest import Case, Contest, Worker, answer_cases, parse_options

OURS, WORK = "the command", "the work itself"
BARE, PANDAS, TORCH = "python -c pass", "import pandas", "import torch"
OTHERS = {
    BARE: ["-c", "pass"],
    PANDAS: ["-c", "import pandas"],
    TORCH: ["-c", "import torch"],
}
ROWS = 1000


def make_table(folder: Path, classes: tuple[str, ...]) -> Path:
    """Predictions of 1,000 images of 500 patients, in validation and test, with two facts."""
    random = np.random.default_rng(0)
    patients = random.integers(0, ROWS // 2, ROWS)
    codes = random.integers(0, len(classes), ROWS)
    logits = random.normal(size=(ROWS, len(classes)))
    logits[np.arange(ROWS), codes] += 1.3
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    table = pd.DataFrame({"image_id": np.arange(ROWS), "patient_id": patients})
    table["split"] = np.where(patients % 5 < 2, "validation", "test")
    table["y_true"] = np.array(classes)[codes]
    table[[f"probability_{name}" for name in classes]] = shares
    table["sex"], table["age"] = np.where(patients % 2, "F", "M"), 20 + patients % 70
    path = folder / f"{len(classes)}_classes.csv"
    table.to_csv(path, index=False)
    return path


def make_model(folder: Path) -> None:
    """A bundle of two blocks with random weights, and one image."""
    from pellucid.bundle import Bundle, save_bundle
    from pellucid.images.preprocessing import Preprocessing
    from pellucid.network.classifier import build_classifier
    from pellucid.network.spec import Block, NetworkSpec
    from pellucid.task import Target, Task

    task = Task(targets=(Target(name="label", classes=("well", "ill")),))
    blocks = (Block(channels=8), Block(channels=16, pooling="none"))
    spec = NetworkSpec(name="plain", channels=1, image_size=64, blocks=blocks)
    classifier = build_classifier(spec, task, seed=1).eval()
    preprocessing = Preprocessing(image_size=64, channels=1)
    save_bundle(folder / "model", Bundle(classifier, spec, task, preprocessing, {}))
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8)
    Image.fromarray(pixels).save(folder / "image.png")


def make_cases(folder: Path) -> list[Case]:
    """What is started, as words of the command line, and `beside` which imports."""
    two, four = make_table(folder, ("no", "yes")), make_table(folder, ("a", "b", "c", "d"))
    make_model(folder)
    model, image = str(folder / "model"), str(folder / "image.png")
    predict = ["predict", model, image, "--out", str(folder / "p.csv"), "--overwrite"]
    return [
        {"case": "--help", "words": ["--help"]},
        {"case": "--help, no bytecode kept", "words": ["--help"], "bytecode": False},
        {
            "case": "evaluate, 2 classes",
            "words": ["evaluate", str(two)],
            "table": str(two),
            "beside": [PANDAS, TORCH],
        },
        {"case": "evaluate, 4 classes", "words": ["evaluate", str(four)], "table": str(four)},
        {
            "case": "predict, one image",
            "words": predict,
            "model": model,
            "image": image,
            "beside": [TORCH],
        },
    ]


def seconds(arguments: list[str], cache: Path, bytecode: bool = True) -> float:
    """How long Python runs with these arguments."""
    names = ("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    environment |= {names[1]: str(cache)} if bytecode else {names[0]: "1"}
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True, env=environment)
    return time.perf_counter() - started


def do_the_work(case: Case) -> float | None:
    """Seconds of the function behind the command, in a process that has done it before."""
    if "table" in case:
        from pellucid.judging import evaluate

        def work() -> Any:
            return evaluate(case["table"])
    elif "model" in case:
        from pellucid.prediction import predict

        def work() -> Any:
            return predict(case["model"], [case["image"]])
    else:
        return None
    work()
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def over_python(contest: Contest, cases: list[Case]) -> dict[str, float]:
    """Seconds by which each command's median is above that of `python -c pass`."""
    medians = {
        (case["case"], name): statistics.median(contest.values[case["case"], name])
        for case in cases
        for name in (OURS, BARE)
    }
    return {
        case["case"]: round(medians[case["case"], OURS] - medians[case["case"], BARE], 4)
        for case in cases
    }


def main() -> None:
    options = parse_options(__doc__ or "", rounds=5)
    contest = Contest("Start", unit="s", better="low", ours=OURS)
    with tempfile.TemporaryDirectory() as name:
        cases, cache = make_cases(Path(name)), Path(name) / "bytecode"
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the worker's, as `evaluate` has it
        worker = Worker(sys.executable, Path(__file__), "--worker")

        def start(arguments: list[str], case: Case) -> float:
            return seconds(arguments, cache, case.get("bytecode", True))

        contest.enter(OURS, lambda case: start(["-m", "pellucid", *case["words"]], case))
        contest.enter(WORK, worker)
        for other, arguments in OTHERS.items():
            contest.enter(
                other,
                lambda case, other=other, arguments=arguments: (
                    start(arguments, case) if other in [BARE, *case.get("beside", [])] else None
                ),
            )
        for case in cases:
            seconds(["-m", "pellucid", *case["words"]], cache)
        for arguments in OTHERS.values():
            seconds(arguments, cache)
        contest.hold(cases, options.rounds)
        worker.close()
    facts = over_python(contest, cases)
    print("seconds over python -c pass:", facts)
    contest.publish("python benchmarks/start.py", options, seconds_over_python=facts)


if __name__ == "__main__":
    if sys.argv[1:] == ["--worker"]:
        answer_cases(do_the_work)
    else:
        main()
