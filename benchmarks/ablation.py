"""What a rule of the plan is worth: the same data with it and without it, by cross-validation.

    python benchmarks/ablation.py breastmnist.npz --budget 1m --variant "" "network=resnet18"

A variant is a list of settings, KEY=VALUE, that win over the rules; "" is the rules alone, and the
first variant is what the others are compared with. Rows of a given test split are left out; the
rest is dealt into folds by patient, copies of a picture together. Each variant trains on the other
folds (with a validation part of its own inside) and is asked for its fold, so that every row is
predicted once. A variant has one thread, and as many run side by side as there are cores: all have
the same share of the same noise. AUROC and log-loss are of a fold, their mean over folds and
seeds; the differences to the first variant are paired by fold, with a 95 % t interval over the
folds' means. "plan" is what a variant chose in the first fold.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from contest import Case, Worker, answer_cases, parse_options
from machine import publish

TOLD = (
    "network",
    "image_size",
    "members",
    "ensemble_of",
    "batch_size",
    "augmentation_strength",
)
METRICS = ("auroc", "log_loss")


def read(case: Case) -> Any:
    """The dataset without a given test split."""
    from pellucid.data.index import read_dataset

    archive = Path(case["data"])
    patients = archive.with_name(f"{archive.stem}_patients.csv")
    known = {"patients": patients} if archive.suffix == ".npz" and patients.is_file() else {}
    dataset = read_dataset(archive, **case["reading"], **known)
    if "split" in dataset.table:
        kept = dataset.table["split"] != "test"
        table = dataset.table[kept].drop(columns="split").reset_index(drop=True)
        dataset = replace(dataset, table=table)
    return _thin(dataset, case["thin"]) if case["thin"] else dataset


def _thin(dataset: Any, wish: str) -> Any:
    """With a share of one class's patients, drawn without a seed to set: CLASS=SHARE."""
    name, _, share = wish.rpartition("=")
    target = dataset.task.targets[0]
    chosen = (dataset.table[target.name] == name).to_numpy()
    patients = np.unique(dataset.table.loc[chosen, "patient_id"].astype(str))
    if not len(patients):
        raise SystemExit(f"no image is of the class {name!r}: {', '.join(target.classes)}")
    kept = np.random.default_rng(0).choice(patients, round(float(share) * len(patients)), False)
    stays = ~chosen | dataset.table["patient_id"].astype(str).isin(kept).to_numpy()
    return replace(dataset, table=dataset.table[stays].reset_index(drop=True))


def deal(case: Case, n_folds: int, seed: int) -> list[int]:
    """The fold of each row, patients and copies of a picture together."""
    from pellucid.auditing.copies import find_copies
    from pellucid.data.cache import build_cache
    from pellucid.data.folds import folds_by_patient
    from pellucid.images.preprocessing import Preprocessing

    dataset = read(case)
    cache = build_cache(dataset, Preprocessing(image_size=64, channels=1))
    linked = find_copies(cache).groups(len(dataset.table))
    return [int(fold) for fold in folds_by_patient(dataset, n_folds, seed, linked=linked)]


