"""The files of a run folder, read as they are; any but evaluation.json may be missing.

Knows names and formats of files. It does not know what the report says about them.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from pellucid.errors import UsageError
from pellucid.reporting.legacy import upgrade_block

SPLITS = ("train", "validation", "test", "external_test")
_SETTING = re.compile(r"^([A-Za-z_]\w*):\s*(.*?)(?:\s+#\s(.*))?$")


@dataclass(frozen=True)
class Hyperparameter:
    """One line of plan.yaml: its value as written there, and the reason given as comment."""

    name: str
    value: str
    reason: str


@dataclass(frozen=True)
class RunDocuments:
    """What a run folder holds. A table is None, a document empty, where the file is missing."""

    folder: Path
    evaluation: dict[str, Any]
    facts: dict[str, Any]
    audit: dict[str, Any]
    plan: tuple[Hyperparameter, ...]
    index: pd.DataFrame | None
    history: pd.DataFrame | None
    predictions: pd.DataFrame | None
    augmentations: bytes | None
    compared: dict[str, Any]
    baseline: dict[str, Any]
    explanation: dict[str, Any]
    race: dict[str, Any]

    @cached_property
    def blocks(self) -> list[dict[str, Any]]:
        """The blocks of evaluation.json, one a target and split, as its newest version has them."""
        return [upgrade_block(block) for block in self.evaluation.get("blocks", [])]

    @property
    def targets(self) -> list[str]:
        """The names of the targets, in the order of evaluation.json."""
        return list(dict.fromkeys(str(block["target"]) for block in self.blocks))

    @property
    def dataset(self) -> dict[str, Any]:
        """What run.json says about the dataset."""
        return dict(self.facts.get("dataset") or {})

    @property
    def was_trained_here(self) -> bool:
        """Whether the run holds a training, and not only predictions of another model."""
        return self.history is not None or bool(self.plan)

    @property
    def n_folds(self) -> int:
        """Into how many folds train and validation were shared out; 0 where they were not."""
        training = self.facts.get("training") or {}
        return int(training["members"]) if training.get("ensemble_of") == "folds" else 0

    @property
    def patients_known(self) -> bool:
        """Whether images are known to be of one patient; the dataset knows better than a block."""
        if "patients_known" in self.dataset:
            return bool(self.dataset["patients_known"])
        return all(block.get("patients_known", True) for block in self.blocks)

    @property
    def shares_patients(self) -> bool:
        """Whether a patient stands in more than one split, by the index, else by the option."""
        if not self.facts.get("allow_shared_patients"):
            return False
        if self.index is None or "split" not in self.index:
            return True
        return bool((self.index.groupby("patient_id")["split"].nunique() > 1).any())

    @property
    def window(self) -> str | None:
        """The grey window that the network saw the images through; None is the files' own."""
        text = next((item.value for item in self.plan if item.name == "window"), "null")
        return None if text == "null" else text.strip("'\"")

    def block(self, target: str, split: str) -> dict[str, Any] | None:
        """The block of one target and split."""
        for block in self.blocks:
            if block["target"] == target and block["split"] == split:
                return block
        return None

    def main_block(self, target: str) -> dict[str, Any]:
        """The block that the verdict is about: test, or what comes nearest to it."""
        blocks = {block["split"]: block for block in self.blocks if block["target"] == target}
        for split in ("test", "external_test"):
            if split in blocks and blocks[split].get("n_images"):
                return blocks[split]
        return blocks.get("validation") or next(iter(blocks.values()))

    def picture(self, name: str) -> bytes | None:
        """A picture of the run by its file's name; None where there is none of that name."""
        if Path(name).name != name:
            return None
        return _read_bytes(self.folder / "pictures" / name)

    def predictions_of(self, target: str, split: str) -> pd.DataFrame | None:
        """The labelled predictions of one target and split."""
        table = self.predictions
        if table is None:
            return None
        rows = (table["target"] == target) & (table["split"] == split) & table["y_true"].notna()
        return table[rows]


