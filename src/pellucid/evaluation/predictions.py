"""The predictions table: one row an image and target, with logits and probabilities by class.

Columns: `image_id, patient_id, split, target, y_true, logit_<class>…, probability_<class>…` and
facts. A table of any other tool needs only `y_true` and the probabilities. This module does not
judge.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pellucid.errors import PredictionsError, did_you_mean
from pellucid.outputs import probabilities_from_logits
from pellucid.storage import write_bytes
from pellucid.task import Target, Task

PROBABILITY, LOGIT = "probability_", "logit_"
FLOATS = "%.9g"  # how a number is written: every float32 is read back as it was
UNNAMED = "label"  # the target of a table that names none
SPLITS = ("test", "external_test", "validation", "train")  # in the order in which they are judged
REQUIRED = ("image_id", "patient_id", "split", "target", "y_true")
_SUM_TOLERANCE = 1e-3
_MAX_BYTES = 4 * 2**30


def build_predictions(
    image_ids: Sequence[str],
    patient_ids: Sequence[str],
    split: str,
    target: Target,
    codes: npt.NDArray[np.int64],
    logits: npt.NDArray[np.floating],
    facts: pd.DataFrame | None = None,
    *,
    keep_unlabelled: bool = False,
) -> pd.DataFrame:
    """The table of one split and target, from logits (n, target.n_logits) and codes (n,).

    Images without a label (code -1) are left out unless `keep_unlabelled`, where `y_true` is empty.
    """
    classes = np.array([*target.classes, None], dtype=object)
    columns: dict[str, Any] = {
        "image_id": list(image_ids),
        "patient_id": list(patient_ids),
        "split": split,
        "target": target.name,
        "y_true": classes[codes],
    }
    z = np.asarray(logits, dtype=np.float64).reshape(len(codes), target.n_logits)
    for number, name in enumerate(target.classes[-target.n_logits :]):
        columns[LOGIT + name] = z[:, number]
    for name, values in zip(target.classes, probabilities_from_logits(z, target).T, strict=True):
        columns[PROBABILITY + name] = values
    table = pd.DataFrame(columns)
    if facts is not None:
        extra = facts.reset_index(drop=True)
        table = pd.concat([table, extra[extra.columns.difference(table.columns)]], axis=1)
    return table if keep_unlabelled else table[codes >= 0].reset_index(drop=True)


def save_predictions(table: pd.DataFrame, path: Path) -> Path:
    """Write a table as CSV or Parquet, by its ending, in one step."""
    if path.suffix == ".parquet":
        buffer = io.BytesIO()
        table.to_parquet(buffer, index=False)
        return write_bytes(path, buffer.getvalue())
    if path.suffix != ".csv":
        raise PredictionsError("Predictions are written as .csv or .parquet", repr(path.name))
    return write_bytes(path, table.to_csv(index=False, float_format=FLOATS).encode())


def read_predictions(path: Path) -> pd.DataFrame:
    """Read and check a predictions table; absent columns that can be filled in are.

    Without `image_id` rows are numbered; without `patient_id` each image is its own patient;
    without `split` all is "test"; without `target` all is "label". Raises `PredictionsError`, which
    names the file, since several may be read.
    """
    table = _read_table(Path(path))
    try:
        return check_predictions(table)
    except PredictionsError as error:
        rule = f"{Path(path).name}: {error.rule}"
        raise PredictionsError(rule, error.found, error.remedy) from None


def check_predictions(table: pd.DataFrame) -> pd.DataFrame:
    """The table with its columns complete; raises `PredictionsError` for what cannot be judged."""
    if table.empty:
        raise PredictionsError("A predictions table needs at least one row", "none")
    probabilities = [name for name in table.columns if str(name).startswith(PROBABILITY)]
    if "y_true" not in table or len(probabilities) < 2:
        missing = "y_true" if "y_true" not in table else f"{PROBABILITY}<class> of two classes"
        raise PredictionsError(
            f"A predictions table needs the column {missing}",
            f"columns {', '.join(map(str, table.columns[:12]))}",
            did_you_mean(missing, [str(name) for name in table.columns]),
        )
    table = table.copy()
    if "image_id" not in table:
        table["image_id"] = [f"row {number}" for number in range(1, len(table) + 1)]
    _refuse_nameless(table["image_id"].isna().to_numpy())
    table["patient_id"] = _patients(table)
    for name, default in (("split", "test"), ("target", UNNAMED)):
        table[name] = table[name].fillna(default) if name in table else default
    for name in REQUIRED:
        known = table[name].notna()
        table[name] = table[name].astype(object).where(~known, table[name].astype(str))
    for name in probabilities:
        table[name] = pd.to_numeric(table[name], errors="coerce")
    for name in table.columns.difference([*REQUIRED, *probabilities]):
        table[name] = _comparable(table[name])
    _check_splits(table)
    _check_duplicates(table)
    for target, part in table.groupby("target", sort=False):
        _check_target(part, str(target), probabilities)
    return table


def task_from_predictions(table: pd.DataFrame, positive: str | None = None) -> Task:
    """The task that a table answers: a target's classes are its columns that hold probabilities."""
    targets = []
    for name, part in table.groupby("target", sort=False):
        classes = classes_of(part)
        chosen = positive if positive in classes and len(classes) == 2 else None
        source = "user" if chosen else "default"
        targets.append(
            Target(name=str(name), classes=classes, positive=chosen, positive_source=source)
        )
    if positive and not any(target.positive == positive for target in targets):
        known = [name for target in targets if target.is_binary for name in target.classes]
        raise PredictionsError(
            "The positive class must be a class of a target with two classes",
            repr(positive) if known else f"{positive!r}, and no target has two",
            did_you_mean(positive, known) if known else "Leave --positive out.",
        )
    return Task(targets=tuple(targets))