def trained(case: Case, out: Path) -> Any:
    """The run of one variant, trained on all folds but one, which is its test split."""
    from pellucid.auditing.copies import find_copies
    from pellucid.bundle import save_bundle
    from pellucid.calibrating import calibrate
    from pellucid.data.split import assign_splits
    from pellucid.fitting import as_bundle, fit
    from pellucid.preparation import (
        Request,
        build_member,
        choose_plan,
        decode,
        given_settings,
        rows_outside_test,
    )
    from pellucid.progress import Progress
    from pellucid.racing import race
    from pellucid.run import Run
    from pellucid.run_predictions import predict_splits
    from pellucid.training.plan import make_plan, parse_overrides, save_plan

    settings = parse_overrides(case["variant"].split())
    wish = Request(settings=settings, budget=case["budget"], seed=case["seed"])
    run, quiet, dataset = Run(out), Progress(quiet=True), read(case)
    split = np.where(np.array(case["dealt"]) == case["fold"], "test", None)
    dataset = replace(dataset, table=dataset.table.assign(split=split))
    fingerprint, plan, _ = choose_plan(dataset, wish)
    prepared = decode(dataset, (plan, build_member(plan, dataset.task)), wish, quiet)
    copies = find_copies(prepared.cache)
    linked = copies.groups(len(dataset.table))
    dataset, _ = assign_splits(dataset, seed=case["seed"], linked=linked)
    prepared = replace(prepared, dataset=dataset, linked=linked)
    fingerprint = fingerprint.with_split(
        duplicates=copies.n_copies(len(dataset.table)),
        fewest_patients=prepared.fewest_patients(rows_outside_test(prepared)),
    )
    plan, reasons = make_plan(fingerprint, settings=given_settings(wish))
    prepared = replace(prepared, plan=plan)
    fingerprint.save(run.fingerprint_path)
    save_plan(plan, run.plan_path, reasons)
    run.save_index(dataset.table)
    prepared = race(run, prepared, wish, quiet)
    classifier, unseen = fit(run, prepared, wish, quiet)
    unseen = calibrate(run, prepared, classifier, unseen, quiet)
    predict_splits(run, prepared, classifier, unseen, quiet)
    save_bundle(run.bundle_path, as_bundle(prepared, classifier))
    run.add_facts(task=dataset.task.model_dump(mode="json"))
    return run


def answer(case: Case) -> dict[str, Any]:
    """Train one variant on all folds but one; its figures on that one."""
    import pandas as pd

    from pellucid.training.plan import load_plan

    with tempfile.TemporaryDirectory() as folder:
        run = trained(case, Path(folder) / "run")
        table = pd.read_csv(run.predictions_path("test"))
        facts = run.facts
        told = {key: value for key, value in load_plan(run.plan_path) if key in TOLD}
    seconds = facts["training"]["seconds"] + facts.get("race", {}).get("seconds", 0.0)
    return {**judge(table, facts["task"]), "seconds": seconds, "plan": told}


def judge(table: Any, task: Any) -> dict[str, float]:
    """Mean one-vs-rest AUROC and mean log-loss over targets."""
    from sklearn.metrics import log_loss, roc_auc_score

    areas, losses = [], []
    for target in task["targets"]:
        rows, classes = table[table["target"] == target["name"]], list(target["classes"])
        shares = rows[[f"probability_{name}" for name in classes]].to_numpy()
        codes = rows["y_true"].astype(str).map(classes.index).to_numpy()
        shares = shares / shares.sum(axis=1, keepdims=True)
        several = shares if len(classes) > 2 else shares[:, 1]
        areas.append(roc_auc_score(codes, several, multi_class="ovr"))
        losses.append(log_loss(codes, shares, labels=range(len(classes))))
    return {"auroc": float(np.mean(areas)), "log_loss": float(np.mean(losses))}


def reading(options: argparse.Namespace) -> dict[str, Any]:
    """The arguments of `read_dataset` that the options ask for."""
    how: dict[str, Any] = {"patient_pattern": options.patient_pattern}
    if options.merge:
        name, _, parts = options.merge.partition("=")
        how["merge"] = {name: parts.split("+")}
    return how


def cases(options: argparse.Namespace, variants: Sequence[str]) -> list[Case]:
    """Every training: a seed, a fold and a variant."""
    data = {"data": str(options.data), "reading": reading(options), "thin": options.thin}
    dealt = [deal(data, options.folds, seed) for seed in range(options.rounds)]
    common = {**data, "budget": options.budget}
    return [
        {**common, "dealt": dealt[seed], "seed": seed, "fold": fold, "variant": variant}
        for seed in range(options.rounds)
        for fold in range(options.folds)
        for variant in variants
    ]


def ask_all(
    cases: list[Case], script: Path, *arguments: str
) -> Iterator[tuple[Case, dict[str, Any]]]:
    """Each case with its answer; as many workers side by side as there are cores, one thread each.

    Two that use all cores would wait for each other at every layer.
    """
    os.environ["OMP_NUM_THREADS"] = "1"

    def ask(case: Case) -> dict[str, Any]:
        worker = Worker(sys.executable, script, *arguments)
        found: dict[str, Any] = worker(case)
        worker.close()
        return found

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from zip(cases, pool.map(ask, cases), strict=True)


