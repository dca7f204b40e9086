"""MedMNIST's 2D protocol on any of its archives, or a folder: train, choose on val, report test.

    python benchmarks/medmnist.py pneumoniamnist.npz --budget 2m --rounds 5 --json FILE
    python benchmarks/medmnist.py breast_ultrasound --merge benign,normal=benign+normal --rounds 3

AUC and ACC are MedMNIST's own (its `evaluator.py`): AUC is the mean over classes, or over labels,
of one-vs-rest areas, of two classes the positive one's; ACC asks for the largest score, of two
classes and of labels for more than 0.5. A contestant trains on `train`, chooses its epoch by AUC on
`val`, and is asked for `test` once; `--rounds` seeds give mean and standard deviation. Everybody
has the same wall time for training with validation, in a process of its own, alone; the two
baselines finish their first epoch even when it takes longer, and begin none that would; how many
epochs there will be, and so how their rates fall, is reckoned anew after each. A folder is
dealt by patient, copies of a picture together, anew for every seed and alike for all contestants.

Pellucid: no option but the budget, so in bfloat16 where the processor multiplies it; the others in
float32, as they are published. Of a folder it is told which images are the test and deals the
others itself, as it does for anybody without a split; an archive's val stays val.
MedMNIST's recipe: its ResNet-18 for 28 px, batches of 128, Adam at 0.001, ten times less after a
half and three quarters of 100 epochs, or of as many as the time allows; no augmentation.
torchvision: its ResNet-18 from random weights at 64 px, RandomResizedCrop and a flip, SGD with
momentum at 0.1 falling by a cosine, as its reference scripts train.
AutoGluon: its preset "medium_quality" with the time as its limit, from random weights, where
`make bench-automl` has made its environment.

With `--json` a row is kept when it is found, with the commit it is of, and a later call adds those
that are missing: a table may take longer than a session. After a change of Pellucid begin a new
file. The table compares each contestant with Pellucid, paired by seed,
with a 95 % t interval.

A `test` that was cut out of the published training set does not give a row of the public table.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ablation import reading
from contest import Case, Worker, answer_cases, parse_options
from machine import describe_machine, show

HERE = Path(__file__).resolve().parent
AUTOML = HERE.parent / ".venv-automl" / "bin" / "python"
OURS, AUTOGLUON = "Pellucid", "AutoGluon"
Floats = npt.NDArray[np.float64]
TOLD = ("network", "image_size", "members", "augmentation_strength")  # of Pellucid's own plan
EPOCHS = 100  # of the two baselines, where the time allows it
UNASKED = {"baseline": False, "robustness": False, "explain": False}


# --- MedMNIST's metrics ---------------------------------------------------------------------------


def auc_and_acc(labels: npt.NDArray[np.int64], scores: Floats) -> tuple[float, float]:
    """Of codes (n, 1) with scores (n, K) that sum to 1, or of labels (n, L) with a score each."""
    from sklearn.metrics import roc_auc_score

    if labels.shape[1] > 1:  # several labels, each yes or no
        areas = [roc_auc_score(labels[:, i], scores[:, i]) for i in range(labels.shape[1])]
        return float(np.mean(areas)), float(((scores > 0.5) == labels).mean())
    codes = labels[:, 0]
    if scores.shape[1] == 2:
        return float(roc_auc_score(codes, scores[:, 1])), float(
            ((scores[:, 1] > 0.5) == codes).mean()
        )
    areas = [roc_auc_score(codes == k, scores[:, k]) for k in range(scores.shape[1])]
    return float(np.mean(areas)), float((scores.argmax(axis=1) == codes).mean())


# --- contestants ----------------------------------------------------------------------------------


def pellucid(case: Case) -> dict[str, Any]:
    """`pellucid.train` with a budget, and what it says of the test images."""
    import pandas as pd

    from pellucid import pipeline
    from pellucid.data.index import read_dataset
    from pellucid.progress import Progress
    from pellucid.training.plan import load_plan

    source = Path(case["manifest"] or case["archive"])
    patients = source.with_name(f"{source.stem}_patients.csv")
    known = {"patients": patients} if patients.is_file() else {}
    dataset = read_dataset(source, **known)
    with tempfile.TemporaryDirectory() as folder:
        run = pipeline.train(
            dataset,
            Path(folder) / "run",
            budget=f"{case['seconds']}s",
            seed=case["seed"],
            allow_shared_patients=True,  # the audit's findings are not this contest's matter
            progress=Progress(quiet=True),
            **UNASKED,
        )
        table = pd.read_csv(run.predictions_path("test"))
        facts = run.facts
        plan = {key: value for key, value in load_plan(run.plan_path) if key in TOLD}
        seconds = facts["training"]["seconds"] + facts.get("race", {}).get("seconds", 0.0)
    labels, scores = [], []
    for target in dataset.task.targets:
        rows = table[table["target"] == target.name].sort_values("image_id")
        names = [f"probability_{name}" for name in target.classes]
        several = len(dataset.task.targets) > 1
        scores.append(rows[names[-1:] if several else names].to_numpy())
        labels.append(rows["y_true"].map(target.classes.index).to_numpy()[:, None])
    auc, acc = auc_and_acc(np.hstack(labels), np.hstack(scores))
    return {"auc": auc, "acc": acc, "seconds": seconds, "plan": plan}


def recipe(case: Case) -> dict[str, Any]:
    """MedMNIST's published training of its ResNet-18 for 28 px."""
    import torch

    def rate(share: float) -> float:
        return 1e-3 * 0.1 ** ((share >= 0.5) + (share >= 0.75))

    return _train(case, 28, 128, optimiser=torch.optim.Adam, rate=rate, change=lambda x: x)


