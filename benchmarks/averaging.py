"""What averaging buys: over networks, of logits or of probabilities, and over views of an image.

    python benchmarks/averaging.py breastmnist.npz --budget 2m --json FILE

Networks are trained as in `ablation.py`, on all folds but one, and asked for that one; what differs
is only how their answers are averaged. Views are the image as it is, mirrored where its anatomy
allows it, and shifted by a pixel in 28 to each side. Log-loss is after temperature scaling on the
validation images, averaged in the same way, since averaging of any kind changes how sure a model
is. The differences to the first line are paired by fold, with a 95 % t interval.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import ablation
from contest import Case, answer_cases, parse_options
from machine import publish

Floats = npt.NDArray[np.float64]
ONE, LOGITS, SHARES = "one network", "mean of logits", "mean of probabilities"
MIRRORED, SHIFTED = "logits, and mirrored", "logits, and shifted"
WAYS = (ONE, LOGITS, SHARES, MIRRORED, SHIFTED)


def answer(case: Case) -> dict[str, Any]:
    """Figures of one fold, by way of averaging."""
    import torch

    from pellucid.bundle import load_bundle
    from pellucid.data.cache import build_cache
    from pellucid.network.classifier import build_classifier, normalise
    from pellucid.training.augmentation import POLICIES
    from pellucid.training.checkpoint import load_best
    from pellucid.training.plan import load_plan

    with tempfile.TemporaryDirectory() as folder:
        run = ablation.trained(case, Path(folder) / "run")
        bundle, plan, index = load_bundle(run.folder), load_plan(run.plan_path), run.load_index()
        spec = bundle.spec.model_copy(update={"members": 1})
        networks = [build_classifier(spec, bundle.task).eval() for _ in range(plan.members)]
        for number, network in enumerate(networks, start=1):
            load_best(network, run.member(number))
        dataset = ablation.read(case)
        pixels = build_cache(dataset, bundle.preprocessing).pixels
    (target,) = bundle.task.targets
    place = index.set_index("image_id").loc[dataset.table["image_id"]]
    codes = place[target.name].map(list(target.classes).index).to_numpy()

    @torch.inference_mode()
    def logits(change: Callable[[Any], Any], split: str) -> Floats:
        """(networks, n, K): log-odds of two classes as [0, z]."""
        rows = np.flatnonzero((place["split"] == split).to_numpy())
        x = change(normalise(torch.from_numpy(np.array(pixels[rows])), plan.mean, plan.std))
        found = np.stack([network(x).double().numpy() for network in networks])
        return (
            np.concatenate([np.zeros_like(found), found], axis=2) if found.shape[2] == 1 else found
        )

    step = max(1, round(plan.image_size / 28))
    mirrored = POLICIES[plan.augmentation].left_right > 0
    shifts = [lambda x, d=d, a=a: torch.roll(x, d * step, a) for d in (-1, 1) for a in (2, 3)]
    figures = {}
    for way in WAYS:
        changes: list[Callable[[Any], Any]] = [lambda x: x]
        if way == MIRRORED and mirrored:
            changes.append(lambda x: x.flip(3))
        if way == SHIFTED:
            changes += shifts
        averaged = {}
        for split in ("validation", "test"):
            answers = np.concatenate([logits(change, split) for change in changes])
            averaged[split] = average(answers, way)
        truth = {s: codes[(place["split"] == s).to_numpy()] for s in averaged}
        figures[way] = judge(averaged, truth)
    return figures


def average(logits: Floats, way: str) -> Floats:
    """Log-probabilities (n, K), up to a constant a row, of answers (m, n, K)."""
    from scipy.special import log_softmax, logsumexp

    if way == ONE:
        return logits[0]
    if way == SHARES:
        return np.asarray(logsumexp(log_softmax(logits, axis=2), axis=0))
    return np.asarray(logits.mean(axis=0))


def judge(logits: dict[str, Floats], truth: dict[str, Any]) -> dict[str, float]:
    """AUROC of test, and its log-loss with the temperature that suits validation."""
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax, softmax
    from sklearn.metrics import log_loss, roc_auc_score

    def loss(log_t: float) -> float:
        logs = log_softmax(logits["validation"] / np.exp(log_t), axis=1)
        return float(-logs[np.arange(len(logs)), truth["validation"]].mean())

    temperature = np.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded").x)
    shares = softmax(logits["test"] / temperature, axis=1)
    several = shares if shares.shape[1] > 2 else shares[:, 1]
    return {
        "auroc": float(roc_auc_score(truth["test"], several, multi_class="ovr")),
        "log_loss": float(log_loss(truth["test"], shares, labels=range(shares.shape[1]))),
        "seconds": 0.0,
    }


def results(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A row a seed, fold and way."""
    cases = ablation.cases(options, [f"members={options.members}"])
    for case, found in ablation.ask_all(cases, Path(__file__), "--answer", "x"):
        print({way: round(f["auroc"], 4) for way, f in found.items()}, file=sys.stderr)
        for way, figures in found.items():
            yield {"variant": way, "seed": case["seed"], "fold": case["fold"], **figures}


def add_options(parser: argparse.ArgumentParser) -> None:
    ablation.add_data_options(parser)
    parser.add_argument("--members", type=int, default=5)


def main() -> None:
    options = parse_options(__doc__ or "", rounds=1, add=add_options)
    if options.answer:
        answer_cases(answer)
        return
    rows = list(results(options))
    command = f"python benchmarks/averaging.py {ablation.said(options)} --members {options.members}"
    table = ablation.summarise(rows, list(WAYS))
    publish(
        [{k: v for k, v in row.items() if k != "seconds"} for row in table], command, options.json
    )


if __name__ == "__main__":
    main()