def classes_of(part: pd.DataFrame) -> tuple[str, ...]:
    """The classes for which a target's rows hold probabilities, in the order of the columns."""
    columns = [name for name in part.columns if str(name).startswith(PROBABILITY)]
    return tuple(name[len(PROBABILITY) :] for name in columns if part[name].notna().any())


def _patients(table: pd.DataFrame) -> pd.Series[Any]:
    """The patient of each row; without one, the image itself, by a name that no patient has."""
    images = table["image_id"].astype(object)
    if "patient_id" not in table:
        return images
    patients, known = table["patient_id"].astype(object), table["patient_id"].notna()
    images = images.where(known, images.astype(str))
    others = patients[known & (patients.astype(str) != images.astype(str))]
    taken = images.astype(str).isin(others.astype(str).unique())
    return patients.where(known, images.where(~taken, "image " + images.astype(str)))


def _comparable(fact: pd.Series[Any]) -> pd.Series[Any]:
    """A fact as it is; as text where its values (lists of a Parquet file) cannot be compared."""
    try:
        fact.nunique()
    except TypeError:
        return fact.map(str)
    return fact


def _read_table(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise PredictionsError(f"There is no predictions table {path}")
    if path.stat().st_size > _MAX_BYTES:
        raise PredictionsError(f"{path} is larger than 4 GiB")
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        text = dict.fromkeys(REQUIRED, str)
        return pd.read_csv(path, dtype=text, keep_default_na=False, na_values=[""])
    except (ValueError, OSError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())[:160]
        raise PredictionsError(f"{path} is not a readable table", reason) from error


def _refuse_nameless(nameless: npt.NDArray[np.bool_]) -> None:
    if nameless.any():
        raise PredictionsError(
            "Every row has an image_id where the table has that column",
            f"{int(nameless.sum())} rows without one, first row {int(np.argmax(nameless)) + 1}",
            "Name these images, or leave the column out.",
        )


def _check_splits(table: pd.DataFrame) -> None:
    """A split's name becomes a file's name, so only the four known ones are taken."""
    unknown = sorted(set(table["split"]) - set(SPLITS))
    if unknown:
        raise PredictionsError(
            f"Every split must be one of {', '.join(SPLITS)}",
            repr(unknown[0]),
            did_you_mean(unknown[0], list(SPLITS)),
        )


def _check_duplicates(table: pd.DataFrame) -> None:
    doubled = table.duplicated(["image_id", "split", "target"])
    if doubled.any():
        first = table.loc[doubled, "image_id"].iloc[0]
        raise PredictionsError(
            "An image stands once in a split and target",
            f"{int(doubled.sum())} more rows, first for {first!r}",
        )


def _check_target(part: pd.DataFrame, target: str, probabilities: list[str]) -> None:
    classes = classes_of(part)
    if len(classes) < 2:
        raise PredictionsError(f"Target {target!r} needs probabilities of at least two classes")
    values = part[[PROBABILITY + name for name in classes]].to_numpy(dtype=float)
    rows = part["image_id"].to_numpy()
    _refuse(np.isnan(values).any(axis=1), rows, f"Every probability of target {target!r} is known")
    outside = ((values < 0) | (values > 1)).any(axis=1)
    _refuse(outside, rows, "Probabilities must be in [0, 1]", "Give probabilities, not logits.")
    sums = values.sum(axis=1)
    wrong = np.abs(sums - 1) > _SUM_TOLERANCE
    if wrong.any():
        row = int(np.argmax(wrong))
        raise PredictionsError(
            f"The probabilities of an image must sum to 1 (target {target!r})",
            f"{sums[row]:.4g} for {rows[row]!r}, and {int(wrong.sum())} such rows",
        )
    unknown = sorted(set(part["y_true"].dropna()) - set(classes))
    if unknown:
        raise PredictionsError(
            f"Every y_true of target {target!r} must be one of {', '.join(classes)}",
            repr(unknown[0]),
            did_you_mean(unknown[0], list(classes)),
        )


def _refuse(wrong: Any, rows: Any, rule: str, remedy: str = "") -> None:
    if wrong.any():
        found = f"{int(wrong.sum())} rows where it is not so, first {rows[np.argmax(wrong)]!r}"
        raise PredictionsError(rule, found, remedy)