def standard(case: Case) -> dict[str, Any]:
    """The ResNet-18 and the transforms of torchvision, at 64 px."""
    import torch
    from torchvision.transforms import v2

    change = v2.Compose([v2.RandomResizedCrop(64, antialias=True), v2.RandomHorizontalFlip()])

    sgd = partial(torch.optim.SGD, momentum=0.9, weight_decay=1e-4)

    def rate(share: float) -> float:
        return 0.1 * 0.5 * (1 + math.cos(math.pi * share))

    def each(images: Any) -> Any:
        return torch.stack([change(image) for image in images])

    return _train(case, 64, 32, optimiser=sgd, rate=rate, change=each)


CONTESTANTS: dict[str, Callable[[Case], dict[str, Any]]] = {
    OURS: pellucid,
    "MedMNIST's recipe": recipe,
    "torchvision": standard,
}


def _train(
    case: Case,
    side: int,
    batch: int,
    *,
    optimiser: Callable[..., Any],
    rate: Callable[[float], float],
    change: Callable[[Any], Any],
) -> dict[str, Any]:
    """A plain loop: as many epochs as the time allows, 100 at most; the best by AUC on val.

    `rate` gives the learning rate for the share of the epochs that are done.
    """
    import torch
    from torch import nn

    torch.manual_seed(case["seed"])
    sets = _read(Path(case["archive"]), side)
    images, labels = sets["train"]
    several = labels.shape[1] > 1
    n_out = labels.shape[1] if several else int(labels.max()) + 1
    network = _resnet18(images.shape[1], n_out, side).to(memory_format=torch.channels_last)
    loss_of = nn.BCEWithLogitsLoss() if several else nn.CrossEntropyLoss()
    targets = labels.float() if several else labels[:, 0]

    @torch.inference_mode()
    def score(split: str) -> tuple[float, float]:
        network.eval()
        pictures, truth = sets[split]
        logits = torch.cat([network(block) for block in pictures.split(256)])
        shares = logits.sigmoid() if several else logits.softmax(dim=1)
        return auc_and_acc(truth.numpy(), shares.double().numpy())

    started, epochs = time.monotonic(), EPOCHS
    took: list[float] = []
    best: tuple[float, dict[str, Any]] = (-1.0, {})
    rule = optimiser(network.parameters(), lr=rate(0.0))
    while (done := len(took)) < epochs:
        began = time.monotonic()
        for group in rule.param_groups:
            group["lr"] = rate(done / epochs)
        network.train()
        for rows in torch.randperm(len(images)).split(batch):
            if len(rows) == 1:
                continue  # batch norm cannot bear it
            rule.zero_grad()
            loss_of(network(change(images[rows])), targets[rows]).backward()
            rule.step()
        auc = score("val")[0]
        if auc > best[0]:
            best = (auc, {k: v.clone() for k, v in network.state_dict().items()})
        took.append(time.monotonic() - began)
        epochs = epochs_within(took, case["seconds"] - (time.monotonic() - started))
    seconds = time.monotonic() - started
    network.load_state_dict(best[1])
    auc, acc = score("test")
    return {"auc": auc, "acc": acc, "seconds": seconds, "epochs": len(took)}


def epochs_within(took: list[float], left: float) -> int:
    """How many epochs there will be: those that took these seconds, and those that `left` allows.

    The first is the slowest and tells only of itself once there is another.

    >>> epochs_within([5.0], 14.0), epochs_within([5.0, 2.0], 9.0), epochs_within([5.0], -1.0)
    (3, 6, 1)
    """
    usual = float(np.mean(took[1:] or took))
    return min(EPOCHS, len(took) + max(0, int(left / usual)))


