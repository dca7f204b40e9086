"""Judging what was predicted: a run, any tool's table, or several on the same patients.

Predictions become `evaluation.json`, comparisons and the report. Works from the files of a run
alone, so that it can be done again at any time, and never loads torch.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pellucid.bundle.trained_on import check_not_trained_on, load_trained_on
from pellucid.errors import PredictionsError, UsageError
from pellucid.evaluation.block import Asked, Features
from pellucid.evaluation.comparing.comparison import compare_predictions, save_comparison
from pellucid.evaluation.decisions.operating_point import Wishes
from pellucid.evaluation.document import (
    evaluate_predictions,
    judged_targets,
    load_evaluation,
    robustness_of,
    save_evaluation,
)
from pellucid.evaluation.external import check_other_patients, fit_external
from pellucid.evaluation.predictions import read_predictions, save_predictions
from pellucid.run import Run, find_run, now, open_run, versions
from pellucid.task import Task

PathLike = str | os.PathLike[str]
NETWORK, BASELINE = "network", "classical baseline"
EXTERNAL = "external_test"
JUDGED = ("test", EXTERNAL, "validation")


def evaluate(
    source: PathLike,
    *,
    out: PathLike | None = None,
    model: PathLike | None = None,
    positive: str | None = None,
    asked: Asked | None = None,
) -> dict[str, Any]:
    """Judge a run, or any predictions table (CSV or Parquet) from any tool.

    Returns the document of `evaluation.json`. For a run, it and the report are written again; for
    a table they are written to `out` when it is given. `model` is the bundle or run that made the
    table: patients that it was trained on are then refused as test patients. `asked` says what else
    is wanted: operating points, a stated prevalence, the order of classes, resamples, seed.
    """
    path, asked = Path(source), asked or Asked()
    if path.is_dir():
        if out is not None or model is not None:
            rule = "A run is judged in its own folder, and knows whom it was trained on"
            raise UsageError(rule, "--out or --model", "Give these for a table alone.")
        run = find_run(path)
        if not run.facts.get("allow_shared_patients"):
            _check_not_trained_on(load_predictions(run), run.folder)
        document = judge(run, positive=positive, asked=asked)
        write_report_of(run)
        return document
    table = read_predictions(path)
    if model is not None:
        _check_model_knows(Path(model))
        _check_not_trained_on(table, Path(model))
    if out is None:
        return evaluate_predictions(table, positive=positive, asked=asked)
    run = _new_folder(Path(out))
    document = evaluate_predictions(table, positive=positive, asked=asked)
    for split, part in table.groupby("split", sort=False):
        save_predictions(part, run.predictions_path(str(split)))
    run.add_facts(command=f"pellucid evaluate {path.name}", versions=versions(), started=now())
    save_evaluation(document, run.evaluation_path)
    write_report_of(run)
    return document


def compare(
    sources: Sequence[PathLike],
    *,
    names: Sequence[str] | None = None,
    split: str = "test",
    out: PathLike | None = None,
    positive: str | None = None,
    asked: Asked | None = None,
) -> dict[str, Any]:
    """Compare runs or predictions tables on the same patients, pair by pair.

    A name given several times stands for runs that differ by seed alone. `out` is a folder that
    gets comparison.json and comparison.html. Returns the document of comparison.json.
    """
    paths, asked = [Path(source) for source in sources], asked or Asked()
    if out is not None and Path(out).exists() and not Path(out).is_dir():
        raise UsageError(f"The folder {out} is a file", remedy="Choose another --out.")
    tables: dict[str, list[pd.DataFrame]] = {}
    for path, name in zip(paths, names or _names(paths), strict=True):
        tables.setdefault(name, []).append(_table_of(path))
    document = compare_predictions(
        tables, split=split, positive=positive, n_resamples=asked.n_resamples, seed=asked.seed
    )
    if out is not None:
        from pellucid.reporting.comparing.comparison_page import write_comparison_page

        folder = Path(out)
        save_comparison(document, folder / "comparison.json")
        write_comparison_page(document, folder / "comparison.html")
    return document


def report(
    source: PathLike,
    *,
    external: PathLike | None = None,
    others: Sequence[PathLike] = (),
) -> Path:
    """Write a run's report again from its files; returns its path.

    `external` is a predictions table of other patients, judged beside the run's own test; `others`
    are runs or tables of the same patients, compared with it.
    """
    run = find_run(Path(source))
    if external is not None:
        _add_external(run, Path(external))
    if others:
        document = compare([run.folder, *others])
        save_comparison(document, run.comparison_path)
    return write_report_of(run)


def judge(
    run: Run, task: Task | None = None, *, positive: str | None = None, asked: Asked | None = None
) -> dict[str, Any]:
    """Evaluate a run's predictions and write `evaluation.json`.

    What a run holds beside them is judged as well: corrupted pictures, and the baseline.
    """
    asked = _with_features(run, asked or Asked())
    table = load_predictions(run)
    if task is None and "task" in run.facts:
        task = Task.model_validate(run.facts["task"])
    document = evaluate_predictions(table, task, positive=positive, asked=asked)
    if run.robustness_path.is_file():
        from pellucid.images.corruptions import CORRUPTIONS  # with the packages of pictures

        corrupted = _read_corrupted(run)
        judged = judged_targets(table, task, positive, asked.ordered)
        stated = {name: (kind.unit, kind.values) for name, kind in CORRUPTIONS.items()}
        document["robustness"] = robustness_of(judged, corrupted, stated, asked)
    if any((run.baseline.folder / "predictions").glob("*.csv")):
        baseline = load_predictions(run.baseline)
        if split := next((name for name in JUDGED if _have(name, table, baseline)), ""):
            document["comparison"] = compare_predictions(
                {NETWORK: table, BASELINE: baseline},
                split=split,
                positive=positive,
                n_resamples=asked.n_resamples,
                seed=asked.seed,
            )
    save_evaluation(document, run.evaluation_path)
    return document


def load_predictions(run: Run) -> pd.DataFrame:
    """The predictions of all splits of a run as one table, external ones last.

    So the run's own tables say in which order the classes stand, and which is the positive one.
    """
    paths = (run.folder / "predictions").glob("*.csv")
    own_first = sorted(paths, key=lambda path: (path.stem == EXTERNAL, path.name))
    return pd.concat([read_predictions(path) for path in own_first], ignore_index=True)


def write_report_of(run: Run) -> Path:
    """Write the checklists and `report.html`; matplotlib is imported here and not before."""
    from pellucid.reporting.checklists import write_checklists
    from pellucid.reporting.html import write_report

    write_checklists(run.folder)
    return write_report(run.folder)


def _read_corrupted(run: Run) -> pd.DataFrame:
    path = run.robustness_path
    try:
        corrupted = pd.read_csv(path, dtype={"image_id": str, "patient_id": str})
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is damaged", remedy="Delete it.") from error
    if corrupted.empty or "split" not in corrupted:
        raise UsageError(f"{path} is damaged", "no row with a split", "Delete it.")
    return corrupted


def _with_features(run: Run, asked: Asked) -> Asked:
    """What was asked, with what the network made of the test images where the run kept it."""
    if asked.features is not None or not run.features_path.is_file():
        return asked
    try:
        with np.load(run.features_path, allow_pickle=False) as kept:
            features = Features(kept["image_ids"], kept["values"].astype(np.float32))
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(f"{run.features_path} is damaged", remedy="Delete it.") from error
    return replace(asked, features=features)


def _have(split: str, *tables: pd.DataFrame) -> bool:
    """Whether every table has labelled images of the split."""
    return all(((t["split"] == split) & t["y_true"].notna()).any() for t in tables)


def _add_external(run: Run, path: Path) -> None:
    """Keep a table as the run's external test, and judge the run anew, as it was asked before.

    Nothing is kept of a table that is refused: the run would no longer be judged.
    """
    table = read_predictions(path).assign(split=EXTERNAL)
    own = load_predictions(run)
    own = own[own["split"] != EXTERNAL]
    table = fit_external(own, table)
    if table.duplicated(["image_id", "target"]).any():
        raise PredictionsError(
            "An external test has each image once", "several splits in one table", "Keep one."
        )
    if not run.facts.get("allow_shared_patients"):
        check_other_patients(own, table)
        _check_not_trained_on(table, run.folder)
    positive, asked = _asked_before(run)
    save_predictions(table, run.predictions_path(EXTERNAL))
    judge(run, positive=positive, asked=asked)


def _new_folder(out: Path) -> Run:
    try:
        return open_run(out, resume=False, overwrite=False)
    except UsageError as error:  # nothing can be resumed here
        raise UsageError(error.rule, error.found, "Choose another --out.") from None


def _asked_before(run: Run) -> tuple[str | None, Asked]:
    """The positive class and the wishes with which a run was judged last."""
    if not run.evaluation_path.is_file():
        return None, Asked()
    document = load_evaluation(run.evaluation_path)
    blocks = document.get("blocks", [])
    positives = [block["positive"] for block in blocks if block.get("positive")]
    points = [point for block in blocks for point in block.get("operating_points") or []]
    wanted = {point["name"]: point.get("wanted") for point in points if point.get("wanted")}
    stated = next((one for b in blocks if (one := b.get("stated_prevalence"))), None)
    order = next((tuple(b["classes"]) for b in blocks if b.get("ordered")), ())
    asked = Asked(
        wishes=Wishes(**wanted, prevalence=stated),
        ordered=order,
        n_resamples=document.get("n_resamples", Asked.n_resamples),
        seed=document.get("seed", Asked.seed),
    )
    one_target = len({block["target"] for block in blocks}) == 1
    return (positives[0] if one_target and positives else None), asked


def _table_of(path: Path) -> pd.DataFrame:
    return load_predictions(find_run(path)) if path.is_dir() else read_predictions(path)


def _names(paths: Sequence[Path]) -> list[str]:
    """What to call each: its own name, or as much of its path as tells it from the others."""
    whole = [path.resolve() for path in paths]
    for depth in range(1, max(len(path.parts) for path in whole) + 1):
        names = ["/".join(path.parts[-depth:]) for path in whole]
        if len(set(names)) == len(names):
            return names
    twice = next(path for path in whole if whole.count(path) > 1)
    raise UsageError("Each of those compared is another one", f"{twice.name} twice")


def _check_model_knows(model: Path) -> None:
    """Raise `UsageError` where there is nothing to check patients with, as was asked."""
    if load_trained_on(model) is None:
        found = "one that does not" if model.exists() else f"nothing at {model}"
        raise UsageError(
            "The model says whom it was trained on, so that patients can be checked",
            found,
            "Give its run or bundle, or leave --model out.",
        )


def _check_not_trained_on(table: pd.DataFrame, model: Path) -> None:
    trained_on = load_trained_on(model)
    if trained_on is not None:
        check_not_trained_on(table, trained_on)