def load_documents(folder: Path) -> RunDocuments:
    """Read a run folder; raises `UsageError` when it is none or one of its files is broken."""
    if not (folder / "evaluation.json").is_file():
        found = "no evaluation.json there" if folder.is_dir() else "no such folder"
        raise UsageError(
            f"A report is written from a run folder: {folder}",
            found,
            "Give the folder that `pellucid train --out` or `pellucid evaluate --out` wrote.",
        )
    evaluation = read_json(folder / "evaluation.json")
    if not evaluation.get("blocks"):
        raise UsageError(f"{folder / 'evaluation.json'} must hold at least one block", "none")
    return RunDocuments(
        folder=folder,
        evaluation=evaluation,
        facts=read_json(folder / "run.json"),
        audit=read_json(folder / "audit.json"),
        plan=read_plan(folder / "plan.yaml"),
        index=read_table(folder / "index.csv"),
        history=_read_history(folder / "history.csv"),
        predictions=_read_predictions(folder / "predictions"),
        augmentations=_read_bytes(folder / "pictures" / "augmentations.png"),
        compared=_read_comparison(folder / "comparison.json"),
        baseline=read_json(folder / "baseline" / "baseline.json"),
        explanation=_read_explanation(folder / "explanation.json"),
        race=read_json(folder / "race.json"),
    )


def read_plan(path: Path) -> tuple[Hyperparameter, ...]:
    """Every hyperparameter with the comment on its line, in the order of the file."""
    if not path.is_file():
        return ()
    text = path.read_text(encoding="utf-8")
    try:
        values = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise _broken(path) from error
    lines = {match[1]: match for match in map(_SETTING.match, text.splitlines()) if match}
    return tuple(
        Hyperparameter(str(key), _plain(value), (lines[key][3] or "") if key in lines else "")
        for key, value in values.items()
    )


def _plain(value: Any) -> str:
    """A value of the plan as YAML writes it on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=float("inf"), allow_unicode=True)
    return str(text).removesuffix("...\n").strip()


def read_json(path: Path) -> dict[str, Any]:
    """A JSON document of a folder, empty where there is none; raises `UsageError`."""
    if not path.is_file():
        return {}
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise _broken(path) from error
    if not isinstance(document, dict):
        raise _broken(path)
    return document


def _read_comparison(path: Path) -> dict[str, Any]:
    """What `compare` wrote; another document under its name is refused."""
    remedy = "Write it with `pellucid compare`, or remove the file to leave its section out."
    return _read_ours(path, "comparison", remedy)


def _read_explanation(path: Path) -> dict[str, Any]:
    """What `explain_run` wrote; another document under its name is refused."""
    return _read_ours(path, "explanation", "Remove the file to leave its section out.")


def _read_ours(path: Path, kind: str, remedy: str) -> dict[str, Any]:
    document = read_json(path)
    if document and document.get("format") != f"pellucid-{kind}":
        article = "an" if kind[0] in "aeiou" else "a"
        found = f"format {document.get('format')!r}"
        raise UsageError(f"{path} must be {article} {kind} of Pellucid", found, remedy)
    return document


def _read_bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def read_table(path: Path) -> pd.DataFrame | None:
    """A CSV table with every value a string, so that the id 001 stays 001."""
    if not path.is_file():
        return None
    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False, na_values=[""])
    except (ValueError, OSError) as error:
        raise _broken(path) from error


def _read_history(path: Path) -> pd.DataFrame | None:
    table = read_table(path)
    if table is None or table.empty:
        return None
    best = table.pop("is_best").str.lower().isin(["true", "1"])
    numbers = {name: pd.to_numeric(table[name], errors="coerce") for name in table}
    return pd.DataFrame(numbers).assign(is_best=best)


def _read_predictions(folder: Path) -> pd.DataFrame | None:
    tables = [read_table(path) for path in sorted(folder.glob("*.csv"))]
    found = [table for table in tables if table is not None and not table.empty]
    if not found:
        return None
    table = pd.concat(found, ignore_index=True)
    for name in table:
        if str(name).startswith(("probability_", "logit_")):
            table[name] = pd.to_numeric(table[name], errors="coerce")
    return table


def _broken(path: Path) -> UsageError:
    return UsageError(
        f"{path} cannot be read as {path.suffix.lstrip('.').upper()}",
        remedy="It is damaged; make the run again, or remove the file to leave its section out.",
    )