def _read(archive: Path, side: int) -> dict[str, tuple[Any, Any]]:
    """Images float32 (n, C, H, W), normalised by 0.5 and 0.5 as MedMNIST's, and labels (n, L)."""
    import torch
    from torch.nn import functional

    found = {}
    with np.load(archive, allow_pickle=False) as arrays:
        for split in ("train", "val", "test"):
            pixels = torch.from_numpy(arrays[f"{split}_images"])
            pixels = pixels[:, None] if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2)
            images = (pixels.float() / 255 - 0.5) / 0.5
            if images.shape[-1] != side:
                size = (side, side)
                images = functional.interpolate(images, size, mode="bilinear", antialias=True)
            labels = torch.from_numpy(arrays[f"{split}_labels"].astype(np.int64))
            found[split] = (images, labels.reshape(len(labels), -1))
    return found


def _resnet18(channels: int, n_out: int, side: int) -> Any:
    from torch import nn
    from torchvision.models import resnet18

    network = resnet18(num_classes=n_out)
    if side == 28:  # MedMNIST's own for 28 px: a 3 × 3 stem and no pooling after it
        network.conv1 = nn.Conv2d(channels, 64, 3, padding=1, bias=False)
        network.maxpool = nn.Identity()
    else:
        network.conv1 = nn.Conv2d(channels, 64, 7, 2, padding=3, bias=False)
    return network


# --- the contest ----------------------------------------------------------------------------------


def autogluon(case: Case) -> dict[str, Any]:
    """What AutoGluon's own environment answers, judged like the others."""
    worker = Worker(AUTOML, HERE / "peers" / "autogluon_images.py")
    found = worker(case)
    worker.close()
    with np.load(case["archive"], allow_pickle=False) as arrays:
        labels = arrays["test_labels"].astype(np.int64).reshape(-1, 1)
    auc, acc = auc_and_acc(labels, np.array(found["scores"]))
    return {"auc": auc, "acc": acc, "seconds": found["seconds"]}


def ask(name: str, case: Case) -> dict[str, Any]:
    """A contestant's answer, in a process of its own."""
    if name == AUTOGLUON:
        return autogluon(case)
    worker = Worker(sys.executable, Path(__file__), "--answer", name, "x")
    found: dict[str, Any] = worker(case)
    worker.close()
    return found


def rows_of(
    options: argparse.Namespace, seconds: float, kept: set[tuple[Any, ...]]
) -> Iterator[dict[str, Any]]:
    """A row a dataset, seed and contestant that is not kept yet."""
    everybody = options.only or [*CONTESTANTS, *([AUTOGLUON] if AUTOML.is_file() else [])]
    asked = {"patient_pattern": options.patient_pattern, "merge": options.merge}
    for source in options.data:
        for seed in range(options.rounds):
            names = [n for n in everybody if n != AUTOGLUON or _has_one_target(source)]
            missing = [n for n in names if (source.stem, n, seed, seconds) not in kept]
            if not missing:
                continue
            with tempfile.TemporaryDirectory() as folder:
                where = _deal(source, seed, options, Path(folder))
                for name in missing:
                    found = ask(name, {**where, "seconds": seconds, "seed": seed})
                    head = {"data": source.stem, "contestant": name, "seed": seed}
                    row = {**head, "budget": seconds, **found, **asked, "commit": _commit()}
                    print({k: _short(v) for k, v in row.items()}, file=sys.stderr, flush=True)
                    cores = len(os.sched_getaffinity(0))  # that it was allowed, of the machine's
                    machine = describe_machine()
                    where_run = {"machine": machine["processor"], "bfloat16": machine["bfloat16"]}
                    yield {**row, **where_run, "cores": cores}


