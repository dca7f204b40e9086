"""How the judgement falls when pictures are worse than those learned from, by augmentation.

    python benchmarks/robustness.py pneumoniamnist.npz --budget 1m --json FILE
    python benchmarks/robustness.py phantom:chest --variant "" "augmentation=none"

A score of one hospital says little of the next, whose pictures are noisier, softer, flatter or
compressed. Networks are trained as in `ablation.py`, on all folds but one, and judge that one as it
is and under each corruption of `pellucid.images.corruptions` at the severities asked for. A row is
a variant and a corruption: AUROC, its mean over folds, and how it differs from the first variant's,
paired by fold, with a 95 % t interval.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import ablation
from contest import Case, answer_cases, parse_options
from machine import publish

CLEAN = "as they are"


def answer(case: Case) -> dict[str, float]:
    """AUROC of one fold under every corruption, the mean over the severities."""
    from sklearn.metrics import roc_auc_score

    from pellucid.bundle import load_bundle
    from pellucid.data.cache import build_cache
    from pellucid.images.corruptions import CORRUPTIONS, corrupt
    from pellucid.outputs import probabilities_from_logits
    from pellucid.prediction import predict_logits

    with tempfile.TemporaryDirectory() as folder:
        run = ablation.trained(case, Path(folder) / "run")
        bundle, index = load_bundle(run.folder), run.load_index()
    dataset = ablation.read(case)
    place = index.set_index("image_id").loc[dataset.table["image_id"]]
    rows = np.flatnonzero((place["split"] == "test").to_numpy())
    pixels = np.array(build_cache(dataset, bundle.preprocessing).pixels[rows])
    (target,) = bundle.task.targets
    codes = place[target.name].map(list(target.classes).index).to_numpy()[rows]

    def auroc(pictures: npt.NDArray[np.uint8]) -> float:
        logits = predict_logits(bundle.classifier, pictures, bundle.preprocessing)
        shares = probabilities_from_logits(logits, target)
        several = shares if shares.shape[1] > 2 else shares[:, 1]
        return float(roc_auc_score(codes, several, multi_class="ovr"))

    found = {CLEAN: auroc(pixels)}
    for name in CORRUPTIONS:
        worse = [auroc(corrupt(pixels, name, s, case["seed"])) for s in case["severities"]]
        found[name] = float(np.mean(worse))
    return found


def results(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A row a seed, fold, variant and corruption."""
    cases = ablation.cases(options, options.variant)
    for case in cases:
        case["severities"] = options.severities
    for case, found in ablation.ask_all(cases, Path(__file__), "--answer", "x"):
        print(case["variant"], {k: round(v, 3) for k, v in found.items()}, file=sys.stderr)
        for corruption, auroc in found.items():
            head = {key: case[key] for key in ("variant", "seed", "fold")}
            yield {**head, "corruption": corruption, "auroc": auroc}


def summarise(rows: list[dict[str, Any]], variants: list[str]) -> list[dict[str, Any]]:
    """A row a corruption and variant."""
    table = []
    for corruption in dict.fromkeys(row["corruption"] for row in rows):
        here = [row for row in rows if row["corruption"] == corruption]
        first = ablation.by_fold(here, variants[0], "auroc")
        for variant in variants:
            mine = ablation.by_fold(here, variant, "auroc")
            line = {"corruption": corruption, "variant": variant or "the rules"}
            line["auroc"] = round(float(mine.mean()), 4)
            line["difference"] = "-" if variant == variants[0] else ablation.gain(mine - first)
            table.append(line)
    return table


def add_options(parser: argparse.ArgumentParser) -> None:
    ablation.add_data_options(parser)
    variants = ["", "augmentation=none"]
    parser.add_argument("--variant", nargs="+", default=variants, help='settings; "" is the rules')
    parser.add_argument("--severities", nargs="+", type=int, default=[2, 3])


def main() -> None:
    options = parse_options(__doc__ or "", rounds=1, add=add_options)
    if options.answer:
        answer_cases(answer)
        return
    rows = list(results(options))
    variants = " ".join(f'"{variant}"' for variant in options.variant)
    severities = " ".join(map(str, options.severities))
    command = f"python benchmarks/robustness.py {ablation.said(options)}"
    command += f" --variant {variants} --severities {severities}"
    publish(summarise(rows, options.variant), command, options.json)


if __name__ == "__main__":
    main()
