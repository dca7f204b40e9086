"""The run folder: which file of a run is where, and how each of our small ones is read.

    RUN/ fingerprint.json  plan.yaml  race.json  index.csv (with split)  audit.json  history.csv
         run.json  checkpoints/  members/  predictions/<split>.csv  baseline/  robustness.csv
         features.npz  pictures/  evaluation.json  explanation.json  comparison.json  report.html
         bundle/  checklist.yaml  checklists.md  checklists.docx

Each stage reads the file that the stage before it wrote, so any stage can be run again alone.
This module knows names and places; it does not know what a stage does.
"""

from __future__ import annotations

import json
import platform
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd

from pellucid.errors import UsageError
from pellucid.storage import write_json, write_text

MEMBERS = "members"
PACKAGES = ("torch", "torchvision", "numpy", "scipy", "scikit-learn", "pandas", "pillow", "pydicom")


@dataclass(frozen=True)
class Run:
    """A run folder, by name of what it holds."""

    folder: Path

    @property
    def fingerprint_path(self) -> Path:
        """What was known of the data and the machine when the plan was made."""
        return self.folder / "fingerprint.json"

    @property
    def plan_path(self) -> Path:
        """Every hyperparameter, with its reason."""
        return self.folder / "plan.yaml"

    @property
    def race_path(self) -> Path:
        """Which plans were tried on folds of the training images, and how they did."""
        return self.folder / "race.json"

    @property
    def history_path(self) -> Path:
        """Training by epoch; of an ensemble its first network's, when distilled the last one's."""
        return self.folder / "history.csv"

    @property
    def index_path(self) -> Path:
        """The dataset's table with the split."""
        return self.folder / "index.csv"

    @property
    def audit_path(self) -> Path:
        """What is wrong with the data."""
        return self.folder / "audit.json"

    @property
    def facts_path(self) -> Path:
        """Command, versions, seeds, network, times."""
        return self.folder / "run.json"

    @property
    def evaluation_path(self) -> Path:
        """How good the classifier is."""
        return self.folder / "evaluation.json"

    @property
    def report_path(self) -> Path:
        """The page for people."""
        return self.folder / "report.html"

    @property
    def bundle_path(self) -> Path:
        """The trained artefact."""
        return self.folder / "bundle"

    @property
    def augmentations_path(self) -> Path:
        """One training image as augmentation shows it to the network."""
        return self.folder / "pictures" / "augmentations.png"

    def predictions_path(self, split: str) -> Path:
        """The predictions table of one split."""
        return self.folder / "predictions" / f"{split}.csv"

    def member(self, number: int) -> Path:
        """The history and the checkpoints of an ensemble's network, counted from 1."""
        return self.folder / MEMBERS / str(number)

    @property
    def baseline(self) -> Run:
        """The classical baseline, whose predictions stand in a folder of its own."""
        return Run(self.folder / "baseline")

    @property
    def baseline_path(self) -> Path:
        """How the classical baseline was chosen."""
        return self.baseline.folder / "baseline.json"

    @property
    def robustness_path(self) -> Path:
        """Predictions for corrupted pictures."""
        return self.folder / "robustness.csv"

    @property
    def features_path(self) -> Path:
        """What the network made of the test images."""
        return self.folder / "features.npz"

    @property
    def explanation_path(self) -> Path:
        """What the network looks at, and whether its maps mean anything."""
        return self.folder / "explanation.json"

    def explained_path(self, number: int) -> Path:
        """A test image with its maps beside it, counted from 0."""
        return self.folder / "pictures" / f"explained-{number:02d}.png"

    @property
    def comparison_path(self) -> Path:
        """Another comparison that the report shall show."""
        return self.folder / "comparison.json"

    @property
    def evaluation(self) -> dict[str, Any]:
        """The document of `evaluation.json`."""
        return dict(json.loads(self.evaluation_path.read_text(encoding="utf-8")))

    @property
    def explanation(self) -> dict[str, Any]:
        """The document of `explanation.json`."""
        return dict(json.loads(self.explanation_path.read_text(encoding="utf-8")))

    @property
    def facts(self) -> dict[str, Any]:
        """The document of `run.json`; empty before it is written."""
        if not self.facts_path.is_file():
            return {}
        try:
            return dict(json.loads(self.facts_path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            remedy = "Start a new run."
            raise UsageError(f"{self.facts_path} is damaged", remedy=remedy) from error

    @property
    def is_of_folds(self) -> bool:
        """Whether its networks share out train and validation, and learn from all but a fold."""
        return bool(self.facts.get("training", {}).get("ensemble_of") == "folds")

    def add_facts(self, **facts: Any) -> None:
        """Add to `run.json`."""
        write_json(self.facts_path, {**self.facts, **facts})

    def save_index(self, table: pd.DataFrame) -> None:
        """Write the dataset's table with its split."""
        write_text(self.index_path, table.to_csv(index=False))

    def load_index(self) -> pd.DataFrame:
        """The dataset's table as the run split it; every value a string, as it was written."""
        table = pd.read_csv(self.index_path, dtype=str, keep_default_na=False, na_values=[""])
        table["frame"] = table["frame"].astype(int)
        return table

    @property
    def is_started(self) -> bool:
        """Whether the split and the plan stand, so that training can go on from here."""
        needed = (self.plan_path, self.index_path, self.facts_path)
        return all(path.is_file() for path in needed)


def open_run(folder: Path, *, resume: bool, overwrite: bool) -> Run:
    """The run folder to write into; nothing is made or removed yet.

    Raises `UsageError` when it exists, holds anything and neither resume nor overwrite is wanted,
    or when what would be overwritten is no run.
    """
    run = Run(folder)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"The run folder {folder} is a file", remedy="Choose another --out.")
    holds_something = folder.is_dir() and any(folder.iterdir())
    if not holds_something or resume:
        return run
    if not overwrite:
        raise UsageError(
            f"The run folder {folder} exists",
            remedy="Choose another --out, or continue that run with --resume.",
        )
    if not (run.facts_path.is_file() or run.plan_path.is_file()):
        raise UsageError(
            f"{folder} is not a run folder, so it is not overwritten",
            remedy="Choose another --out.",
        )
    return run


def clear_run(run: Run) -> None:
    """Remove what an earlier run left; called once everything that can be refused has held."""
    if run.folder.is_dir():
        shutil.rmtree(run.folder)


def load_race(path: Path) -> dict[str, Any]:
    """The document of `race.json`; raises `UsageError` for a damaged or newer one."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        known = {"asked", "contenders", "folds", "seconds_each", "trainings"} <= document.keys()
    except (OSError, ValueError, AttributeError, RecursionError):
        known = False
    if not known or document.get("version") != 1:
        raise UsageError(f"{path} is damaged, or of another Pellucid", remedy="Start a new run.")
    return dict(document)


def find_run(folder: Path) -> Run:
    """An existing run folder with predictions; raises `UsageError` otherwise."""
    if not folder.is_dir():
        raise UsageError(f"There is no run folder at {folder}")
    if not any((folder / "predictions").glob("*.csv")):
        raise UsageError(
            f"{folder} holds no predictions",
            remedy="If the run was interrupted, finish it with `pellucid train … --resume`.",
        )
    return Run(folder)


def versions() -> dict[str, str]:
    """The versions that a figure depends on; nothing of the packages is imported."""
    from pellucid import __version__

    found = {"pellucid": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def now() -> str:
    """The time as ISO 8601, in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