def results(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A row a seed, fold and variant, as they are found."""
    every = cases(options, options.variant)
    for case, found in ask_all(every, Path(__file__), "--answer", "x", "--variant", "x"):
        row = {key: case[key] for key in ("variant", "seed", "fold")} | found
        shown = {k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()}
        print(shown, file=sys.stderr)
        yield row


def summarise(rows: list[dict[str, Any]], variants: list[str]) -> list[dict[str, Any]]:
    """Means of each variant, and the difference to the first, paired by fold."""
    table = []
    for variant in variants:
        line: dict[str, Any] = {"variant": variant or "the rules"}
        for metric in METRICS:
            mine, first = (by_fold(rows, name, metric) for name in (variant, variants[0]))
            line[metric] = round(float(mine.mean()), 4)
            if variant != variants[0]:
                line[f"{metric}_difference"] = gain(mine - first)
            else:
                line[f"{metric}_difference"] = "-"
        line["seconds"] = round(
            float(np.mean([row["seconds"] for row in rows if row["variant"] == variant])), 1
        )
        first = next((row.get("plan") for row in rows if row["variant"] == variant), None)
        line["plan"] = ", ".join(f"{key} {value}" for key, value in (first or {}).items())
        table.append(line)
    return table


def by_fold(rows: list[dict[str, Any]], variant: str, metric: str) -> npt.NDArray[np.float64]:
    """A variant's metric in each fold, its mean over the seeds."""
    mine = [row for row in rows if row["variant"] == variant]
    folds = sorted({row["fold"] for row in mine})
    return np.array([np.mean([r[metric] for r in mine if r["fold"] == fold]) for fold in folds])


def gain(differences: npt.NDArray[np.float64]) -> str:
    """The mean difference over folds with its t interval.

    Folds share most of their training images; the variance is corrected for that (Nadeau and Bengio
    2003, "Inference for the generalization error"): 1/k + 1/(k - 1) in place of 1/k.
    """
    from scipy.stats import t

    k = len(differences)
    spread = differences.std(ddof=1) * np.sqrt(1 / k + 1 / (k - 1))
    reach, mean = float(t.ppf(0.975, k - 1) * spread), float(differences.mean())
    return f"{mean:+.4f} ({mean - reach:+.4f} to {mean + reach:+.4f})"


def add_options(parser: argparse.ArgumentParser) -> None:
    add_data_options(parser)
    parser.add_argument("--variant", nargs="+", required=True, help='settings; "" is the rules')


def said(options: argparse.Namespace) -> str:
    """What was asked of the data, as on the command line."""
    text = f"{options.data.name} --budget {options.budget} --folds {options.folds}"
    for name in ("patient_pattern", "merge", "thin"):
        if getattr(options, name):
            text += f" --{name.replace('_', '-')} '{getattr(options, name)}'"
    return f"{text} --rounds {options.rounds}"


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """What is trained on, how it is cut, and for how long."""
    parser.add_argument("data", type=Path, help="a folder, a manifest or a MedMNIST .npz file")
    parser.add_argument("--budget", default="1m", help="wall time of each training")
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--patient-pattern")
    parser.add_argument("--merge", help="NEW=OLD+OLD")
    parser.add_argument("--thin", help="CLASS=SHARE: keep this share of its patients")
    parser.add_argument("--answer", action="store_true", help=argparse.SUPPRESS)


def main() -> None:
    options = parse_options(__doc__ or "", rounds=1, add=add_options)
    if options.answer:
        answer_cases(answer)
        return
    rows = list(results(options))
    variants = " ".join(f'"{variant}"' for variant in options.variant)
    command = f"python benchmarks/ablation.py {said(options)} --variant {variants}"
    publish(summarise(rows, options.variant), command, options.json)


if __name__ == "__main__":
    main()