def _deal(source: Path, seed: int, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """An archive as it is; a folder split by patient, as a manifest and as an archive at 224 px."""
    if source.suffix == ".npz":
        return {"archive": str(source), "manifest": None}
    from pellucid.auditing.copies import find_copies
    from pellucid.data.cache import build_cache
    from pellucid.data.index import read_dataset
    from pellucid.data.split import assign_splits
    from pellucid.images.preprocessing import Preprocessing

    dataset = read_dataset(source, **reading(options))
    cache = build_cache(dataset, Preprocessing(image_size=224, channels=1, fit="stretch"))
    linked = find_copies(cache).groups(len(dataset.table))
    dataset, _ = assign_splits(dataset, seed=seed, linked=linked)
    table = dataset.table if dataset.patients_known else dataset.table.drop(columns="patient_id")
    ours = table.assign(split=table["split"].replace("validation", "train"))
    ours.to_csv(folder / "manifest.csv", index=False)
    arrays = {}
    for mine, theirs in (("train", "train"), ("validation", "val"), ("test", "test")):
        rows = np.flatnonzero((table["split"] == mine).to_numpy() & cache.readable)
        arrays[f"{theirs}_images"] = np.array(cache.pixels[rows, 0])
        arrays[f"{theirs}_labels"] = dataset.codes()[rows]
    np.savez(folder / f"{source.stem}.npz", **arrays)
    return {
        "archive": str(folder / f"{source.stem}.npz"),
        "manifest": str(folder / "manifest.csv"),
    }


def _has_one_target(source: Path) -> bool:
    """AutoGluon's image classifier takes no more."""
    if source.suffix != ".npz":
        return True
    with np.load(source, allow_pickle=False) as arrays:
        return arrays["test_labels"].reshape(len(arrays["test_labels"]), -1).shape[1] == 1


def _commit() -> str:
    """Of which state of Pellucid a row is."""
    git = ["git", "-C", str(HERE), "rev-parse", "--short", "HEAD"]
    return subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()


def _kept(path: Path | None) -> list[dict[str, Any]]:
    """The trainings of earlier calls."""
    if path is None or not path.is_file():
        return []
    return list(json.loads(path.read_text())["trainings"])


def _short(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value


def summarise(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean and standard deviation over seeds, a dataset and contestant, and Pellucid's lead."""
    keys = dict.fromkeys((row["data"], row["budget"], row["contestant"]) for row in rows)
    table = []
    for data, budget, name in keys:
        mine = [
            r for r in rows if (r["data"], r["budget"], r["contestant"]) == (data, budget, name)
        ]
        ours = [
            r for r in rows if (r["data"], r["budget"], r["contestant"]) == (data, budget, OURS)
        ]
        line: dict[str, Any] = {"data": data, "budget": budget, "contestant": name}
        line["seeds"] = len(mine)
        for metric in ("auc", "acc", "seconds"):
            values = [row[metric] for row in mine]
            line[metric] = round(statistics.mean(values), 4)
            line[f"{metric}_sd"] = round(statistics.stdev(values), 4) if len(values) > 1 else None
        line["ahead_by_auc"] = "-" if name == OURS else _lead(ours, mine)
        table.append(line)
    return table


def _lead(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> str:
    """How much larger our AUC is, of the seeds that both have."""
    known = {row["seed"]: row["auc"] for row in theirs}
    gaps = [row["auc"] - known[row["seed"]] for row in ours if row["seed"] in known]
    if len(gaps) < 2:
        return f"{gaps[0]:+.4f}" if gaps else "-"
    from scipy.stats import t

    reach = t.ppf(0.975, len(gaps) - 1) * statistics.stdev(gaps) / len(gaps) ** 0.5
    mean = statistics.mean(gaps)
    return f"{mean:+.4f} ({mean - reach:+.4f} to {mean + reach:+.4f})"


def keep(rows: list[dict[str, Any]], path: Path | None) -> None:
    """Write every training and the table of them."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        document = {"table": summarise(rows), "trainings": rows}
        path.write_text(json.dumps(document, indent=1) + "\n")


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", nargs="+", type=Path, help="MedMNIST .npz files, or folders")
    parser.add_argument("--budget", default="2m", help="wall time of each training")
    parser.add_argument("--only", nargs="*", choices=[*CONTESTANTS, AUTOGLUON])
    parser.add_argument("--patient-pattern", help="of a folder, as for `pellucid train`")
    parser.add_argument("--merge", help="of a folder: NEW=OLD+OLD")
    parser.add_argument("--answer", choices=list(CONTESTANTS), help=argparse.SUPPRESS)


def main() -> None:
    options = parse_options(__doc__ or "", rounds=5, add=add_options)
    if options.answer:
        answer_cases(CONTESTANTS[options.answer])
        return
    from pellucid.training.plan import parse_budget

    names = " ".join(source.name for source in options.data)
    command = f"python benchmarks/medmnist.py {names} --budget {options.budget}"
    rows = _kept(options.json)
    known = {(row["data"], row["contestant"], row["seed"], row["budget"]) for row in rows}
    for row in rows_of(options, parse_budget(options.budget), known):
        rows.append({**row, "command": f"{command} --rounds {options.rounds}"})
        keep(rows, options.json)
    show(summarise(rows))


if __name__ == "__main__":
    main()
